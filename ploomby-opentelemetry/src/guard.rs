use opentelemetry::trace::Tracer;
use tracing::Subscriber;

/// The layer of the `tracing-opentelemetry` that this crate is built with. No other type is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no layer of tracing-opentelemetry 0.34, which ploomby-opentelemetry goes with",
    label = "of another version of tracing-opentelemetry or opentelemetry, or no layer of theirs",
    note = "take the version that ploomby-opentelemetry has, 0.34 of tracing-opentelemetry with 0.33 of opentelemetry and \
            opentelemetry_sdk, or its own: `ploomby_opentelemetry::tracing_opentelemetry::layer()`",
    note = "`cargo tree --duplicates` shows whether there are two versions of them"
)]
pub trait OpenTelemetryLayer: sealed::Sealed {}

impl<S, T> OpenTelemetryLayer for tracing_opentelemetry::OpenTelemetryLayer<S, T>
where
    S: Subscriber,
    T: Tracer,
{
}

mod sealed {
    pub trait Sealed {}

    impl<S, T> Sealed for tracing_opentelemetry::OpenTelemetryLayer<S, T> {}
}
