//! What the broker does, seen from outside: by [`MemoryBroker`] and by handlers.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use super::*;
use crate::message::{Message, Value};

mod cc;
mod consuming;
mod expiry;
mod length;
mod refusals;
mod settling;

/// A broker that no other test uses.
fn broker() -> MemoryBroker {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    MemoryBroker::named(format!("unit-{}", COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// Arguments of a queue.
fn arguments<const N: usize>(arguments: [(&str, Value); N]) -> [(String, Value); N] {
    arguments.map(|(name, value)| (name.to_owned(), value))
}

fn get(broker: &MemoryBroker, queue: &str) -> Option<String> {
    let message = broker.get(queue)?;
    Some(String::from_utf8(message.body().to_vec()).unwrap())
}

fn publish_all(broker: &MemoryBroker, queue: &str, bodies: &[&'static str]) {
    for body in bodies {
        broker.publish(queue, Message::new(*body)).unwrap();
    }
}

/// Waits for what other tasks are about to do; in paused time it costs none.
async fn eventually(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("it comes to hold");
}
