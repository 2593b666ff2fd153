use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::Value as Json;

use super::{Finding, of_queue};
use crate::ops::{HandlerInfo, Program};

#[cfg(feature = "asyncapi")]
mod schemas;

impl Program {
    /// What breaks a contract, which is a document of AsyncAPI 3: queues that the program does not consume any more, and
    /// keys that no handler takes. With the feature `asyncapi` also payloads that would not be taken any more, and replies
    /// that are not what was promised, as far as both documents have schemas of them.
    ///
    /// # Errors
    ///
    /// What is no such document.
    pub fn against(&self, document: &Json) -> Result<Vec<Finding>, String> {
        let version = document["asyncapi"].as_str();
        match version {
            Some(version) if version.starts_with("3.") => {}
            Some(version) => {
                return Err(format!(
                    "it is of AsyncAPI {version}, and version 3 is read"
                ));
            }
            None => return Err("it is no document of AsyncAPI".to_owned()),
        }
        let mut findings = Vec::new();
        for (queue, messages) in contract(document) {
            let keys: Vec<_> = messages.keys().cloned().collect();
            findings.extend(self.against_queue(&queue, &keys));
        }
        #[cfg(feature = "asyncapi")]
        findings.extend(schemas::against(self, document));
        Ok(findings)
    }

    fn against_queue(&self, queue: &str, keys: &[String]) -> Vec<Finding> {
        if self.queue(queue).is_err() {
            let text = "is in the contract, and the program does not consume it";
            return vec![
                Finding::bad(of_queue(queue), text).remedy("consume it, or change the contract"),
            ];
        }
        let of_queue_ones = self.handlers.iter().filter(|handler| {
            let own = handler.queue.as_deref();
            own.is_none_or(|own| own == queue)
        });
        let handlers: Vec<_> = of_queue_ones.collect();
        if handlers.iter().any(|handler| handler.is_default) {
            return vec![Finding::good(
                of_queue(queue),
                "has a default handler, which takes each key of the contract",
            )];
        }
        let missing = keys
            .iter()
            .filter(|key| !handlers.iter().any(|handler| takes(handler, key)));
        let missing: Vec<_> = missing
            .map(|key| {
                Finding::bad(
                    of_queue(queue),
                    format!("the contract has the key `{key}`, and no handler takes it"),
                )
                .remedy("keep a handler for it until nobody sends it")
            })
            .collect();
        match missing.is_empty() {
            true => vec![Finding::good(
                of_queue(queue),
                format!(
                    "has a handler for each of {} keys of the contract",
                    keys.len()
                ),
            )],
            false => missing,
        }
    }
}

/// Whether a handler takes a key, or all that a pattern takes.
fn takes(handler: &HandlerInfo, key: &str) -> bool {
    handler.takes(key) || handler.patterns.iter().any(|pattern| pattern == key)
}

/// The messages of each queue, by their keys.
fn contract(document: &Json) -> BTreeMap<String, BTreeMap<String, &Json>> {
    let mut queues = BTreeMap::<_, BTreeMap<_, _>>::new();
    for (name, channel) in document["channels"].as_object().into_iter().flatten() {
        // replies go where the request says
        if channel.get("address").is_some_and(Json::is_null) {
            continue;
        }
        let binding = &channel["bindings"]["amqp"]["queue"]["name"];
        let queue = binding
            .as_str()
            .or(channel["address"].as_str())
            .unwrap_or(name);
        let messages = queues.entry(queue.to_owned()).or_default();
        for (name, message) in channel["messages"].as_object().into_iter().flatten() {
            let message = resolved(document, message);
            let key = message["name"].as_str().unwrap_or(name);
            messages.insert(key.to_owned(), message);
        }
    }
    queues
}

/// What a reference inside of the document means.
fn resolved<'d>(document: &'d Json, part: &'d Json) -> &'d Json {
    pointed(document, part).unwrap_or(part)
}

/// What a reference inside of a document points at: a JSON pointer, written as the fragment of a URI. None of what is no
/// reference.
pub(in crate::ops) fn pointed<'d>(document: &'d Json, reference: &Json) -> Option<&'d Json> {
    let path = reference.get("$ref")?.as_str()?.strip_prefix('#')?;
    let path = percent_decode_str(path).decode_utf8().ok()?;
    document.pointer(&path)
}
