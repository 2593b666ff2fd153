#![doc = include_str!("../README.md")]
//!
//! # Layout
//!
//! The modules stand on floors: each uses only those below it. From the top down they follow the way of
//! a delivery, from the settings of a program to the words that all of them speak:
//!
//! - `cli`: the command line of a program;
//! - `admin`: a page, probes and metrics over HTTP;
//! - `testing`: tests of handlers, in a process and in no time;
//! - `ops`: what a program handles, how much waits, and its dead letters;
//! - `app`: `run` and `App`, from settings to a running program;
//! - `rpc`: calling handlers;
//! - `publisher`: sending messages;
//! - `memory`, `rabbit`: the two sources that come with ploomby;
//! - `consumer`: the contract of a source of messages, and the registry that runs consumers;
//! - `topology`: exchanges, and how messages come from them to queues;
//! - `dispatcher`: from a delivery to its handler;
//! - `handler`: the registry of handlers, what holds for them, and which messages run one after another;
//! - `extract`: the arguments of handlers;
//! - `dedup`: which messages were handled already;
//! - `layer`: what runs around handlers, and a handler at work;
//! - `settle`: from the outcome to the acknowledgement, by way of another attempt or a copy;
//! - `metrics`: how much there was of everything;
//! - `health`: whether all of this works;
//! - `brake`: which handlers wait for what they need;
//! - `reply`: what handlers answer;
//! - `trace`: which messages came of which;
//! - `stage`: where messages are handled, in real time or in a test;
//! - `delivery`: what is delivered, and the key that names its handler;
//! - `schema`: the shape of a payload or a reply, for other programs to read;
//! - `codec`: from the bytes of a body to the payload;
//! - `outcome`: what a handler decided, or why a message could not be handled;
//! - `message`: the message as a program sees it.

#[cfg(feature = "metrics")]
pub use self::metrics::{Distribution, HandlerMetrics, Metrics, QueueMetrics, SentMetrics};
pub use self::{
    app::{App, Error, Queue, Running, run},
    brake::{Brake, BrakeCause, Braked, CheckHealth},
    codec::Codec,
    consumer::{
        DeadLetters, Declare, MessageConsumer, MessageConsumerFactory, MessageConsumerRegistry,
        RegisterError, RunError,
    },
    delivery::{Delivery, DeliveryTag, KeyFn, KeySource, Recycler, Replies},
    dispatcher::{CutOff, Dispatcher},
    handler::{
        HandlerFunction, HandlerOptions, HandlerRegistry, InvalidHandlers, OrderBy, QueuePolicy,
        Rate, Receives,
    },
    health::{Health, QueueHealth, Trouble},
    layer::{HandlerError, HandlerLayer, HandlerService},
    message::{Headers, Message, Properties, PropertyError, Value},
    outcome::{
        ErrorReply, FieldError, OrUnavailable, Outcome, Permanent, Reason, Unavailable,
        UnknownReason,
    },
    publisher::{Outgoing, PublishAllError, PublishError, Publisher},
    reply::{Answer, IntoOutcome, Reply},
    rpc::{Call, CallError, RpcClient},
    settle::{Acknowledger, ConsumerError, Retry},
    topology::{Binding, Exchange},
};
pub use ploomby_macros::handler;
#[cfg(feature = "testing")]
pub use ploomby_macros::test;

/// The `Debug` of an error that a `main` returns, or that is unwrapped, is what people read: its text.
macro_rules! debug_is_text {
    ($($error:ty),+) => {$(
        impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    )+};
}

// in the order of the floors: blank lines keep it
#[cfg(feature = "cli")]
pub mod cli;

#[cfg(feature = "admin")]
pub mod admin;

#[cfg(feature = "testing")]
pub mod testing;

pub mod ops;

mod app;

mod rpc;

mod publisher;

pub mod memory;

pub mod rabbit;

mod consumer;

mod topology;

mod dispatcher;

mod handler;

pub mod extract;

pub mod dedup;

mod layer;

mod settle;

mod metrics;

mod health;

mod brake;

mod reply;

pub mod trace;

mod stage;

mod delivery;

#[cfg(feature = "asyncapi")]
mod schema;

mod codec;

mod outcome;

mod message;

#[doc(hidden)]
pub mod __private;

#[cfg(doctest)]
mod chapters;

#[cfg(test)]
mod floors;
