use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ploomby::dedup::{Claim, ClaimToken, DedupStore};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::task::{JoinError, spawn_blocking};

/// Message ids in SQLite, for the programs of one machine.
#[derive(Debug)]
pub struct SqliteDedup {
    connection: Arc<Mutex<Connection>>,
    claims_last: Duration,
    remembers: Duration,
}

/// Why SQLite did not answer.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum SqliteError {
    /// It failed.
    Failed(#[from] rusqlite::Error),
    /// The thread that asked it did.
    Thread(#[from] JoinError),
}

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS handled_messages (
        queue TEXT NOT NULL,
        id TEXT NOT NULL,
        token INTEGER NOT NULL,
        is_done INTEGER NOT NULL DEFAULT 0,
        since REAL NOT NULL DEFAULT (unixepoch('subsec')),
        PRIMARY KEY (queue, id)
    )";

/// A row is taken over by its own token, and by any other one once its time is over.
const CLAIM: &str = "
    INSERT INTO handled_messages (queue, id, token) VALUES (?1, ?2, ?3)
    ON CONFLICT (queue, id) DO UPDATE
        SET token = excluded.token, is_done = 0, since = unixepoch('subsec')
        WHERE (NOT is_done AND token = excluded.token)
        OR since < unixepoch('subsec') - CASE WHEN is_done THEN ?4 ELSE ?5 END";

const LOOK: &str = "SELECT is_done FROM handled_messages WHERE queue = ?1 AND id = ?2";

const COMPLETE: &str = "
    UPDATE handled_messages SET is_done = 1, since = unixepoch('subsec')
    WHERE queue = ?1 AND id = ?2 AND token = ?3 AND NOT is_done";

const RELEASE: &str = "
    DELETE FROM handled_messages WHERE queue = ?1 AND id = ?2 AND token = ?3 AND NOT is_done";

impl SqliteDedup {
    /// Opens the file, and makes the table. A claim lasts so long, and an id is remembered so long once its handler
    /// is done.
    ///
    /// # Errors
    ///
    /// That of SQLite.
    pub fn open(
        path: &Path,
        claims_last: Duration,
        remembers: Duration,
    ) -> Result<Self, SqliteError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.execute_batch(TABLE)?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            claims_last,
            remembers,
        })
    }

    /// Asks it on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SqliteError> {
        let connection = self.connection.clone();
        let asking = move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            question(&connection)
        };
        Ok(spawn_blocking(asking).await??)
    }
}

impl DedupStore for SqliteDedup {
    type Error = SqliteError;

    async fn claim(&self, queue: &str, id: &str, token: ClaimToken) -> Result<Claim, SqliteError> {
        let (queue, id) = (queue.to_owned(), id.to_owned());
        let (done, claimed) = (self.remembers.as_secs_f64(), self.claims_last.as_secs_f64());
        self.ask(move |connection| {
            let values = params![queue, id, token.get(), done, claimed];
            if connection.prepare_cached(CLAIM)?.execute(values)? == 1 {
                return Ok(Claim::New);
            }
            let mut look = connection.prepare_cached(LOOK)?;
            let known = look.query_row(params![queue, id], |row| row.get(0));
            Ok(match known.optional()? {
                Some(true) => Claim::Done,
                // or released a moment ago: it is asked for again
                Some(false) | None => Claim::InProgress,
            })
        })
        .await
    }

    async fn complete(&self, queue: &str, id: &str, token: ClaimToken) -> Result<(), SqliteError> {
        let (queue, id) = (queue.to_owned(), id.to_owned());
        self.ask(move |connection| {
            let mut complete = connection.prepare_cached(COMPLETE)?;
            complete.execute(params![queue, id, token.get()])
        })
        .await?;
        Ok(())
    }

    async fn release(&self, queue: &str, id: &str, token: ClaimToken) -> Result<(), SqliteError> {
        let (queue, id) = (queue.to_owned(), id.to_owned());
        self.ask(move |connection| {
            let mut release = connection.prepare_cached(RELEASE)?;
            release.execute(params![queue, id, token.get()])
        })
        .await?;
        Ok(())
    }
}
