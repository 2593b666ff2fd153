//! A program whose messages are seen by a collector of OpenTelemetry.
//!
//! `cargo run -p ploomby-opentelemetry --example orders` sends to the collector at `http://localhost:4318`, such as that of Jaeger:
//! `docker run --rm -p 4318:4318 -p 16686:16686 jaegertracing/jaeger`, which shows the traces at <http://localhost:16686>. There an
//! order is followed from its request over a first attempt that failed and a second one to the mail that tells of it.

use std::{sync::Arc, time::Duration};

use anyhow::ensure;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use ploomby::{
    App, HandlerRegistry, Publisher, Queue, Retry,
    extract::{Attempt, State},
};
use tokio::sync::Notify;
use tracing::Instrument;
use tracing_subscriber::{filter::LevelFilter, prelude::*};

async fn charge(order: u32, Attempt(attempt): Attempt, publisher: Publisher) -> anyhow::Result<()> {
    ensure!(attempt > 1, "the bank is closed");
    publisher.send("mails", "write", &order).await?;
    Ok(())
}

async fn write(order: u32, State(written): State<Arc<Notify>>) {
    tracing::info!(order, "thank you");
    written.notify_one();
}

/// Sends the spans of this process to a collector.
fn export_to(collector: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpJson)
        .with_endpoint(format!("{collector}/v1/traces"))
        .build()?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name("orders").build())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("orders"));
    tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(ploomby_opentelemetry::connect(layer))
        .init();
    Ok(provider)
}

pub(crate) async fn run(broker: &str, collector: &str) -> anyhow::Result<()> {
    let provider = export_to(collector)?;
    let handlers = HandlerRegistry::new()
        .register("charge", charge)
        .register("write", write);
    let retry = Retry::fixed(2, Duration::from_millis(100));
    let written = Arc::new(Notify::new());
    let app = App::new(broker)
        .handlers(handlers)
        .state(written.clone())
        .queue(Queue::new("charges").retry(retry))
        .queue(Queue::new("mails"));
    let running = app.start().await?;

    let publisher = running.publisher().await?;
    let request = tracing::info_span!("POST /orders", otel.kind = "server");
    publisher
        .send("charges", "charge", &7)
        .instrument(request)
        .await?;

    written.notified().await;
    running.shut_down().await?;
    // sends what is still to be sent
    tokio::task::spawn_blocking(move || provider.shutdown()).await??;
    Ok(())
}

#[tokio::main]
#[allow(dead_code, reason = "a test runs it with a collector of its own")]
async fn main() -> anyhow::Result<()> {
    let from_environment =
        |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let broker = from_environment("PLOOMBY_URL", "memory://orders");
    let collector = from_environment("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
    run(&broker, &collector).await
}
