use thiserror::Error;

use super::{Binding, Exchange, Kind};
use crate::message::Value;

/// All exchanges and bindings that the messages of a queue come by, in the order in which they are declared.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wiring {
    exchanges: Vec<Exchange>,
    /// From one exchange to another.
    links: Vec<Link>,
    /// From an exchange to the queue.
    bindings: Vec<(String, Binding)>,
}

/// A binding of two exchanges.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Link {
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) binding: Binding,
}

/// What no broker can do, or what is surely not meant.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum WiringError {
    #[error(
        "the default exchange brings each message to the queue of its routing key, and takes no bindings: name \
         another exchange"
    )]
    Default,
    #[error("`{0}` cannot name an exchange: a name has at most 255 bytes")]
    Name(String),
    #[error("exchange `{0}` cannot be of the type `{1}`: the name of a type has 1 to 255 bytes")]
    Type(String, String),
    #[error("an argument of exchange `{0}` cannot be named `{1}`: a name has at most 255 bytes")]
    Argument(String, String),
    #[error("a routing key has at most 255 bytes: `{0}`")]
    RoutingKey(String),
    #[error(
        "exchange `{0}` is described twice, and not as the same: describe it once, and give clones of it"
    )]
    Twice(String),
    #[error(
        "a binding of the headers exchange `{0}` has a routing key and no headers: the exchange does not look at the \
         key, and every message would come. Say which headers count by `Binding::all_of` or `Binding::any_of`"
    )]
    KeyOfHeaders(String),
    #[error(
        "a binding of exchange `{0}` names no header that is compared, so that it would take every message, or none: name \
         some, and say `with_x_headers` if those count whose names begin with `x-`"
    )]
    NoHeaders(String),
    #[error(
        "exchange `{0}` is described by `Exchange::existing`, which declares nothing, so that `alternate`, `transient`, \
         `auto_delete` and `argument` mean nothing: leave them out, or describe it by `Exchange::topic` or its like"
    )]
    OfExisting(String),
    #[error(
        "a binding of the {1} exchange `{0}` names headers, which only a headers exchange looks at"
    )]
    HeadersOf(String, Kind),
}

impl Wiring {
    /// What comes to a queue by these bindings. The `exchanges` are declared even where nothing comes from them.
    pub(crate) fn new(
        bindings: &[(Exchange, Binding)],
        exchanges: &[Exchange],
    ) -> Result<Self, WiringError> {
        let mut wiring = Self::default();
        for exchange in exchanges {
            wiring.visit(exchange)?;
        }
        for (exchange, binding) in bindings {
            wiring.visit(exchange)?;
            check(exchange, binding)?;
            let bound = (exchange.name.clone(), binding.clone());
            if !wiring.bindings.contains(&bound) {
                wiring.bindings.push(bound);
            }
        }
        Ok(wiring)
    }

    /// Whether anything comes to the queue by it.
    pub(crate) fn has_bindings(&self) -> bool {
        !self.bindings.is_empty()
    }

    /// An exchange comes after its alternate and its sources.
    pub(crate) fn exchanges(&self) -> &[Exchange] {
        &self.exchanges
    }

    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    /// The exchanges that the queue gets messages from, with what comes.
    pub(crate) fn bindings(&self) -> &[(String, Binding)] {
        &self.bindings
    }

    /// What tells it from others, as arguments of a declaration would.
    pub(crate) fn fingerprint(&self) -> Vec<(String, Value)> {
        let bindings = self.bindings.iter();
        let bindings = bindings.map(|(exchange, binding)| {
            let name = format!("{exchange} {}", binding.routing_key());
            (name, Value::Table(binding.arguments().to_vec()))
        });
        let exchanges = self.exchanges.iter();
        let exchanges = exchanges.map(|exchange| {
            let kind = exchange.kind.as_ref().map_or("", Kind::as_str);
            (exchange.name.clone(), kind.into())
        });
        bindings.chain(exchanges).collect()
    }

