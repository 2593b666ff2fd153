use thiserror::Error;

use super::{Address, Answers, Entry, Origin};

/// Handlers that cannot be started with.
#[derive(Error)]
#[error("{}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n"))]
pub struct InvalidHandlers(pub(super) Vec<Fault>);

#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error("two handlers for one key, rename or remove one of each:{}", lines(.0))]
    Duplicates(Vec<Duplicate>),
    #[error(
        "keys and patterns that are none:{}",
        .0.iter().map(|unfit| format!("\n  {:?} of {}: {}", unfit.text, unfit.origin, unfit.fault)).collect::<String>()
    )]
    Unfit(Vec<Unfit>),
    #[error(
        "patterns that a key may fit both of, and of which none goes before the other, spell out more words of one, or give the \
         keys that fit both a handler of their own pattern:{}",
        .0.iter().map(Tie::line).collect::<String>()
    )]
    Ties(Vec<Tie>),
    #[error(
        "handlers with an option of 0, which would never be done: choose 1 or more:{}",
        .0.iter().map(|(option, origin)| format!("\n  `{option}` of {origin}")).collect::<String>()
    )]
    Idle(Vec<(&'static str, Origin)>),
    #[error(
        "handlers for queues that nobody consumes, add these queues or correct their names:{}",
        .0.iter().map(|(queue, origin)| format!("\n  queue `{queue}`: {origin}")).collect::<String>()
    )]
    Unconsumed(Vec<(String, Origin)>),
    #[error(
        "queues that no handler is for, so that all their messages would be dead-lettered, add a handler or correct \
         a name: {}",
        .0.iter().map(|queue| format!("`{queue}`")).collect::<Vec<_>>().join(", ")
    )]
    Unhandled(Vec<String>),
    #[error(
        "handlers take state that the program does not give, give it by `App::state`, or by \
         `MessageConsumerRegistry::state`:{}",
        .0.iter().map(|(state, origin)| format!("\n  `{state}`: {origin}")).collect::<String>()
    )]
    WithoutState(Vec<(String, Origin)>),
    #[error(
        "handlers with an option for batches that take one message at a time, take \
         `ploomby::extract::Batch` or remove the option:{}",
        .0.iter().map(|(option, origin)| format!("\n  `{option}` of {origin}")).collect::<String>()
    )]
    NotBatches(Vec<(&'static str, Origin)>),
    #[error(
        "handlers of a `Batch` that take what belongs to one message, which each item of the batch \
         has by `delivery()`:{}",
        .0.iter().map(|(argument, origin)| format!("\n  `{argument}`: {origin}")).collect::<String>()
    )]
    BesideBatch(Vec<(String, Origin)>),
    #[error(
        "no handler is registered: put #[ploomby::handler(\"key\")] on an async function, and name \
         the crate that it lives in where that is another one (`use my_handlers as _;`)"
    )]
    Empty,
}

/// What a function cannot answer to.
#[derive(Clone, Debug)]
pub(super) struct Unfit {
    text: String,
    fault: &'static str,
    pub(super) queue: Option<String>,
    origin: Origin,
}

impl Unfit {
    pub(super) fn new(text: &str, fault: &'static str, entry: &Entry) -> Self {
        Self {
            text: text.to_owned(),
            fault,
            queue: entry.options.queue.clone(),
            origin: entry.origin,
        }
    }
}

/// Two patterns of which none goes first.
#[derive(Debug)]
pub(super) struct Tie {
    pub(super) first: (String, Origin),
    pub(super) second: (String, Origin),
}

impl Tie {
    fn line(&self) -> String {
        let Self { first, second } = self;
        format!(
            "\n  {:?}: {}, and {:?}: {}",
            first.0, first.1, second.0, second.1
        )
    }
}

#[derive(Clone, Debug)]
pub(super) struct Duplicate {
    pub(super) address: Address,
    pub(super) first: Origin,
    pub(super) second: Origin,
}

fn lines(duplicates: &[Duplicate]) -> String {
    use std::fmt::Write;

    let mut text = String::new();
    for Duplicate {
        address,
        first,
        second,
    } in duplicates
    {
        let key = match &address.answers {
            Answers::Key(key) => format!("key {key:?}"),
            Answers::Pattern(pattern) => format!("pattern {:?}", pattern.as_str()),
            Answers::Default => "the default handler".to_owned(),
        };
        let queue = match &address.queue {
            Some(queue) => format!(" of queue `{queue}`"),
            None => String::new(),
        };
        // the order in which the linker lists functions is no one's business
        let (first, second) = if (first.file, first.line) <= (second.file, second.line) {
            (first, second)
        } else {
            (second, first)
        };
        let _ = write!(text, "\n  {key}{queue}: {first} and {second}");
    }
    text
}

debug_is_text!(InvalidHandlers);
