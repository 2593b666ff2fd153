use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{Finding, of_queue};
use crate::ops::Program;

impl Program {
    /// What breaks a contract, which is a document of AsyncAPI 3: queues that the program does not consume any more, and
    /// keys that no handler takes. Payloads are not compared.
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
        for (queue, keys) in contract(document) {
            findings.extend(self.against_queue(&queue, &keys));
        }
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
            .filter(|key| !handlers.iter().any(|handler| handler.keys.contains(*key)));
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

/// The keys of each queue.
fn contract(document: &Json) -> BTreeMap<String, Vec<String>> {
    let mut queues = BTreeMap::<_, Vec<String>>::new();
    for (name, channel) in document["channels"].as_object().into_iter().flatten() {
        let binding = &channel["bindings"]["amqp"]["queue"]["name"];
        let queue = binding
            .as_str()
            .or(channel["address"].as_str())
            .unwrap_or(name);
        let keys = queues.entry(queue.to_owned()).or_default();
        for (name, message) in channel["messages"].as_object().into_iter().flatten() {
            let message = resolved(document, message);
            keys.push(message["name"].as_str().unwrap_or(name).to_owned());
        }
    }
    queues
}

/// What a reference inside of the document means.
fn resolved<'d>(document: &'d Json, message: &'d Json) -> &'d Json {
    let path = message["$ref"]
        .as_str()
        .and_then(|reference| reference.strip_prefix('#'));
    path.and_then(|path| document.pointer(path))
        .unwrap_or(message)
}