    /// Takes an exchange in, after its alternate and those that it gets messages from.
    fn visit(&mut self, exchange: &Exchange) -> Result<(), WiringError> {
        if exchange.name.is_empty() {
            return Err(WiringError::Default);
        }
        if exchange.name.len() > 255 {
            return Err(WiringError::Name(exchange.name.clone()));
        }
        match &exchange.kind {
            Some(Kind::Other(kind)) if kind.is_empty() || kind.len() > 255 => {
                return Err(WiringError::Type(exchange.name.clone(), kind.clone()));
            }
            None if !exchange.is_plain() => {
                return Err(WiringError::OfExisting(exchange.name.clone()));
            }
            _ => {}
        }
        check_names(exchange, &exchange.arguments)?;
        if let Some(alternate) = &exchange.alternate {
            self.visit(alternate)?;
        }
        for (source, binding) in &exchange.sources {
            self.visit(source)?;
            check(source, binding)?;
        }
        let known = &self.exchanges;
        let at = known.iter().position(|known| known.name == exchange.name);
        match at.map(|at| (at, &self.exchanges[at])) {
            None => self.exchanges.push(exchange.clone()),
            Some(_) if exchange.kind.is_none() => {}
            // its alternate and its sources may have come meanwhile
            Some((at, known)) if known.kind.is_none() => {
                self.exchanges.remove(at);
                self.exchanges.push(exchange.clone());
            }
            Some((_, known)) if known.is_same(exchange) => {}
            Some(_) => return Err(WiringError::Twice(exchange.name.clone())),
        }
        for (source, binding) in &exchange.sources {
            let link = Link {
                source: source.name.clone(),
                destination: exchange.name.clone(),
                binding: binding.clone(),
            };
            if !self.links.contains(&link) {
                self.links.push(link);
            }
        }
        Ok(())
    }
}

fn check_names(exchange: &Exchange, arguments: &[(String, Value)]) -> Result<(), WiringError> {
    match arguments.iter().find(|(name, _)| name.len() > 255) {
        Some((name, _)) => Err(WiringError::Argument(exchange.name.clone(), name.clone())),
        None => Ok(()),
    }
}

