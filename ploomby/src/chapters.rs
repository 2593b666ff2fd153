//! The chapters of `docs`, whose code is compiled as doc tests.
//!
//! They stand outside of the package. This file is read for doc tests alone, so the package builds without them.

#[cfg(feature = "admin")]
#[doc = include_str!("../../docs/admin.md")]
mod admin {}
#[doc = include_str!("../../docs/comparison.md")]
mod comparison {}
#[cfg(feature = "asyncapi")]
#[doc = include_str!("../../docs/contract.md")]
mod contract {}
#[doc = include_str!("../../docs/deploying.md")]
mod deploying {}
#[doc = include_str!("../../docs/failure.md")]
mod failure {}
#[doc = include_str!("../../docs/formats.md")]
mod formats {}
#[doc = include_str!("../../docs/guarantees.md")]
mod guarantees {}
#[cfg(feature = "garde")]
#[doc = include_str!("../../docs/handlers.md")]
mod handlers {}
#[cfg(feature = "metrics")]
#[doc = include_str!("../../docs/metrics.md")]
mod metrics {}
#[doc = include_str!("../../docs/moving.md")]
mod moving {}
#[cfg(feature = "cli")]
#[doc = include_str!("../../docs/operations.md")]
mod operations {}
#[doc = include_str!("../../docs/performance.md")]
mod performance {}
#[doc = include_str!("../../docs/running.md")]
mod running {}
#[doc = include_str!("../../docs/scale.md")]
mod scale {}
#[doc = include_str!("../../docs/sending.md")]
mod sending {}
#[cfg(all(feature = "cli", feature = "testing"))]
#[doc = include_str!("../../docs/start.md")]
mod start {}
#[cfg(feature = "testing")]
#[doc = include_str!("../../docs/testing.md")]
mod testing {}
#[doc = include_str!("../../docs/topology.md")]
mod topology {}
#[doc = include_str!("../../docs/upstream.md")]
mod upstream {}
