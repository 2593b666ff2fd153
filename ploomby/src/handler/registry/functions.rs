use std::{collections::BTreeMap, sync::Arc};

use super::{Answers, HandlerRegistry};
use crate::handler::{HandlerOptions, docs::doc_text};
#[cfg(feature = "asyncapi")]
use crate::schema::SchemaOf;

/// A function of a registry, with all keys that it has.
pub(crate) struct Registered<'r> {
    pub(crate) keys: Vec<String>,
    pub(crate) patterns: Vec<String>,
    pub(crate) is_default: bool,
    pub(crate) options: &'r HandlerOptions,
    pub(crate) payload: Option<&'static str>,
    pub(crate) is_batch: bool,
    /// The type of what goes back to who asked.
    pub(crate) reply: Option<&'static str>,
    #[cfg(feature = "asyncapi")]
    pub(crate) schema: Option<SchemaOf>,
    #[cfg(feature = "asyncapi")]
    pub(crate) reply_schema: Option<SchemaOf>,
    /// What the body is, if not what the queue's codec makes of it.
    #[cfg(feature = "asyncapi")]
    pub(crate) content_type: Option<&'static str>,
    pub(crate) doc: Option<String>,
    pub(crate) function: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
}

impl HandlerRegistry {
    /// Its functions, each once.
    pub(crate) fn inventory(&self) -> Vec<Registered<'_>> {
        let mut found: BTreeMap<_, Registered<'_>> = BTreeMap::new();
        for (address, entry) in &self.handlers {
            // a function with several keys shares its options
            let same = (entry.origin, Arc::as_ptr(&entry.options));
            let registered = found.entry(same).or_insert_with(|| Registered {
                keys: Vec::new(),
                patterns: Vec::new(),
                is_default: false,
                options: &entry.options,
                payload: entry.requirements.payload_type(),
                is_batch: entry.requirements.is_batch(),
                reply: entry.reply,
                #[cfg(feature = "asyncapi")]
                schema: entry.options.schema.or(entry.requirements.schema()),
                #[cfg(feature = "asyncapi")]
                reply_schema: entry.options.reply_schema.or(entry.reply_schema),
                #[cfg(feature = "asyncapi")]
                content_type: entry.requirements.content_type(),
                doc: doc_text(entry.docs),
                function: entry.origin.name,
                file: entry.origin.file,
                line: entry.origin.line,
            });
            match &address.answers {
                Answers::Key(key) => registered.keys.push(key.clone()),
                Answers::Pattern(pattern) => registered.patterns.push(pattern.to_string()),
                Answers::Default => registered.is_default = true,
            }
        }
        let mut found: Vec<_> = found.into_values().collect();
        for registered in &mut found {
            registered.keys.sort();
            registered.patterns.sort();
        }
        found
    }
}
