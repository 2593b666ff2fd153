//! Stores for [`ploomby::dedup::Dedup`], as `docs/dedup.md` shows them.

/// The chapter, whose code is compiled as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/dedup.md")]
mod chapter {}
mod postgres;
mod server;
mod sqlite;

pub use postgres::{PostgresDedup, PostgresError};
pub use server::PostgresServer;
pub use sqlite::{SqliteDedup, SqliteError};
