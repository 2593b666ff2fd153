use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    panic::Location,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

pub use self::error::InvalidHandlers;
use self::error::{Duplicate, Fault, Unfit};
pub(crate) use self::functions::Registered;
use super::{
    Entry, HandlerFunction, HandlerOptions, KeyPattern, Origin, QueuePolicy, Rate, Table,
    linked::{LinkedHandler, LinkedKey},
    routes::Index,
};
use crate::{
    brake::Brakes,
    extract::{Given, Requirements},
    metrics::QueueMeter,
};

mod error;
mod functions;
mod patterns;
#[cfg(feature = "testing")]
mod staged;

/// Which function handles which key.
///
/// [`linked`](Self::linked) is what [`#[handler]`](macro@crate::handler) filled; [`new`](Self::new)
/// starts an empty one to fill by hand.
///
/// ```
/// use ploomby::HandlerRegistry;
///
/// async fn greet(name: String) {
///     println!("hello, {name}");
/// }
///
/// let handlers = HandlerRegistry::new()
///     .register("greet", greet)
///     .register("count", |number: u32| async move { println!("{number}") });
/// assert!(handlers.contains("greet"));
/// ```
#[derive(Clone, Default)]
pub struct HandlerRegistry {
    handlers: HashMap<Address, Entry>,
    duplicates: Vec<Duplicate>,
    unfit: Vec<Unfit>,
    /// Those that are for no queue alone, once a queue asked: all of them share this.
    for_all_queues: OnceLock<Arc<Index>>,
    /// How many functions are for queues that this program does not consume.
    left_out: usize,
}

/// What a function answers to, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Address {
    /// `None` for all queues.
    queue: Option<String>,
    answers: Answers,
}

/// Which messages a function handles.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answers {
    Key(String),
    Pattern(KeyPattern),
    /// Those that no other function does.
    Default,
}

/// Those whose messages the handlers are for.
#[derive(Clone, Copy)]
pub(crate) enum Queues<'a> {
    All(&'a [&'a str]),
    /// There may be others.
    Some(&'a [&'a str]),
}

impl HandlerRegistry {
    /// A registry without handlers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All functions of the program that carry `#[handler]`, from every crate that is linked.
    ///
    /// The linker leaves out a crate of which nothing is used: name it once, with
    /// `use my_handlers as _;`.
    #[must_use]
    pub fn linked() -> Self {
        let mut registry = Self::new();
        let handlers = inventory::iter::<LinkedHandler>.into_iter();
        for linked in handlers.filter(|handler| !handler.is_of_another_doc_test()) {
            let entry = linked.entry();
            for key in linked.keys {
                match key {
                    LinkedKey::Key(key) => registry.insert_key(key, entry.clone()),
                    LinkedKey::Pattern(pattern) => registry.insert_pattern(pattern, entry.clone()),
                    LinkedKey::Default => registry.insert(Answers::Default, entry.clone()),
                }
            }
        }
        registry
    }

    /// Adds a function by hand. Its arguments are owned: a payload that borrows from the message
    /// takes the attribute. So does one that is to be validated without saying so: with the feature
    /// `garde`, `Valid<T>` is the argument of a function that is registered by hand.
    ///
    /// A key that is taken already is reported by [`check`](Self::check), and so at startup; so is one that has `*` or `#` as a
    /// word, which is a [pattern](Self::register_pattern).
    #[must_use]
    #[track_caller]
    pub fn register<H, M>(self, key: &str, handler: H) -> Self
    where
        H: HandlerFunction<M>,
    {
        self.register_with(key, HandlerOptions::new(), handler)
    }

    /// Adds a function that is run in a way of its own.
    #[must_use]
    #[track_caller]
    pub fn register_with<H, M>(mut self, key: &str, options: HandlerOptions, handler: H) -> Self
    where
        H: HandlerFunction<M>,
    {
        let entry = by_hand(handler, options, Location::caller());
        self.insert_key(key, entry);
        self
    }

    /// Adds the function for messages with a key that no other is for, and for messages without a key.
    #[must_use]
    #[track_caller]
    pub fn register_default<H, M>(self, handler: H) -> Self
    where
        H: HandlerFunction<M>,
    {
        self.register_default_with(HandlerOptions::new(), handler)
    }

    /// Adds the function for what no other is for, to be run in a way of its own.
    #[must_use]
    #[track_caller]
    pub fn register_default_with<H, M>(mut self, options: HandlerOptions, handler: H) -> Self
    where
        H: HandlerFunction<M>,
    {
        let entry = by_hand(handler, options, Location::caller());
        self.insert(Answers::Default, entry);
        self
    }

