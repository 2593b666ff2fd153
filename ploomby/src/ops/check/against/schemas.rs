//! The schemas of a contract beside those of the program.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{contract, resolved};
use crate::handler::key_fits;
use crate::ops::{
    Finding, Program,
    check::of_queue,
    contract::{
        ANY_KEY,
        compare::{Side, refused},
    },
};

/// What breaks the contract; for each queue that has schemas and breaks nothing, that it does not.
pub(super) fn against(program: &Program, document: &Json) -> Vec<Finding> {
    let own = program.contract();
    let own = own.as_json();
    let (old, new) = (exchanges(document), exchanges(own));
    let mut findings = Vec::new();
    for (queue, keys) in &old {
        let mut compared = 0;
        let mut broken = Vec::new();
        for (key, was) in keys {
            // a key that is gone goes to a pattern or to the default handler; that there is none is told by its own
            let taken = new.get(queue);
            let taken = taken.and_then(|keys| {
                let fits = |(pattern, _): &(&String, _)| key_fits(pattern, key);
                let by_pattern = || keys.iter().find(fits).map(|(_, exchange)| exchange);
                keys.get(key)
                    .or_else(by_pattern)
                    .or_else(|| keys.get(ANY_KEY))
            });
            let Some(is) = taken else {
                continue;
            };
            let reasons = moved(was, is).into_iter();
            let (before, now) = ((document, was), (own, is));
            let payload = between(before, now, |exchange| exchange.message);
            let reply = between(now, before, |exchange| exchange.reply);
            compared += usize::from(payload.is_some()) + usize::from(reply.is_some());
            let payload = payload.into_iter().flatten();
            let payload = payload.map(|reason| format!("its payload: {reason}"));
            // as its reader sees it
            let reply = reply.into_iter().flatten();
            let reply =
                reply.map(|reason| format!("its reply, for who reads the old one: {reason}"));
            let reasons = reasons.chain(payload).chain(reply).chain(silent(was, is));
            broken.extend(reasons.map(|reason| {
                Finding::bad(of_queue(queue), format!("breaks the key `{key}`, {reason}"))
                    .remedy("go on to take and to send what the contract says, or give what is new a key of its own")
            }));
        }
        if broken.is_empty() && compared > 0 {
            let text = format!("keeps {compared} schemas of the contract");
            broken.push(Finding::good(of_queue(queue), text));
        }
        findings.extend(broken);
    }
    findings
}

/// A message of a key, and the value that is replied.
#[derive(Clone, Copy)]
struct Exchange<'d> {
    message: Option<&'d Json>,
    reply: Option<&'d Json>,
}

type Sided<'a, 'd> = (&'d Json, &'a Exchange<'d>);

/// Why what the one sends is not what the other reads; None where one of them says nothing about it.
fn between<'d>(
    (from, sent): Sided<'_, 'd>,
    (to, read): Sided<'_, 'd>,
    part: impl Fn(&Exchange<'d>) -> Option<&'d Json>,
) -> Option<Vec<String>> {
    let side = |document, exchange| {
        let schema = schema_of(part(exchange)?)?;
        Some(Side::new(document, schema))
    };
    Some(refused(&side(from, sent)?, &side(to, read)?))
}

/// The payload, also where it says by which language it is described.
fn schema_of(message: &Json) -> Option<&Json> {
    let payload = message.get("payload")?;
    payload
        .get("schema")
        .filter(|_| payload.get("schemaFormat").is_some())
        .or(Some(payload))
}

/// Another place for the key.
fn moved(was: &Exchange<'_>, is: &Exchange<'_>) -> Option<String> {
    let place = |exchange: &Exchange<'_>| {
        exchange.message?["x-ploomby"]["key"]
            .as_str()
            .map(str::to_owned)
    };
    let (was, is) = (place(was)?, place(is)?);
    // it may be one of several
    (!is.contains(&was)).then(|| format!("which was looked for in {was}, and is now in {is}"))
}

/// No reply any more.
fn silent(was: &Exchange<'_>, is: &Exchange<'_>) -> Option<String> {
    (was.reply.is_some() && is.reply.is_none())
        .then(|| "which is not replied to any more".to_owned())
}

/// What goes to each queue by its keys, and comes back.
fn exchanges(document: &Json) -> BTreeMap<String, BTreeMap<String, Exchange<'_>>> {
    let mut all: BTreeMap<String, BTreeMap<String, Exchange<'_>>> = BTreeMap::new();
    for (queue, messages) in contract(document) {
        let of_queue = messages.into_iter().map(|(key, message)| {
            let message = Some(message);
            (
                key,
                Exchange {
                    message,
                    reply: None,
                },
            )
        });
        all.insert(queue, of_queue.collect());
    }
    for (_, operation) in document["operations"].as_object().into_iter().flatten() {
        let operation = resolved(document, operation);
        let Some(reply) = value_of(document, &operation["reply"]) else {
            continue;
        };
        let messages = operation["messages"].as_array();
        for message in messages.into_iter().flatten() {
            let message = through(document, message);
            let exchanges = all.values_mut().flat_map(BTreeMap::values_mut);
            let asked = exchanges.filter(|exchange| {
                exchange
                    .message
                    .is_some_and(|known| std::ptr::eq(known, message))
            });
            asked.for_each(|exchange| exchange.reply = Some(reply));
        }
    }
    all
}

/// The reply that is no error.
fn value_of<'d>(document: &'d Json, reply: &'d Json) -> Option<&'d Json> {
    let messages = resolved(document, reply)["messages"].as_array()?;
    let mut messages = messages.iter().map(|message| through(document, message));
    messages.find(|message| message["headers"]["properties"]["ploomby-reply"].is_null())
}

/// An operation refers to the message of a channel, which may refer to a component.
fn through<'d>(document: &'d Json, message: &'d Json) -> &'d Json {
    resolved(document, resolved(document, message))
}
