use tracing::{Span, field::Empty, info_span};

use super::TARGET;
use crate::{
    delivery::Delivery,
    outcome::{Failure, Outcome, cut},
};

/// A key that is longer stands in the message anyway.
const MAX_KEY: usize = 255;

/// What is done with a message that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Process,
    /// Nothing but that: another span processes it.
    Settle,
}

/// The span of a message that came.
///
/// Names of OpenTelemetry: [messaging spans](https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/).
pub(super) fn of_message(operation: Operation, delivery: &Delivery, handler: &str) -> Span {
    let queue = delivery.queue();
    let (exchange, routing_key) = (delivery.exchange(), delivery.routing_key());
    let properties = delivery.properties();
    macro_rules! span {
        ($name:literal) => {
            info_span!(
                target: TARGET,
                parent: None,
                $name,
                "otel.name" = %format_args!("{} {queue}", $name),
                "otel.kind" = "consumer",
                "otel.status_code" = Empty,
                "otel.status_description" = Empty,
                "messaging.system" = "rabbitmq",
                "messaging.operation.name" = $name,
                "messaging.operation.type" = $name,
                "messaging.destination.name" = queue,
                "messaging.message.id" = properties.message_id(),
                "messaging.message.conversation_id" = properties.correlation_id(),
                "messaging.message.body.size" = delivery.body().len(),
                "messaging.rabbitmq.exchange" = (!exchange.is_empty()).then_some(exchange),
                "messaging.rabbitmq.destination.routing_key" = routing_key,
                "ploomby.handler" = handler,
                "ploomby.key" = delivery.key().map(|key| cut(key.into_owned(), MAX_KEY)),
                "ploomby.attempt" = delivery.attempt(),
                "ploomby.redelivered" = delivery.is_redelivered(),
                "ploomby.outcome" = Empty,
                "error.type" = Empty,
                trace_id = Empty,
            )
        };
    }
    match operation {
        Operation::Process => span!("process"),
        Operation::Settle => span!("settle"),
    }
}

/// The span of a batch that is handled.
pub(super) fn of_batch(queue: &str, handler: &str, messages: usize) -> Span {
    info_span!(
        target: TARGET,
        parent: None,
        "process",
        "otel.name" = %format_args!("process {queue}"),
        "otel.kind" = "consumer",
        "otel.status_code" = Empty,
        "otel.status_description" = Empty,
        "messaging.system" = "rabbitmq",
        "messaging.operation.name" = "process",
        "messaging.operation.type" = "process",
        "messaging.destination.name" = queue,
        "messaging.batch.message_count" = messages,
        "ploomby.handler" = handler,
        "error.type" = Empty,
        trace_id = Empty,
    )
}

/// The span of a message that is sent. `operation` is `send`, or `call`, which is not over before there is a reply.
pub(super) fn of_sending(operation: &str, exchange: &str, routing_key: &str) -> Span {
    let is_call = operation == "call";
    let destination = match exchange {
        "" => routing_key,
        exchange => exchange,
    };
    info_span!(
        target: TARGET,
        "send",
        "otel.name" = %format_args!("send {destination}"),
        "otel.kind" = if is_call { "client" } else { "producer" },
        "otel.status_code" = Empty,
        "otel.status_description" = Empty,
        "messaging.system" = "rabbitmq",
        "messaging.operation.name" = operation,
        "messaging.operation.type" = "send",
        "messaging.destination.name" = destination,
        "messaging.message.id" = Empty,
        "messaging.rabbitmq.destination.routing_key" = routing_key,
        "error.type" = Empty,
        trace_id = Empty,
    )
}

pub(super) fn note_outcome(span: &Span, outcome: Outcome, failure: Option<&Failure>) {
    span.record("ploomby.outcome", outcome.as_str());
    if let Some(failure) = failure {
        note_failure(span, failure);
    }
}

pub(super) fn note_failure(span: &Span, failure: &Failure) {
    // never what a message held
    note_error(span, failure.reason.as_str(), failure.log_text());
}

/// The text as a text: what prints a log escapes it then.
pub(super) fn note_error(span: &Span, kind: &str, text: &str) {
    span.record("error.type", kind);
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_description", text);
}