fn check(exchange: &Exchange, binding: &Binding) -> Result<(), WiringError> {
    if binding.routing_key().len() > 255 {
        return Err(WiringError::RoutingKey(binding.routing_key().to_owned()));
    }
    check_names(exchange, binding.arguments())?;
    let name = || exchange.name.clone();
    match &exchange.kind {
        Some(Kind::Headers) | None if binding.is_by_headers() && !binding.compares_headers() => {
            Err(WiringError::NoHeaders(name()))
        }
        Some(Kind::Headers) if !binding.routing_key().is_empty() && !binding.compares_headers() => {
            Err(WiringError::KeyOfHeaders(name()))
        }
        Some(kind @ (Kind::Direct | Kind::Topic | Kind::Fanout)) if binding.is_by_headers() => {
            Err(WiringError::HeadersOf(name(), kind.clone()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(exchange: &Exchange, binding: impl Into<Binding>) -> WiringError {
        Wiring::new(&[(exchange.clone(), binding.into())], &[]).unwrap_err()
    }

    #[test]
    fn each_exchange_comes_once_and_after_those_that_it_needs() {
        let unwanted = Exchange::fanout("unwanted");
        let events = Exchange::topic("events").alternate(&unwanted);
        let audited = Exchange::fanout("audited").bind(&events, "order.#");
        let bindings = [
            (audited, "".into()),
            (events.clone(), "order.*".into()),
            (events.clone(), "order.*".into()),
            (Exchange::existing("events"), "user.*".into()),
        ];
        let wiring = Wiring::new(&bindings, &[events]).unwrap();
        let names: Vec<_> = wiring.exchanges().iter().map(Exchange::name).collect();
        assert_eq!(names, ["unwanted", "events", "audited"]);
        assert_eq!(wiring.links().len(), 1);
        assert_eq!(wiring.links()[0].source, "events");
        assert_eq!(wiring.bindings().len(), 3);
    }

    #[test]
    fn what_no_broker_can_do_is_refused() {
        let long = "x".repeat(256);
        assert_eq!(refused(&Exchange::topic(""), "a"), WiringError::Default);
        let named = refused(&Exchange::topic(long.as_str()), "a");
        assert_eq!(named, WiringError::Name(long.clone()));
        let keyed = refused(&Exchange::topic("events"), long.as_str());
        assert_eq!(keyed, WiringError::RoutingKey(long.clone()));
        let typed = refused(&Exchange::of_type("events", long.as_str()), "a");
        assert_eq!(typed, WiringError::Type("events".to_owned(), long.clone()));
        let by_long = Binding::all_of([(long.as_str(), "acme")]);
        let argument = WiringError::Argument("events".to_owned(), long.clone());
        assert_eq!(refused(&Exchange::headers("events"), by_long), argument);
        let declared = Exchange::topic("events").argument(long, 1);
        assert_eq!(refused(&declared, "a"), argument);
        let both = [
            (Exchange::topic("events"), "a".into()),
            (Exchange::topic("events").transient(), "a".into()),
        ];
        let twice = Wiring::new(&both, &[]).unwrap_err();
        assert_eq!(twice, WiringError::Twice("events".to_owned()));
    }

    #[test]
    fn a_binding_that_its_exchange_would_not_look_at_is_refused() {
        let by_header = Binding::all_of([("tenant", "acme")]);
        let error = refused(&Exchange::topic("events"), by_header.clone()).to_string();
        assert!(error.contains("topic exchange `events`"), "{error}");
        let error = refused(&Exchange::headers("events"), "order.#").to_string();
        assert!(error.contains("`Binding::all_of`"), "{error}");
        // `x-match` is `all` where nothing is said
        let with_key = Binding::key("order").argument("tenant", "acme");
        let by_both = (Exchange::headers("events"), with_key);
        assert!(Wiring::new(&[by_both], &[]).is_ok());
        let by_any = (Exchange::existing("theirs"), by_header);
        assert!(Wiring::new(&[by_any], &[]).is_ok());
    }

    #[test]
    fn a_binding_that_compares_no_header_is_refused() {
        let nothing = || Vec::<(String, Value)>::new();
        let kind = [("x-kind", "invoice")];
        for exchange in [Exchange::headers("events"), Exchange::existing("events")] {
            for binding in [
                Binding::all_of(nothing()),
                Binding::any_of(nothing()),
                Binding::all_of(kind),
            ] {
                let error = WiringError::NoHeaders("events".to_owned());
                assert_eq!(refused(&exchange, binding), error);
            }
            let with_x = Binding::all_of(kind).with_x_headers();
            assert!(Wiring::new(&[(exchange, with_x)], &[]).is_ok());
        }
    }

    #[test]
    fn what_means_nothing_for_an_exchange_of_others_is_refused() {
        let theirs = || Exchange::existing("theirs");
        let unwanted = Exchange::fanout("unwanted");
        for exchange in [
            theirs().transient(),
            theirs().auto_delete(),
            theirs().alternate(&unwanted),
            theirs().argument("x", 1),
        ] {
            let error = WiringError::OfExisting("theirs".to_owned());
            assert_eq!(refused(&exchange, "a"), error);
        }
    }

    #[test]
    fn an_exchange_that_is_described_later_comes_after_its_alternate() {
        let unwanted = Exchange::fanout("unwanted");
        let events = Exchange::topic("events").alternate(&unwanted);
        let bindings = [
            (Exchange::existing("events"), "user.*".into()),
            (events, "order.*".into()),
        ];
        let wiring = Wiring::new(&bindings, &[]).unwrap();
        let names: Vec<_> = wiring.exchanges().iter().map(Exchange::name).collect();
        assert_eq!(names, ["unwanted", "events"]);
    }

    #[test]
    fn an_argument_that_is_given_twice_counts_once_and_the_order_means_nothing() {
        let events = || Exchange::topic("events");
        let one = events().argument("a", 0).argument("b", 2).argument("a", 1);
        let other = events().argument("a", 1).argument("b", 2);
        let bindings = [(one, "a".into()), (other, "b".into())];
        assert!(Wiring::new(&bindings, &[]).is_ok());
        let binding = Binding::all_of([("tenant", "acme"), ("tenant", "other")]);
        assert_eq!(binding.arguments().len(), 2);
        assert_eq!(binding.arguments()[1].1, "other".into());
    }
}