    /// Leaves out the handlers of all queues but these, by their option `queue`. Those for all queues stay.
    ///
    /// For programs that share a library of handlers, and consume a part of its queues each;
    /// [`App::only`](crate::App::only) does the same.
    #[must_use]
    pub fn only<Q: AsRef<str>>(mut self, queues: impl IntoIterator<Item = Q>) -> Self {
        let queues: Vec<_> = queues.into_iter().collect();
        let is_of_others = |queue: &Option<String>| {
            let is_it = |own: &str| queues.iter().any(|queue| queue.as_ref() == own);
            queue.as_deref().is_some_and(|own| !is_it(own))
        };
        let before = self.origins().len();
        self.handlers
            .retain(|address, _| !is_of_others(&address.queue));
        self.duplicates
            .retain(|duplicate| !is_of_others(&duplicate.address.queue));
        self.unfit.retain(|unfit| !is_of_others(&unfit.queue));
        self.left_out += before - self.origins().len();
        self
    }

    /// Whether a function was registered for this very key, not for a pattern that it fits.
    pub fn contains(&self, key: &str) -> bool {
        self.keys().any(|known| known == key)
    }

    /// The registered keys, in no particular order. One that several queues have their own function
    /// for is there as often.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let addresses = self.handlers.keys();
        addresses.filter_map(|address| match &address.answers {
            Answers::Key(key) => Some(key.as_str()),
            Answers::Pattern(_) | Answers::Default => None,
        })
    }

    /// Reports what can be known to be wrong before the first message.
    ///
    /// # Errors
    ///
    /// One error that lists all: keys with two functions, patterns of which none goes first, or no function at all.
    pub fn check(&self) -> Result<(), InvalidHandlers> {
        self.check_for(Queues::Some(&[]), None)
    }

    /// The same, which of these queues have no handler, and which handlers need state that is not given; where
    /// these are all queues, which handlers are for others.
    pub(crate) fn check_for(
        &self,
        queues: Queues<'_>,
        given: Option<Given<'_>>,
    ) -> Result<(), InvalidHandlers> {
        let mut duplicates = self.duplicates.clone();
        duplicates.sort_by(|a, b| a.address.cmp(&b.address));
        let mut idle: Vec<_> = self.handlers.values().filter_map(idle).collect();
        in_order(&mut idle);
        let mut unconsumed = match queues {
            Queues::All(queues) => self.unconsumed(queues),
            Queues::Some(_) => Vec::new(),
        };
        in_order(&mut unconsumed);
        let unhandled = self.unhandled(queues);
        let mut without_state = given.map_or_else(Vec::new, |given| self.without_state(given));
        in_order(&mut without_state);
        let mut not_batches: Vec<_> = self.handlers.values().filter_map(not_a_batch).collect();
        in_order(&mut not_batches);
        let mut beside_batch: Vec<_> = self.handlers.values().filter_map(beside_batch).collect();
        in_order(&mut beside_batch);
        let mut faults = Vec::new();
        if !self.unfit.is_empty() {
            faults.push(Fault::Unfit(self.unfit.clone()));
        }
        let ties = self.ties();
        if !ties.is_empty() {
            faults.push(Fault::Ties(ties));
        }
        if !duplicates.is_empty() {
            faults.push(Fault::Duplicates(duplicates));
        }
        if !idle.is_empty() {
            faults.push(Fault::Idle(idle));
        }
        if !unconsumed.is_empty() {
            faults.push(Fault::Unconsumed(unconsumed));
        }
        if !without_state.is_empty() {
            faults.push(Fault::WithoutState(without_state));
        }
        if !not_batches.is_empty() {
            faults.push(Fault::NotBatches(not_batches));
        }
        if !beside_batch.is_empty() {
            faults.push(Fault::BesideBatch(beside_batch));
        }
        if self.handlers.is_empty() && self.left_out == 0 {
            faults.push(Fault::Empty);
        } else if !unhandled.is_empty() {
            faults.push(Fault::Unhandled(unhandled));
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(InvalidHandlers(faults))
        }
    }

    /// Says what is registered, for so many queues: in one line, and at `debug` each function with its place.
    pub(crate) fn log(&self, queues: usize) {
        let handlers = self.origins().len();
        let many = |number| if number == 1 { "" } else { "s" };
        let crates = crates(self.handlers.values());
        let left_out = match self.left_out {
            0 => String::new(),
            number => format!("; {number} of other queues left out"),
        };
        info!(
            "{handlers} handler{} for {queues} queue{} from {}{left_out}",
            many(handlers),
            many(queues),
            crates.join(", "),
        );
        for (address, entry) in &self.handlers {
            debug!(key = address.answers.text(), queue = address.queue, handler = %entry.origin, "registered");
        }
    }

    /// The functions, each once.
    fn origins(&self) -> BTreeSet<Origin> {
        self.handlers.values().map(|entry| entry.origin).collect()
    }

    /// Of which each message would be dead-lettered.
    fn unhandled(&self, queues: Queues<'_>) -> Vec<String> {
        let (Queues::All(queues) | Queues::Some(queues)) = queues;
        let is_handled = |queue: &&&str| {
            let mut addresses = self.handlers.keys();
            addresses.any(|address| address.queue.as_deref().is_none_or(|own| own == **queue))
        };
        let unhandled = queues.iter().filter(|queue| !is_handled(queue));
        unhandled.map(|queue| (*queue).to_owned()).collect()
    }

    fn unconsumed(&self, queues: &[&str]) -> Vec<(String, Origin)> {
        let handlers = self.handlers.iter();
        handlers
            .filter_map(|(address, entry)| {
                let queue = address.queue.as_ref()?;
                (!queues.contains(&queue.as_str())).then(|| (queue.clone(), entry.origin))
            })
            .collect()
    }

    /// Whether a handler takes state of this type.
    pub(crate) fn takes<T: 'static>(&self) -> bool {
        let mut handlers = self.handlers.values();
        handlers.any(|entry| entry.requirements.includes::<T>())
    }

    fn without_state(&self, given: Given<'_>) -> Vec<(String, Origin)> {
        let handlers = self.handlers.values();
        handlers
            .filter_map(|entry| {
                let missing = entry.requirements.missing(given);
                (!missing.is_empty()).then(|| (missing.join("`, `"), entry.origin))
            })
            .collect()
    }

    /// The functions for the messages of one queue. Those that are for it alone go before the others.
    pub(crate) fn table(
        &self,
        queue: &str,
        policy: &QueuePolicy,
        brakes: &Arc<Brakes>,
        meter: &QueueMeter,
        stop: &CancellationToken,
    ) -> Table {
        let functions = |wanted: Option<&str>| {
            let found = self.handlers.iter();
            let found = found.filter(|(address, _)| address.queue.as_deref() == wanted);
            let functions = found.map(|(address, entry)| (&address.answers, entry));
            Arc::new(Index::new(functions))
        };
        let shared = self.for_all_queues.get_or_init(|| functions(None));
        let own = functions(Some(queue));
        Table::new(shared.clone(), own, policy, brakes, meter, stop)
    }

    fn insert(&mut self, answers: Answers, entry: Entry) {
        let address = Address {
            queue: entry.options.queue.clone(),
            answers,
        };
        self.for_all_queues = OnceLock::new();
        match self.handlers.get(&address) {
            Some(first) => self.duplicates.push(Duplicate {
                address,
                first: first.origin,
                second: entry.origin,
            }),
            None => {
                self.handlers.insert(address, entry);
            }
        }
    }
}

