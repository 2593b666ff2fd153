#![doc = include_str!("../README.md")]
//!
//! # Layout
//!
//! The modules follow the way of a delivery, and can be read in that order:
//!
//! - `app`: `run` and `App`, from settings to a running program;
//! - `consumer`: the contract of a source of messages, and the registry that runs consumers;
//! - `rabbit`, `memory`: the two sources that come with ploomby;
//! - `message`, `delivery`, `key`: what is delivered, and what names its handler;
//! - `dispatcher`: from a delivery to its handler;
//! - `order`: which messages run one after another;
//! - `layer`: what runs around handlers;
//! - `handler`, `extract`, `outcome`: the registry of handlers, their arguments, what they
//!   return;
//! - `retry`: which failures are tried again, and when;
//! - `codec`: from the bytes of a body to the payload;
//! - `settle`: from the outcome to the acknowledgement;
//! - `health`: whether all of this works;
//! - `publisher`: sending messages;
//! - `rpc`, `reply`: calling handlers, and what they answer;
//! - `dedup`: which messages were handled already.

pub use self::{
    app::{App, Error, Queue, Running, run},
    codec::Codec,
    consumer::{
        Acknowledger, ConsumerError, DeadLetters, MessageConsumer, MessageConsumerFactory,
        MessageConsumerRegistry, QueuePolicy, RegisterError, RunError,
    },
    delivery::{Delivery, DeliveryTag},
    dispatcher::{CutOff, Dispatcher},
    handler::{HandlerFunction, HandlerOptions, HandlerRegistry, HandlersError, Receives},
    health::{Health, QueueHealth, Trouble},
    key::KeySource,
    layer::{HandlerError, HandlerLayer, HandlerService},
    message::{Headers, Message, Properties, PropertyError, Value},
    order::OrderBy,
    outcome::{Answer, IntoOutcome, Outcome, Reply},
    publisher::{Outgoing, PublishAllError, PublishError, Publisher},
    reply::{ErrorReply, FieldError},
    retry::{Permanent, Retry},
    rpc::{Call, CallError, RpcClient},
    settle::Reason,
};
pub use ploomby_macros::handler;

mod app;
mod codec;
mod consumer;
pub mod dedup;
mod delivery;
mod dispatcher;
pub mod extract;
mod handler;
mod health;
mod key;
mod layer;
pub mod memory;
mod message;
mod order;
mod outcome;
mod publisher;
pub mod rabbit;
mod reply;
mod retry;
mod rpc;
mod settle;

#[doc(hidden)]
pub mod __private;
