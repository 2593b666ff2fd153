//! Other attributes, above and below.

#[path = "../deliver.rs"]
mod deliver;

use deliver::{
    Settled::{Acked, DeadLettered},
    deliver,
};
use ploomby::extract::Key;

/// Above.
#[ploomby::handler]
/// Below.
#[allow(unused_variables)]
#[must_use]
#[inline]
async fn documented(name: &str) {}

#[deprecated]
#[derive(serde::Deserialize)]
struct Old {}

#[ploomby::handler]
#[allow(deprecated)]
async fn takes_what_is_deprecated(_: Old) {}

#[cfg(any())]
#[ploomby::handler]
async fn left_out_above() {}

#[ploomby::handler]
#[cfg(any())]
async fn left_out_below() {}

#[cfg(not(any()))]
#[ploomby::handler]
#[cfg(not(any()))]
async fn left_in() {}

#[ploomby::handler]
async fn arguments(
    #[cfg(any())] missing: Missing,
    #[cfg(not(any()))] name: &str,
    #[cfg(any())] also_missing: &Missing,
    #[allow(unused_variables)] key: Key,
) {
    assert_eq!(name, "Ada");
}

/// What comes of a condition is a condition.
#[ploomby::handler]
async fn conditions_of_conditions(
    #[cfg_attr(all(), cfg(any()), allow(unused))] missing: Missing,
    #[cfg_attr(any(), cfg(any()))] name: &str,
    #[cfg_attr(all(), cfg_attr(all(), cfg(any())))] also_missing: Missing,
) {
    assert_eq!(name, "Ada");
}

#[ploomby::handler]
#[cfg_attr(all(), cfg(any()))]
async fn left_out_by_a_condition() {}

#[ploomby::handler]
#[tracing::instrument(skip(name))]
async fn instrumented_below(name: &str, key: Key) -> anyhow::Result<()> {
    assert_eq!(name, key.0.get(..3).map_or("", |_| "Ada"));
    Ok(())
}

#[tracing::instrument(skip_all, err, fields(name))]
#[ploomby::handler]
async fn instrumented_above(name: &str) -> anyhow::Result<()> {
    anyhow::ensure!(name == "Ada", "not Ada");
    Ok(())
}

#[deprecated]
#[ploomby::handler]
async fn deprecated_above() {}

#[ploomby::handler]
#[deprecated(note = "soon")]
async fn deprecated_below() {}

fn main() {
    for key in [
        "documented",
        "left_in",
        "arguments",
        "conditions_of_conditions",
        "instrumented_below",
        "instrumented_above",
        "deprecated_above",
        "deprecated_below",
    ] {
        assert_eq!(deliver(key, r#""Ada""#), Acked, "{key}");
    }
    assert_eq!(deliver("takes_what_is_deprecated", "{}"), Acked);
    for key in [
        "left_out_above",
        "left_out_below",
        "left_out_by_a_condition",
    ] {
        assert!(matches!(deliver(key, ""), DeadLettered(_)), "{key}");
    }
}
