use std::collections::HashSet;
use std::time::Duration;

use opentelemetry::trace::{SpanContext, SpanId, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use ploomby::{App, HandlerRegistry, Queue, Running};
use tokio::time::{Instant, sleep};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::prelude::*;

const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until something holds.
pub(crate) async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < end, "it does not come");
        sleep(Duration::from_millis(5)).await;
    }
}

/// An app that consumes one queue.
pub(crate) async fn start(url: &str, queue: Queue, handlers: HandlerRegistry) -> Running {
    let app = App::new(url).handlers(handlers).queue(queue);
    app.start().await.unwrap()
}

/// The spans of a test that are exported, of this thread.
pub(crate) struct Collected {
    spans: InMemorySpanExporter,
    _provider: SdkTracerProvider,
}

impl Collected {
    pub(crate) fn begin() -> (Self, DefaultGuard) {
        let spans = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(spans.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("story"));
        let subscriber = tracing_subscriber::registry()
            .with(tracing_subscriber::filter::LevelFilter::INFO)
            .with(ploomby_opentelemetry::connect(layer));
        let guard = tracing::subscriber::set_default(subscriber);
        let collected = Self {
            spans,
            _provider: provider,
        };
        (collected, guard)
    }

    fn all(&self) -> Vec<SpanData> {
        self.spans.get_finished_spans().unwrap()
    }

    /// Waits for so many spans of this name.
    pub(crate) async fn until(&self, name: &str, count: usize) {
        let is_of_name = |span: &&SpanData| span.name == name;
        eventually(async || self.all().iter().filter(is_of_name).count() >= count).await;
    }

    /// What there is, by when it began.
    pub(crate) fn story(&self) -> Story {
        let mut spans = self.all();
        spans.sort_by_key(|span| span.start_time);
        Story(spans)
    }
}

pub(crate) struct Story(Vec<SpanData>);

impl Story {
    pub(crate) fn all(&self, name: &str) -> Vec<&SpanData> {
        self.0.iter().filter(|span| span.name == name).collect()
    }

    pub(crate) fn only(&self, name: &str) -> &SpanData {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name}: {:?}", Self::names(&all));
        all[0]
    }

    pub(crate) fn names<'s>(spans: &[&'s SpanData]) -> Vec<&'s str> {
        spans.iter().map(|span| &*span.name).collect()
    }

    pub(crate) fn children(&self, parent: &SpanData) -> Vec<&SpanData> {
        let parent = &parent.span_context;
        let is_child = |span: &&SpanData| {
            span.parent_span_id == parent.span_id()
                && span.span_context.trace_id() == parent.trace_id()
        };
        self.0.iter().filter(is_child).collect()
    }

    /// Those that begin a trace with a link to this one.
    pub(crate) fn linked_to(&self, to: &SpanData) -> Vec<&SpanData> {
        let is_linked = |span: &&SpanData| {
            span.parent_span_id == SpanId::INVALID
                && Self::links(span).iter().any(|link| {
                    link.span_id() == to.span_context.span_id()
                        && link.trace_id() == to.span_context.trace_id()
                })
        };
        self.0.iter().filter(is_linked).collect()
    }

    pub(crate) fn links(span: &SpanData) -> Vec<&SpanContext> {
        span.links
            .links
            .iter()
            .map(|link| &link.span_context)
            .collect()
    }

    /// Those that no way leads to from this one.
    pub(crate) fn not_from(&self, root: &SpanData) -> Vec<&SpanData> {
        let mut reached = HashSet::from([root.span_context.span_id()]);
        let mut to_go = vec![root];
        while let Some(span) = to_go.pop() {
            for next in [self.children(span), self.linked_to(span)].concat() {
                if reached.insert(next.span_context.span_id()) {
                    to_go.push(next);
                }
            }
        }
        let is_beside = |span: &&SpanData| !reached.contains(&span.span_context.span_id());
        self.0.iter().filter(is_beside).collect()
    }

    /// An attribute as text; `-` if it is not there.
    pub(crate) fn text(span: &SpanData, name: &str) -> String {
        let mut attributes = span.attributes.iter();
        let attribute = attributes.find(|attribute| attribute.key.as_str() == name);
        attribute.map_or_else(
            || "-".to_owned(),
            |attribute| attribute.value.as_str().into_owned(),
        )
    }

    pub(crate) fn events(span: &SpanData) -> Vec<String> {
        span.events
            .iter()
            .map(|event| event.name.to_string())
            .collect()
    }
}