/// The crates that functions stand in, each once.
pub(super) fn crates<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<&'static str> {
    let paths = entries.map(|entry| entry.origin.name);
    let names = paths.map(|path| path.split_once("::").map_or(path, |(name, _)| name));
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

fn by_hand<H, M>(handler: H, options: HandlerOptions, location: &'static Location<'static>) -> Entry
where
    H: HandlerFunction<M>,
{
    let mut requirements = Requirements::default();
    H::require(&mut requirements);
    let handler = Arc::new(handler);
    Entry {
        call: Arc::new(move |delivery| handler.call(delivery)),
        requirements: Arc::new(requirements),
        reply: H::reply_type(),
        #[cfg(feature = "asyncapi")]
        reply_schema: None,
        docs: &[],
        options: Arc::new(options),
        origin: Origin {
            name: std::any::type_name::<H>(),
            file: location.file(),
            line: location.line(),
        },
    }
}

/// By where the functions stand, each fault once, although a function may have several keys.
fn in_order<T: Ord>(faults: &mut Vec<(T, Origin)>) {
    faults.sort_by(|(a, at), (b, other)| (at, a).cmp(&(other, b)));
    faults.dedup();
}

/// What keeps a handler from ever being done.
fn idle(entry: &Entry) -> Option<(&'static str, Origin)> {
    let option = if entry.options.concurrency == Some(0) {
        "concurrency"
    } else if entry.options.rate.is_some_and(Rate::is_zero) {
        "rate"
    } else if entry.options.batch_size == Some(0) {
        "batch_size"
    } else if entry.options.timeout == Some(Duration::ZERO) {
        "timeout"
    } else {
        return None;
    };
    Some((option, entry.origin))
}

/// An option for batches, on a handler that takes none.
fn not_a_batch(entry: &Entry) -> Option<(&'static str, Origin)> {
    let option = if entry.requirements.is_batch() {
        return None;
    } else if entry.options.batch_size.is_some() {
        "batch_size"
    } else if entry.options.batch_wait.is_some() {
        "batch_wait"
    } else {
        return None;
    };
    Some((option, entry.origin))
}

/// What is of one message, in a handler that takes several.
fn beside_batch(entry: &Entry) -> Option<(String, Origin)> {
    let arguments = entry.requirements.beside_batch();
    (!arguments.is_empty()).then(|| (arguments.join("`, `"), entry.origin))
}

impl fmt::Debug for HandlerRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerRegistry")
            .field("handlers", &self.handlers)
            .finish_non_exhaustive()
    }
}
