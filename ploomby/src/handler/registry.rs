use std::{collections::HashMap, fmt, panic::Location, sync::Arc};

use thiserror::Error;

use super::{
    Call, Entry, HandlerFunction, Origin,
    linked::{LinkedHandler, LinkedKey},
};

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
    handlers: HashMap<Box<str>, Entry>,
    default: Option<Entry>,
    duplicates: Vec<Duplicate>,
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
        for linked in inventory::iter::<LinkedHandler> {
            for key in linked.keys {
                match key {
                    LinkedKey::Key(key) => registry.insert(key, linked.entry()),
                    LinkedKey::Default => registry.insert_default(linked.entry()),
                }
            }
        }
        registry
    }

    /// Adds a function by hand. Its arguments are owned: a payload that borrows from the message
    /// takes the attribute.
    ///
    /// A key that is taken already is reported by [`check`](Self::check), and so at startup.
    #[must_use]
    #[track_caller]
    pub fn register<H, M>(mut self, key: &str, handler: H) -> Self
    where
        H: HandlerFunction<M>,
    {
        let entry = by_hand(handler, Location::caller());
        self.insert(key, entry);
        self
    }

    /// Adds the function for messages with a key that no other has.
    #[must_use]
    #[track_caller]
    pub fn register_default<H, M>(mut self, handler: H) -> Self
    where
        H: HandlerFunction<M>,
    {
        let entry = by_hand(handler, Location::caller());
        self.insert_default(entry);
        self
    }

    /// Whether a function was registered for this very key.
    pub fn contains(&self, key: &str) -> bool {
        self.handlers.contains_key(key)
    }

    /// The registered keys, in no particular order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.handlers.keys().map(AsRef::as_ref)
    }

    /// Reports what can be known to be wrong before the first message.
    ///
    /// # Errors
    ///
    /// One error that lists all: keys with two functions, or no function at all.
    pub fn check(&self) -> Result<(), HandlersError> {
        if !self.duplicates.is_empty() {
            let mut duplicates = self.duplicates.clone();
            duplicates.sort_by(|a, b| a.key.cmp(&b.key));
            return Err(HandlersError(Fault::Duplicates(duplicates)));
        }
        if self.handlers.is_empty() && self.default.is_none() {
            return Err(HandlersError(Fault::Empty));
        }
        Ok(())
    }

    /// The function for a key, or the default one.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.handlers.get(key).or(self.default.as_ref())
    }

    fn insert(&mut self, key: &str, entry: Entry) {
        match self.handlers.get(key) {
            Some(first) => self.duplicates.push(Duplicate {
                key: Some(key.into()),
                first: first.origin,
                second: entry.origin,
            }),
            None => {
                self.handlers.insert(key.into(), entry);
            }
        }
    }

    fn insert_default(&mut self, entry: Entry) {
        match &self.default {
            Some(first) => self.duplicates.push(Duplicate {
                key: None,
                first: first.origin,
                second: entry.origin,
            }),
            None => self.default = Some(entry),
        }
    }
}

fn by_hand<H, M>(handler: H, location: &'static Location<'static>) -> Entry
where
    H: HandlerFunction<M>,
{
    Entry {
        call: Call::ByHand(Arc::new(move |delivery| handler.call(delivery))),
        origin: Origin {
            name: std::any::type_name::<H>(),
            file: location.file(),
            line: location.line(),
        },
    }
}

impl fmt::Debug for HandlerRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerRegistry")
            .field("handlers", &self.handlers)
            .field("default", &self.default)
            .finish_non_exhaustive()
    }
}

/// Handlers that cannot be started with.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct HandlersError(Fault);

#[derive(Debug, Error)]
enum Fault {
    #[error("two handlers for one key, rename or remove one of each:{}", lines(.0))]
    Duplicates(Vec<Duplicate>),
    #[error(
        "no handler is registered: put #[ploomby::handler(\"key\")] on an async function, and name \
         the crate that it lives in where that is another one (`use my_handlers as _;`)"
    )]
    Empty,
}

#[derive(Clone, Debug)]
struct Duplicate {
    /// `None` for the default handler.
    key: Option<String>,
    first: Origin,
    second: Origin,
}

fn lines(duplicates: &[Duplicate]) -> String {
    use fmt::Write;

    let mut text = String::new();
    for Duplicate { key, first, second } in duplicates {
        let key = match key {
            Some(key) => format!("key {key:?}"),
            None => "the default handler".to_owned(),
        };
        // the order in which the linker lists functions is no one's business
        let (first, second) = if (first.file, first.line) <= (second.file, second.line) {
            (first, second)
        } else {
            (second, first)
        };
        let _ = write!(text, "\n  {key}: {first} and {second}");
    }
    text
}
