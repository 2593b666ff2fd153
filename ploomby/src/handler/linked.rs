use std::sync::Arc;

use super::{Call, Entry, HandlerOptions, Origin};
use crate::{delivery::Delivery, extract::Requirements, layer::HandlerFuture};

/// What `#[handler]` leaves in the program for [`HandlerRegistry::linked`] to find.
///
/// [`HandlerRegistry::linked`]: super::HandlerRegistry::linked
#[derive(Debug)]
pub struct LinkedHandler {
    /// What the function answers to.
    pub keys: &'static [LinkedKey],
    /// The function's path.
    pub name: &'static str,
    /// The file that it is written in.
    pub file: &'static str,
    /// The line of the attribute.
    pub line: u32,
    /// Says what else there is to say.
    pub describe: fn(&mut Description),
    /// Decodes the arguments and calls the function.
    pub call: fn(Delivery) -> HandlerFuture,
}

/// What the program learns of a handler when it starts.
#[derive(Debug, Default)]
pub struct Description {
    /// The name of the function's type.
    pub type_name: &'static str,
    /// What the attribute says beside the keys.
    pub options: HandlerOptions,
    /// What the arguments need from the program.
    pub requirements: Requirements,
}

/// One thing that a handler answers to.
#[derive(Clone, Copy, Debug)]
pub enum LinkedKey {
    /// Messages with this key.
    Key(&'static str),
    /// Messages with a key that no handler has.
    Default,
}

inventory::collect!(LinkedHandler);

impl LinkedHandler {
    pub(super) fn description(&self) -> Description {
        let mut description = Description::default();
        (self.describe)(&mut description);
        description
    }

    pub(super) fn entry(&self) -> Entry {
        let description = self.description();
        Entry {
            call: Call::Linked(self.call),
            options: Arc::new(description.options),
            requirements: Arc::new(description.requirements),
            origin: Origin {
                name: self.name,
                file: self.file,
                line: self.line,
            },
        }
    }
}
