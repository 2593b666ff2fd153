//! Stores for [`ploomby::dedup::Dedup`], as `docs/dedup.md` shows them.

mod postgres;
mod server;
mod sqlite;

pub use postgres::{PostgresDedup, PostgresError};
pub use server::PostgresServer;
pub use sqlite::{SqliteDedup, SqliteError};
