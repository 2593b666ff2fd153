//! The generated code is clean under lints that forbid much.

#![forbid(unsafe_code)]
#![deny(
    warnings,
    missing_docs,
    elided_lifetimes_in_paths,
    explicit_outlives_requirements,
    let_underscore_drop,
    missing_debug_implementations,
    non_ascii_idents,
    redundant_lifetimes,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unreachable_pub,
    unused_import_braces,
    unused_lifetimes,
    unused_qualifications,
    unused_results,
    variant_size_differences
)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]
#![deny(
    clippy::absolute_paths,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::let_underscore_untyped,
    clippy::let_underscore_must_use,
    clippy::question_mark_used,
    clippy::shadow_reuse,
    clippy::shadow_same,
    clippy::shadow_unrelated,
    clippy::unwrap_used
)]

use std::future::ready;

use ploomby::{
    Delivery, HandlerRegistry, Outcome, Properties, Retry,
    extract::{Key, RawBody},
    handler,
};
use serde::Deserialize;

/// A payload.
#[derive(Debug, Deserialize)]
pub struct User<'m> {
    name: &'m str,
}

/// Nothing.
#[handler(retry = Retry::none(), timeout = "1m", concurrency = 2, queue = "queue")]
pub async fn nothing() {
    ready(()).await;
}

/// By value.
///
/// # Errors
///
/// None.
#[handler("value", "other")]
pub async fn value(user: User<'_>, key: Key) -> anyhow::Result<()> {
    ready(()).await;
    drop((user.name.len(), key));
    Ok(())
}

/// By reference.
#[handler]
pub async fn reference(user: &User<'_>, delivery: &Delivery, body: &RawBody) -> Outcome {
    ready(()).await;
    if user.name.len() + delivery.queue().len() < body.0.len() {
        Outcome::Ack
    } else {
        Outcome::DeadLetter
    }
}

/// Text.
#[handler(default)]
pub async fn text(name: &str, properties: Properties) {
    ready(()).await;
    drop((name.len(), properties));
}

fn main() {
    assert!(HandlerRegistry::linked().check().is_ok());
}
