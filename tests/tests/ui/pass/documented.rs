//! What the program knows of a handler without running it: its doc comment, and the type of its reply.

use std::borrow::Cow;

use ploomby::{
    App, HandlerRegistry, Outcome, Queue, Reply,
    extract::{Batch, Header},
};
use serde::Serialize;

#[derive(Serialize)]
struct Receipt {
    cents: u32,
}

#[derive(Serialize)]
struct Lent<'m, T> {
    name: &'m str,
    other: T,
}

macro_rules! text {
    () => {
        "of a macro"
    };
}

/// Takes money.
///
///   - twice: "no" \ {cents}
#[ploomby::handler]
/// After the attribute.
async fn lines() {}

/** Takes money. */
#[ploomby::handler]
async fn line(cents: u32) -> Receipt {
    Receipt { cents }
}

/**
 * Takes money.
 *
 * Never.
 */
#[ploomby::handler]
async fn block(cents: u32) -> anyhow::Result<Option<Receipt>> {
    Ok(Some(Receipt { cents }))
}

#[doc = concat!("Takes ", "money.")]
#[doc = text!()]
#[doc(hidden)]
#[cfg_attr(all(), doc = "there", allow(unused))]
#[cfg_attr(any(), doc = "not there")]
#[cfg_attr(all(), cfg_attr(all(), doc = "there, too"), cfg_attr(any(), doc = "not there"))]
#[ploomby::handler]
async fn conditions(#[cfg(any())] _: u8, #[cfg(all())] _: u16) -> Outcome {
    Outcome::Ack
}

#[ploomby::handler]
async fn lent<'m>(name: &'m str) -> Lent<'m, Cow<'m, str>> {
    Lent { name, other: name.into() }
}

#[ploomby::handler]
async fn opaque(name: &str) -> anyhow::Result<impl Serialize> {
    Ok(Lent { name, other: 7 })
}

#[ploomby::handler]
async fn tried_twice(_: Batch<String>) -> Result<Result<Vec<u8>, std::fmt::Error>, std::io::Error> {
    Ok(Ok(Vec::new()))
}

#[ploomby::handler]
async fn decides() -> anyhow::Result<Outcome> {
    Ok(Outcome::Ack)
}

#[ploomby::handler]
async fn wrapped() -> anyhow::Result<Reply<u8>> {
    Ok(Reply(7))
}

type Text = Option<Header<String>>;

/// More arguments than a function that is registered by hand may have.
#[ploomby::handler]
async fn many(
    _0: Text,
    _1: Text,
    _2: Text,
    _3: Text,
    _4: Text,
    _5: Text,
    _6: Text,
    _7: Text,
    _8: Text,
    _9: &str,
) -> (u8, u8) {
    (1, 2)
}

fn known(handlers: HandlerRegistry, key: &str) -> (Option<String>, Option<String>) {
    let app = App::new("memory://documented").handlers(handlers).queue(Queue::new("money"));
    let handlers = app.program().handlers;
    let handler = handlers.into_iter().find(|handler| handler.keys[0] == key);
    let handler = handler.expect("it is registered");
    (handler.doc, handler.reply)
}

fn main() {
    let expected = [
        (
            "lines",
            Some("Takes money.\n\n  - twice: \"no\" \\ {cents}\nAfter the attribute."),
            Some("()"),
        ),
        ("line", Some("Takes money."), Some("…::Receipt")),
        (
            "block",
            Some("Takes money.\n\nNever."),
            Some("core::option::Option<…::Receipt>"),
        ),
        ("conditions", Some("Takes money.\nof a macro\nthere\nthere, too"), None),
        ("lent", None, Some("…::Lent<alloc::borrow::Cow<str>>")),
        ("opaque", None, Some("…::Lent<i32>")),
        ("tried_twice", None, Some("alloc::vec::Vec<u8>")),
        ("decides", None, None),
        ("wrapped", None, Some("u8")),
        (
            "many",
            Some("More arguments than a function that is registered by hand may have."),
            Some("(u8, u8)"),
        ),
    ];
    for (key, doc, reply) in expected {
        let (known_doc, known_reply) = known(HandlerRegistry::linked(), key);
        assert_eq!(known_doc.as_deref(), doc, "{key}");
        let here = module_path!();
        let known_reply = known_reply.map(|reply| reply.replace(here, "…"));
        // what lends itself has a lifetime, which not each compiler tells
        let known_reply = known_reply.map(|reply| reply.replace("'_, ", ""));
        assert_eq!(known_reply.as_deref(), reply, "{key}");
    }

    let by_hand = HandlerRegistry::new()
        .register("reply", async |_: u8| Reply(7_u8))
        .register("fails", async || anyhow::Ok(()))
        .register("outcome", async || Outcome::Ack);
    for (key, reply) in [("reply", Some("u8")), ("fails", Some("()")), ("outcome", None)] {
        let found = known(by_hand.clone(), key);
        assert_eq!(found, (None, reply.map(str::to_owned)), "{key}");
    }
}
