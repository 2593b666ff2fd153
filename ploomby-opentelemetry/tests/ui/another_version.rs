use tracing_subscriber::{Registry, prelude::*};

fn main() {
    let layer = other_tracing_opentelemetry::layer::<Registry>();
    tracing_subscriber::registry()
        .with(ploomby_opentelemetry::connect(layer))
        .init();
}
