//! The text that Prometheus reads. The names are those of OpenTelemetry, with the changes that its specification makes
//! for Prometheus: `_` for `.`, the unit and `_total` behind the name.
//!
//! They are for ever: dashboards and alarms hang on them.
//!
//! Source: [OpenTelemetry to Prometheus](https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/).

use std::fmt::{Display, Write};

use super::{Distribution, HandlerMetrics, QueueMetrics, SentMetrics};
use crate::brake::BrakeCause;

const QUEUE: &str = "messaging_destination_name";
const HANDLER: &str = "ploomby_handler";
const ERROR: &str = "error_type";
const OPERATION: &str = "messaging_operation_name";

pub(super) fn text(queues: &[QueueMetrics], sent: &[SentMetrics], is_blocked: bool) -> String {
    let mut text = Text(String::new());
    of_handlers(&mut text, queues);
    of_what_is_sent(&mut text, sent);
    of_queues(&mut text, queues);
    text.family(
        "ploomby_connection_blocked",
        "gauge",
        "Whether the broker takes no messages, for it is short of memory or disk.",
    );
    text.sample("ploomby_connection_blocked", &[], u8::from(is_blocked));
    text.0
}

fn of_handlers(text: &mut Text, queues: &[QueueMetrics]) {
    let handlers = || {
        let all = queues.iter().flat_map(|queue| {
            let handlers = queue.handlers().iter();
            handlers.map(move |handler| (queue.queue(), handler))
        });
        all.map(|(queue, handler)| ([(QUEUE, queue), (HANDLER, handler.handler())], handler))
    };

    let name = "messaging_client_consumed_messages_total";
    text.family(
        name,
        "counter",
        "Messages that handlers were done with, each attempt.",
    );
    for (labels, handler) in handlers() {
        for (error, count) in consumed(handler) {
            text.sample(name, &with(&labels, &[(ERROR, error)]), count);
        }
    }

    let name = "messaging_process_duration_seconds";
    text.family(name, "histogram", "How long handlers took.");
    for (labels, handler) in handlers() {
        for (reason, duration) in handler.durations() {
            let error = reason.map_or("", |reason| reason.as_str());
            text.histogram(name, &with(&labels, &[(ERROR, error)]), duration);
        }
    }

    let name = "ploomby_messages_settled_total";
    text.family(name, "counter", "Messages by what became of them, and why.");
    for (labels, handler) in handlers() {
        for (outcome, reason, count) in handler.settled_by() {
            let reason = reason.map_or("", |reason| reason.as_str());
            let why = [("outcome", outcome.as_str()), ("reason", reason)];
            text.sample(name, &with(&labels, &why), count);
        }
    }

    let name = "ploomby_messages_in_flight";
    text.family(name, "gauge", "Messages that handlers are at work at.");
    for (labels, handler) in handlers() {
        text.sample(name, &labels, handler.in_flight());
    }

    let name = "ploomby_message_queue_time_seconds";
    text.family(
        name,
        "histogram",
        "How long messages were on their way and in their queue, of a thousand a second at most.",
    );
    for (labels, handler) in handlers() {
        text.histogram(name, &labels, handler.queue_time());
    }

    let name = "ploomby_handler_braked";
    text.family(
        name,
        "gauge",
        "Whether a handler waits for something, by what stopped it.",
    );
    for queue in queues {
        let brakes = queue.health().brakes();
        let known = queue.handlers().iter().map(HandlerMetrics::handler);
        // one that is stopped may not have had a message
        let stopped = brakes.iter().map(|braked| braked.handler());
        let stopped =
            stopped.filter(|handler| queue.handlers().iter().all(|of| of.handler() != *handler));
        for handler in known
            .filter(|handler| *handler != super::UNKNOWN)
            .chain(stopped)
        {
            for cause in BrakeCause::ALL {
                let is_on = |braked: &crate::brake::Braked| {
                    braked.handler() == handler && braked.cause() == cause
                };
                let labels = [
                    (QUEUE, queue.queue()),
                    (HANDLER, handler),
                    ("cause", cause.as_str()),
                ];
                text.sample(name, &labels, u8::from(brakes.iter().any(is_on)));
            }
        }
    }
}

