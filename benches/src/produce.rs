//! What is published, and how it is told how long that took.

use std::{future::pending, time::Instant};

use crate::{arguments::Arguments, order::Order};

/// Messages to publish to a queue.
#[derive(Clone, Debug)]
pub struct Production {
    /// The broker.
    pub url: String,
    /// The queue, which is there or not.
    pub queue: String,
    /// How many messages.
    pub messages: u64,
    /// The characters of each note.
    pub body: usize,
    /// How many tasks publish one message after the other; none where all are handed over at once.
    pub callers: Option<u64>,
}

/// How many messages are under way at once, where all are handed over.
pub const WINDOW: usize = 1024;

impl Production {
    /// `URL QUEUE [messages=COUNT] [body=BYTES] [callers=COUNT]`.
    ///
    /// # Errors
    ///
    /// One of them is missing or cannot be read.
    pub fn read(arguments: &mut Arguments) -> anyhow::Result<Self> {
        Ok(Self {
            url: arguments.next("URL")?,
            queue: arguments.next("QUEUE")?,
            messages: arguments.get("messages")?.unwrap_or(100_000),
            body: arguments.get("body")?.unwrap_or(30),
            callers: arguments.get("callers")?,
        })
    }

    /// The message of this number.
    #[must_use]
    pub fn order(&self, id: u64) -> Order {
        Order {
            id,
            customer: "Ada Lovelace".to_owned(),
            amount: 4711,
            note: ".".repeat(self.body),
        }
    }

    /// Says how long it took, and how many messages did not arrive. Then what it took can be looked up, until it is
    /// killed.
    pub async fn done(&self, start: Instant, failed: usize) {
        println!("produced {} {failed}", start.elapsed().as_secs_f64());
        pending().await
    }
}
