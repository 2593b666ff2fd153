//! The database: SQLite here, and the same with another driver of sqlx.

use std::{path::Path, time::Duration};

use sqlx::{
    Sqlite, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS orders (
        id INTEGER PRIMARY KEY, customer TEXT NOT NULL, article TEXT NOT NULL, cents INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS invoices (order_id INTEGER NOT NULL, cents INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS mails (
        id INTEGER PRIMARY KEY, customer TEXT NOT NULL, text TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS counts (what TEXT PRIMARY KEY, orders INTEGER NOT NULL, cents INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS inbox (
        queue TEXT NOT NULL,
        message_id TEXT NOT NULL,
        handled_at INTEGER NOT NULL DEFAULT (unixepoch()),
        PRIMARY KEY (queue, message_id)
    );";

/// The pool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db(SqlitePool);

impl Db {
    /// Opens the file, and makes the tables.
    pub async fn open(path: impl AsRef<Path>) -> sqlx::Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(5));
        // SQLite has one writer at a time: a second connection would only wait for the first
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await?;
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        Ok(Self(pool))
    }

    /// Begins with the lock for writing, so that no transaction fails halfway for want of it.
    pub(crate) async fn begin(&self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        self.0.begin_with("BEGIN IMMEDIATE").await
    }

    /// For questions that are no transaction.
    pub fn pool(&self) -> &SqlitePool {
        &self.0
    }
}
