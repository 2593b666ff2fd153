//! What names a handler.

#[path = "../deliver.rs"]
mod deliver;

use deliver::{
    Settled::{Acked, DeadLettered},
    deliver,
};
use ploomby::extract::Key;

#[ploomby::handler]
async fn by_name() {}

#[ploomby::handler()]
async fn by_name_too() {}

#[ploomby::handler]
async fn r#type() {}

#[ploomby::handler("one key")]
async fn one() {}

#[ploomby::handler("first", "second", r"a\b", "naïve ✓")]
async fn several() {}

const CONSTANT: &str = "a constant";

struct Keys;

impl Keys {
    const OTHER: &'static str = "a constant of a type";
}

mod names {
    pub(crate) const INNER: &str = "a constant of a module";
}

#[ploomby::handler(CONSTANT, Keys::OTHER, names::INNER, "beside constants", concat!("a", " macro"))]
async fn constants() {}

/// The same key in two queues is no duplicate.
#[ploomby::handler(<Keys>::OTHER, queue = "another", timeout = "1s")]
async fn constant_of_another_queue() {}

#[ploomby::handler(default, "known")]
async fn the_rest(Key(key): Key) -> Result<(), std::fmt::Error> {
    if key == "known" {
        Ok(())
    } else {
        Err(std::fmt::Error)
    }
}

fn main() {
    for key in [
        "by_name",
        "by_name_too",
        "type",
        "one key",
        "first",
        "second",
        r"a\b",
        "naïve ✓",
        "known",
        CONSTANT,
        Keys::OTHER,
        names::INNER,
        "beside constants",
        "a macro",
    ] {
        assert_eq!(deliver(key, ""), Acked, "{key}");
    }
    for key in ["r#type", "one", "several", "the_rest", ""] {
        let DeadLettered(error) = deliver(key, "") else {
            panic!("{key} does not reach the default handler");
        };
        assert!(error.starts_with("handler-error"), "{error}");
    }
}
