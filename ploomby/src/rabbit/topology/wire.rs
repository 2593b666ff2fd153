//! Exchanges and bindings.

use amqprs::channel::{ExchangeBindArguments, ExchangeDeclareArguments, QueueBindArguments};
use tracing::warn;

use super::{
    asker::{Asker, Fault},
    difference::Difference,
    once::once,
    refusal::{Asked, Subject, TopologyError},
    staged,
};
use crate::{
    consumer::Declare,
    message::{Value, wire::field_table},
    rabbit::session::events::Closed,
    stage::Made,
    topology::{Binding, Exchange, Kind, Link, OtherExchange, Wiring},
};

/// Declares the exchanges, each after those that it needs, and the bindings between them.
pub(in crate::rabbit) async fn declare_exchanges(
    asker: &mut Asker<'_>,
    declare: Declare,
    wiring: &Wiring,
) -> Result<(), TopologyError> {
    if declare == Declare::Never {
        return Ok(());
    }
    for exchange in wiring.exchanges() {
        declare_exchange(asker, declare, exchange).await?;
    }
    for link in wiring.links() {
        let Link {
            source,
            destination,
            binding,
        } = link;
        let mut arguments = ExchangeBindArguments::new(destination, source, binding.routing_key());
        arguments.arguments(field_table(binding.arguments())?);
        let bound = asker.ask_by(async |channel| channel.exchange_bind(arguments).await);
        let destination = format!("exchange `{destination}`");
        bound
            .await
            .map_err(|fault| not_bound(fault, &destination, source, binding))?;
    }
    Ok(())
}

/// Has the exchanges' messages come to a queue, which is there.
pub(in crate::rabbit) async fn bind(
    asker: &mut Asker<'_>,
    queue: &str,
    declare: Declare,
    wiring: &Wiring,
) -> Result<(), TopologyError> {
    if declare == Declare::Never || !wiring.has_bindings() {
        return Ok(());
    }
    let broker = asker.broker();
    let name = format!("bindings of {queue}");
    once(&broker, &name, &wiring.fingerprint(), async || {
        for (exchange, binding) in wiring.bindings() {
            let mut arguments = QueueBindArguments::new(queue, exchange, binding.routing_key());
            arguments.arguments(field_table(binding.arguments())?);
            let bound = asker.ask_by(async |channel| channel.queue_bind(arguments).await);
            let destination = format!("queue `{queue}`");
            bound
                .await
                .map_err(|fault| not_bound(fault, &destination, exchange, binding))?;
        }
        Ok(())
    })
    .await
}

fn not_bound(fault: Fault, destination: &str, source: &str, binding: &Binding) -> TopologyError {
    fault.told(|closed| TopologyError::Refused {
        subject: Subject::Binding {
            destination: destination.to_owned(),
            source: source.to_owned(),
            routing_key: binding.routing_key().to_owned(),
        },
        asked: Asked::Declare,
        closed,
    })
}

/// Makes sure that an exchange is there, and routes as the program means.
async fn declare_exchange(
    asker: &mut Asker<'_>,
    declare: Declare,
    exchange: &Exchange,
) -> Result<(), TopologyError> {
    let Some(kind) = &exchange.kind else {
        return look_for(asker, exchange).await;
    };
    let broker = asker.broker();
    // a queue may have the same name
    let name = format!("exchange {}", exchange.name);
    let fingerprint = fingerprint(exchange, kind, declare);
    once(&broker, &name, &fingerprint, async || {
        // the broker itself has made those
        if !exchange.name.starts_with("amq.") {
            staged::makes(asker, Made::Exchange(&exchange.name)).await?;
        }
        declare_alone(asker, declare, exchange, kind).await
    })
    .await
}