fn consumed(handler: &HandlerMetrics) -> Vec<(&'static str, u64)> {
    let ran = handler.durations().map(|(reason, duration)| {
        let error = reason.map_or("", |reason| reason.as_str());
        (error, duration.count())
    });
    let refused = handler.refused_by();
    let refused = refused.map(|(reason, count)| (reason.as_str(), count));
    let mut all: Vec<(&'static str, u64)> = Vec::new();
    for (error, count) in ran.chain(refused) {
        match all.iter_mut().find(|(known, _)| *known == error) {
            Some((_, known)) => *known += count,
            None => all.push((error, count)),
        }
    }
    all
}

fn of_what_is_sent(text: &mut Text, sent: &[SentMetrics]) {
    fn labels(sent: &SentMetrics) -> [(&'static str, &str); 3] {
        [
            (QUEUE, sent.destination()),
            (OPERATION, sent.operation()),
            (ERROR, sent.error().unwrap_or_default()),
        ]
    }

    let name = "messaging_client_sent_messages_total";
    text.family(
        name,
        "counter",
        "Messages and calls that were sent, or could not be.",
    );
    for sent in sent {
        text.sample(name, &labels(sent), sent.count());
    }
    let name = "messaging_client_operation_duration_seconds";
    text.family(
        name,
        "histogram",
        "How long it took to send a message, or to have a reply.",
    );
    for sent in sent {
        text.histogram(name, &labels(sent), sent.duration());
    }
}

fn of_queues(text: &mut Text, queues: &[QueueMetrics]) {
    let healths = || {
        queues
            .iter()
            .map(|queue| ([(QUEUE, queue.queue())], queue.health()))
    };

    let name = "ploomby_consumer_up";
    text.family(name, "gauge", "Whether all consumers of a queue consume.");
    for (labels, health) in healths() {
        text.sample(name, &labels, u8::from(health.not_consuming().is_empty()));
    }
    let name = "ploomby_reconnects_total";
    text.family(
        name,
        "counter",
        "How often a consumer of a queue came back.",
    );
    for (labels, health) in healths() {
        text.sample(name, &labels, health.reconnects());
    }
    let name = "ploomby_replies_dropped_total";
    text.family(name, "counter", "Replies that were not sent, by why.");
    for (labels, health) in healths() {
        for (cause, count) in health.dropped_replies_by() {
            text.sample(name, &with(&labels, &[("cause", cause)]), count);
        }
    }
    let name = "ploomby_replies_unroutable_total";
    text.family(name, "counter", "Replies that reached nobody.");
    for (labels, health) in healths() {
        text.sample(name, &labels, health.unroutable_replies());
    }
}

type Label<'a> = (&'static str, &'a str);

fn with<'a>(labels: &[Label<'a>], more: &[Label<'a>]) -> Vec<Label<'a>> {
    [labels, more].concat()
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &[Label<'_>], value: impl Display) {
        self.line(name, labels, None, value);
    }

    fn histogram(&mut self, name: &str, labels: &[Label<'_>], times: &Distribution) {
        let count = times.count();
        if count == 0 {
            return;
        }
        let bucket = format!("{name}_bucket");
        for (bound, so_far) in times.buckets() {
            let bound = bound.as_secs_f64().to_string();
            self.line(&bucket, labels, Some(("le", &bound)), so_far);
        }
        self.line(&bucket, labels, Some(("le", "+Inf")), count);
        self.line(
            &format!("{name}_sum"),
            labels,
            None,
            times.sum().as_secs_f64(),
        );
        self.line(&format!("{name}_count"), labels, None, count);
    }

    fn line(
        &mut self,
        name: &str,
        labels: &[Label<'_>],
        last: Option<Label<'_>>,
        value: impl Display,
    ) {
        self.0.push_str(name);
        // a label without a value is as one that is not there
        let labels = labels
            .iter()
            .copied()
            .filter(|(_, value)| !value.is_empty());
        for (at, (label, value)) in labels.chain(last).enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            self.write(format_args!("{label}=\""));
            for character in value.chars() {
                match character {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    character => self.0.push(character),
                }
            }
            self.0.push('"');
        }
        if self.0.ends_with('"') {
            self.0.push('}');
        }
        self.write(format_args!(" {value}\n"));
    }

    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        // a `String` takes all
        let _ = self.0.write_fmt(arguments);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_holds_any_text() {
        let mut text = Text(String::new());
        text.sample("x", &[("a", "1\"2\\3\n4"), ("b", "")], 5);
        text.sample("y", &[], 6);
        assert_eq!(text.0, "x{a=\"1\\\"2\\\\3\\n4\"} 5\ny 6\n");
    }
}
