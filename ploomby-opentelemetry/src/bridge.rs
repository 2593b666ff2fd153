use std::sync::Once;

use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceContextExt},
};
use ploomby::trace::{Bridge, Origin, TraceContext, set_bridge};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::baggage;

/// Sets ploomby's bridge, once.
pub(crate) fn set_once(bridge: OpenTelemetry) {
    static ONCE: Once = Once::new();

    ONCE.call_once(|| set_bridge(bridge).expect("ploomby has no other bridge"));
}

pub(crate) struct OpenTelemetry;

impl Bridge for OpenTelemetry {
    fn process(&self, span: &Span, origin: &Origin<'_>) -> Option<TraceContext> {
        let mut context = Context::new();
        if let Some(text) = origin.baggage() {
            context = baggage::read(text, &context);
        }
        if let Some(parent) = origin.parent() {
            context = context.with_remote_span_context(remote(parent));
        }
        // before it begins, so that a sampler sees all of it; the layer may not be there
        for link in origin.links() {
            span.add_link(remote(link));
        }
        let _ = span.set_parent(context);
        carried(&span.context())
    }

    fn send(&self, span: &Span, moved: Option<&TraceContext>) -> Option<TraceContext> {
        if let Some(moved) = moved {
            span.add_link(remote(moved));
        }
        // one that is filtered out leaves the message to the span around it
        carried(&span.context()).or_else(|| carried(&Span::current().context()))
    }
}

/// The span that sent a message.
fn remote(context: &TraceContext) -> SpanContext {
    let state = context.state().and_then(|state| state.parse().ok());
    SpanContext::new(
        TraceId::from_bytes(context.trace_id().to_bytes()),
        SpanId::from_bytes(context.span_id()),
        TraceFlags::new(context.flags()),
        true,
        state.unwrap_or_default(),
    )
}

/// What a message says that is sent here; nothing without a span.
fn carried(context: &Context) -> Option<TraceContext> {
    let span = context.span();
    let span = span.span_context();
    let carried = TraceContext::new(
        span.trace_id().to_bytes(),
        span.span_id().to_bytes(),
        span.trace_flags().to_u8(),
    )?;
    Some(
        carried
            .with_state(&span.trace_state().header())
            .with_baggage(&baggage::write(context)),
    )
}
