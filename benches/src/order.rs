//! The message that all consumers decode.

use std::hint::black_box;

use serde::{Deserialize, Serialize};

use crate::meter::Stopwatch;

/// The header that names the handler.
pub const KEY_HEADER: &str = "task_name";

/// The handler's name.
pub const KEY: &str = "order";

/// A body of the usual size.
pub const SMALL: usize = 90;

/// Counts the orders of this process.
pub static STOPWATCH: Stopwatch = Stopwatch::new();

/// Four fields. The texts are owned, because not every peer lets a payload borrow.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Order {
    /// Counts up.
    pub id: u64,
    /// Somebody's name.
    pub customer: String,
    /// In cents.
    pub amount: u32,
    /// What fills the body.
    pub note: String,
}

impl Order {
    /// The whole work of every handler.
    pub fn process(&self) {
        black_box((self.id, &self.customer, self.amount, &self.note));
        STOPWATCH.count();
    }
}

/// A body of this many bytes, at least [`SMALL`].
///
/// # Panics
///
/// It would be smaller.
#[must_use]
pub fn body(id: u64, len: usize) -> String {
    let head = format!(r#"{{"id":{id},"customer":"Ada Lovelace","amount":4711,"note":""#);
    let note = len.checked_sub(head.len() + 2);
    let note = ".".repeat(note.expect("the body is too small"));
    format!(r#"{head}{note}"}}"#)
}
