use std::fmt;

use tracing::{Span, field::display};

use super::{TraceContext, bridge, spans, work};
use crate::message::{Properties, PropertyError, header_names as headers};

/// What a message that is sent says of its trace.
#[derive(Debug)]
pub(crate) struct Sending {
    span: SendSpan,
    context: Option<TraceContext>,
}

/// The span of a message that is sent, until this is dropped.
#[derive(Clone, Debug)]
pub(crate) struct SendSpan(Span);

impl Sending {
    /// Within a handler it goes on with the trace of the handler's message, else as the bridge says.
    ///
    /// `moved` is what a message says that is moved as it is.
    pub(crate) fn begin(
        operation: &str,
        exchange: &str,
        routing_key: &str,
        moved: impl FnOnce() -> Option<TraceContext>,
    ) -> Self {
        let work = work::current();
        let bridge = bridge::get();
        let has_span = match &work {
            Some(work) => work.has_span(),
            None => bridge.is_some(),
        };
        let span = match has_span {
            true => spans::of_sending(operation, exchange, routing_key),
            false => Span::none(),
        };
        let by_bridge = bridge
            .filter(|_| has_span)
            .and_then(|bridge| bridge.send(&span, moved().as_ref()));
        let context = by_bridge.or_else(|| Some(work?.context()?.child()));
        if let Some(context) = &context {
            span.record("trace_id", display(context.trace_id()));
        }
        Self {
            span: SendSpan(span),
            context,
        }
    }

    pub(crate) fn span(&self) -> SendSpan {
        self.span.clone()
    }

    /// Writes into a message which trace it belongs to. What it says of another goes.
    pub(crate) fn write(&self, mut properties: Properties) -> Result<Properties, PropertyError> {
        let Some(context) = &self.context else {
            return Ok(properties);
        };
        if properties.headers().contains_any(&headers::OF_TRACES) {
            let mut fields = properties.headers().to_fields();
            fields.retain(|name| !headers::OF_TRACES.contains(&name));
            properties = properties.with_headers(fields)?;
        }
        properties.set_header(headers::TRACEPARENT, context.to_string().into())?;
        let more = [
            (headers::TRACESTATE, context.state()),
            (headers::BAGGAGE, context.baggage()),
        ];
        for (name, text) in more {
            if let Some(text) = text {
                properties.set_header(name, text.into())?;
            }
        }
        Ok(properties)
    }

    /// Says which message it is.
    pub(crate) fn named(&self, message_id: &str) {
        self.span.0.record("messaging.message.id", message_id);
    }
}

impl SendSpan {
    /// It was not sent, or nobody knows.
    pub(crate) fn failed(&self, kind: &str, error: &dyn fmt::Display) {
        if !self.0.is_none() {
            spans::note_error(&self.0, kind, &error.to_string());
        }
    }
}
