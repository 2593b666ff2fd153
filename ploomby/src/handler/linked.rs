use std::{fmt, future::Future, sync::Arc};

use super::{Entry, HandlerOptions, Origin, pattern};
#[cfg(feature = "asyncapi")]
use crate::schema::SchemaOf;
use crate::{
    delivery::Delivery,
    extract::Requirements,
    layer::{Bare, start},
    outcome::Failure,
    reply::Answer,
};

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
    /// The lines of the doc comment.
    pub docs: &'static [&'static str],
    /// Says what else there is to say.
    pub describe: fn(&mut Description),
}

/// What the program learns of a handler when it starts.
#[derive(Default)]
pub struct Description {
    /// The name of the function's type.
    pub type_name: &'static str,
    /// What the attribute says beside the keys.
    pub options: HandlerOptions,
    /// What the arguments need from the program.
    pub requirements: Requirements,
    /// The type of what goes back to who asked.
    pub reply: Option<&'static str>,
    /// How what goes back is described.
    #[cfg(feature = "asyncapi")]
    pub reply_schema: Option<SchemaOf>,
    call: Option<Arc<Bare>>,
}

/// One thing that a handler answers to.
#[derive(Clone, Copy, Debug)]
pub enum LinkedKey {
    /// Messages with this key.
    Key(&'static str),
    /// Messages with a key that fits this pattern.
    Pattern(&'static str),
    /// Messages with a key that no handler has, and those without a key.
    Default,
}

inventory::collect!(LinkedHandler);

impl LinkedKey {
    /// The value of a constant, looked at when the program is compiled.
    ///
    /// # Panics
    ///
    /// Where it is empty, or has a wildcard.
    pub const fn constant(key: &'static str) -> Self {
        assert!(
            !key.is_empty(),
            "a key cannot be empty: #[handler] alone takes the function's name"
        );
        let text = key.as_bytes();
        let mut at = 0;
        while at < text.len() {
            assert!(
                text[at] != b'*' && text[at] != b'#',
                "`*` and `#` stand for words in a pattern alone: write `pattern = …`, or register a key that holds them by hand"
            );
            at += 1;
        }
        Self::Key(key)
    }

    /// The value of a constant, as a pattern.
    ///
    /// # Panics
    ///
    /// Where it is none.
    pub const fn pattern(pattern: &'static str) -> Self {
        if let Some(fault) = pattern::fault_of(pattern) {
            panic!("{}", fault);
        }
        Self::Pattern(pattern)
    }
}

impl Description {
    /// How the function is called: `call` decodes the arguments first.
    pub fn run<F, W>(&mut self, call: F)
    where
        F: Fn(Delivery) -> W + Copy + Send + Sync + 'static,
        W: Future<Output = Result<Answer, Failure>> + Send + 'static,
    {
        self.call = Some(Arc::new(move |delivery| start(delivery, call)));
    }
}

impl LinkedHandler {
    pub(super) fn description(&self) -> Description {
        let mut description = Description::default();
        (self.describe)(&mut description);
        description
    }

    pub(super) fn entry(&self) -> Entry {
        let description = self.description();
        Entry {
            call: description
                .call
                .expect("the attribute says how it is called"),
            options: Arc::new(description.options),
            requirements: Arc::new(description.requirements),
            reply: description.reply,
            #[cfg(feature = "asyncapi")]
            reply_schema: description.reply_schema,
            docs: self.docs,
            origin: Origin {
                name: self.name,
                file: self.file,
                line: self.line,
            },
        }
    }

    /// Whether rustdoc, which makes one program of many doc tests, runs another one of them now.
    pub(super) fn is_of_another_doc_test(&self) -> bool {
        // set by what rustdoc writes around the tests, for each of them in a process of its own
        let running = std::env::var("RUSTDOC_DOCTEST_RUN_NB_TEST").ok();
        running.is_some_and(|number| is_of_another(self.name, &number))
    }
}

/// The module of a merged doc test is called `__doctest_` and its number.
fn is_of_another(path: &str, running: &str) -> bool {
    let mut modules = path.split("::");
    let number = modules.find_map(|module| module.strip_prefix("__doctest_"));
    number.is_some_and(|number| number != running)
}

impl fmt::Debug for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Description")
            .field("type_name", &self.type_name)
            .field("options", &self.options)
            .field("requirements", &self.requirements)
            .field("reply", &self.reply)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::is_of_another;

    #[test]
    fn a_merged_doc_test_has_the_handlers_of_its_own_module() {
        assert!(is_of_another("merged::__doctest_1::main::greet", "0"));
        assert!(!is_of_another("merged::__doctest_1::main::greet", "1"));
        assert!(!is_of_another("my_handlers::greet", "1"));
    }
}