async fn declare_alone(
    asker: &mut Asker<'_>,
    declare: Declare,
    exchange: &Exchange,
    kind: &Kind,
) -> Result<(), TopologyError> {
    let mut arguments = ExchangeDeclareArguments::new(&exchange.name, kind.as_str());
    arguments
        .durable(exchange.is_durable)
        .auto_delete(exchange.is_auto_delete)
        .arguments(field_table(&exchange.all_arguments())?);
    let declared = asker.ask_by(async |channel| channel.exchange_declare(arguments).await);
    let closed = match declared.await {
        Ok(()) => return Ok(()),
        Err(Fault::Refused(closed)) => closed,
        Err(Fault::Other(error)) => return Err(error),
    };
    if closed.is_no_right() {
        return look_instead(asker, exchange, closed).await;
    }
    let Some(difference) = Difference::read(&closed.text) else {
        return Err(refused(&exchange.name, Asked::Declare, closed));
    };
    let other = difference.of_exchange(&exchange.name);
    if declare == Declare::All || other.is_of_another_type() {
        return Err(TopologyError::OtherExchange(Box::new(other)));
    }
    warn!("{other}; it is used as it is");
    Ok(())
}

/// Without the right to declare an exchange, it is enough that it is there.
async fn look_instead(
    asker: &mut Asker<'_>,
    exchange: &Exchange,
    refusal: Closed,
) -> Result<(), TopologyError> {
    match look_for(asker, exchange).await {
        Err(TopologyError::Refused { closed, .. }) if closed.is_not_found() => {
            return Err(refused(&exchange.name, Asked::Declare, refusal));
        }
        // newer brokers want a right for looking, too
        Err(TopologyError::Refused { closed, .. }) if closed.is_no_right() => {}
        looked => looked?,
    }
    warn!(
        exchange = exchange.name,
        "the user has no right to declare this exchange, so that nothing shows whether it is as the program describes it"
    );
    Ok(())
}

async fn look_for(asker: &mut Asker<'_>, exchange: &Exchange) -> Result<(), TopologyError> {
    look_by_name(asker, &exchange.name).await
}

/// Whether there is an exchange of this name.
pub(super) async fn has_exchange(
    asker: &mut Asker<'_>,
    exchange: &str,
) -> Result<bool, TopologyError> {
    match look_by_name(asker, exchange).await {
        Ok(()) => Ok(true),
        Err(TopologyError::Refused { closed, .. }) if closed.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

async fn look_by_name(asker: &mut Asker<'_>, exchange: &str) -> Result<(), TopologyError> {
    let mut arguments = ExchangeDeclareArguments::new(exchange, "direct");
    arguments.passive(true);
    let looked = asker.ask_by(async |channel| channel.exchange_declare(arguments).await);
    looked
        .await
        .map_err(|fault| fault.told(|closed| refused(exchange, Asked::Look, closed)))
}

fn refused(exchange: &str, asked: Asked, closed: Closed) -> TopologyError {
    TopologyError::Refused {
        subject: Subject::Exchange(exchange.to_owned()),
        asked,
        closed,
    }
}

/// What tells a declaration from others.
fn fingerprint(exchange: &Exchange, kind: &Kind, declare: Declare) -> Vec<(String, Value)> {
    let mut fingerprint = exchange.all_arguments();
    fingerprint.extend([
        ("type".to_owned(), kind.as_str().into()),
        ("durable".to_owned(), exchange.is_durable.into()),
        ("auto_delete".to_owned(), exchange.is_auto_delete.into()),
        // what one mode takes as it is, another one refuses
        ("declare".to_owned(), format!("{declare:?}").into()),
    ]);
    fingerprint
}

impl Difference {
    fn of_exchange(&self, name: &str) -> OtherExchange {
        OtherExchange {
            name: name.to_owned(),
            argument: self.argument().to_owned(),
            asked: self.asked().to_owned(),
            current: self.shown().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_that_refuses_a_difference_does_not_take_the_answer_of_one_that_does_not() {
        let events = Exchange::topic("events");
        let of = |declare| fingerprint(&events, &Kind::Topic, declare);
        assert_ne!(of(Declare::Missing), of(Declare::All));
        assert_eq!(of(Declare::All), of(Declare::All));
    }
}
