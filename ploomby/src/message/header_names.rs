//! The headers that ploomby adds to the copies that it makes, and those in which a trace goes on.
//!
//! None starts with `x-`: RabbitMQ keeps such names for itself.

/// The [`Reason`](crate::Reason).
pub(crate) const REASON: &str = "ploomby-reason";
/// The error in words.
pub(crate) const ERROR: &str = "ploomby-error";
/// The key, where there was one.
pub(crate) const KEY: &str = "ploomby-key";
/// The queue that the message was consumed from.
pub(crate) const QUEUE: &str = "ploomby-queue";
/// How often a handler tried.
pub(crate) const ATTEMPTS: &str = "ploomby-attempts";
/// When it failed, a timestamp.
pub(crate) const FAILED_AT: &str = "ploomby-failed-at";
/// Names the dead letter, in every tool: a UUID of version 7.
pub(crate) const DEAD_LETTER_ID: &str = "ploomby-dead-letter-id";
/// The type of the error, where it is known.
pub(crate) const ERROR_TYPE: &str = "ploomby-error-type";
/// The path of the handler, where there was one.
pub(crate) const HANDLER: &str = "ploomby-handler";
/// Where a handler panicked, `file:line`.
pub(crate) const LOCATION: &str = "ploomby-location";
/// Name and version of the program: of a dead letter the one that failed, else the one that sent the message.
pub(crate) const APP: &str = "ploomby-app";
/// When the message was sent, in milliseconds since 1970.
pub(crate) const SENT_AT: &str = "ploomby-sent-at";
/// Which attempt the message waits for, on its way through a retry queue.
pub(crate) const ATTEMPT: &str = "ploomby-attempt";
/// How often a handler gave the message back.
pub(crate) const REDELIVERIES: &str = "ploomby-redeliveries";
/// The exchange that the message was sent to, where the copy takes another way.
pub(crate) const EXCHANGE: &str = "ploomby-exchange";
/// The routing key that the message was sent with, where the copy takes another way.
pub(crate) const ROUTING_KEY: &str = "ploomby-routing-key";
/// In which queues the message had died before, of which the broker must not know.
pub(crate) const DEATHS: &str = "ploomby-x-death";
/// The expiration that the message had; the copy has none, since it would vanish with it.
pub(crate) const EXPIRATION: &str = "ploomby-expiration";
/// The user that the message was sent by, where the copy cannot say so itself.
pub(crate) const USER_ID: &str = "ploomby-user-id";
/// Names the copy of a message that is handled alone, since it may be what ends the process.
pub(crate) const SUSPECT: &str = "ploomby-suspect";
/// How often the process died over a message that was alone.
pub(crate) const CRASHES: &str = "ploomby-crashes";
/// These two.
pub(crate) const OF_SUSPECTS: [&str; 2] = [SUSPECT, CRASHES];
/// What counts how often the message was tried or came back: a copy that was or will be in a
/// retry queue has one of them.
pub(crate) const COUNTS: [&str; 2] = [ATTEMPT, REDELIVERIES];
/// What tells of a failure, and is no part of the message.
pub(crate) const OF_FAILURES: [&str; 11] = [
    REASON,
    ERROR,
    KEY,
    QUEUE,
    ATTEMPTS,
    FAILED_AT,
    DEAD_LETTER_ID,
    ERROR_TYPE,
    HANDLER,
    LOCATION,
    APP,
];
/// What all of them start with. Before `CC` and `BCC` it sets them aside: RabbitMQ would send
/// the copy to the queues named there, too.
pub(crate) const PREFIX: &str = "ploomby-";
/// What the broker adds to the headers of a message.
pub(crate) const OF_THE_BROKER: [&str; 12] = [
    "x-death",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-first-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
    "x-last-death-exchange",
    "x-delivery-count",
    "x-acquired-count",
    "x-received-from",
    "x-shovelled",
    "x-stream-offset",
];
/// The letter that was edited, of which the message is what came.
pub(crate) const EDITED_FROM: &str = "ploomby-edited-from";
/// How often a letter was replayed, and when for the last time.
pub(crate) const REPLAYED: &str = "ploomby-replayed";
/// When it was replayed, a timestamp.
pub(crate) const REPLAYED_AT: &str = "ploomby-replayed-at";

/// The trace that the message belongs to, and the span that sent it, as the W3C has it written.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// What vendors add to it.
pub(crate) const TRACESTATE: &str = "tracestate";
/// What programs add to it.
pub(crate) const BAGGAGE: &str = "baggage";
/// These three.
pub(crate) const OF_TRACES: [&str; 3] = [TRACEPARENT, TRACESTATE, BAGGAGE];
