use std::sync::Arc;
use std::time::Duration;

use ploomby::dedup::{Claim, ClaimToken, DedupStore};
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls};

/// Message ids in PostgreSQL. A connection that is lost is opened again with the next question.
#[derive(Debug)]
pub struct PostgresDedup {
    config: String,
    claims_last: Duration,
    remembers: Duration,
    client: Mutex<Option<Arc<Client>>>,
}

/// Why PostgreSQL did not answer.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PostgresError(#[from] tokio_postgres::Error);

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS handled_messages (
        queue text COLLATE \"C\" NOT NULL,
        id text COLLATE \"C\" NOT NULL,
        token bigint NOT NULL,
        is_done boolean NOT NULL DEFAULT false,
        since timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (queue, id)
    )";

/// A row is taken over by its own token, and by any other one once its time is over.
const CLAIM: &str = "
    INSERT INTO handled_messages AS known (queue, id, token) VALUES ($1, $2, $3)
    ON CONFLICT (queue, id) DO UPDATE
        SET token = excluded.token, is_done = false, since = now()
        WHERE (NOT known.is_done AND known.token = excluded.token)
        OR known.since < now() - make_interval(
            secs => CASE WHEN known.is_done THEN $4::float8 ELSE $5::float8 END)";

const LOOK: &str = "SELECT is_done FROM handled_messages WHERE queue = $1 AND id = $2";

const COMPLETE: &str = "
    UPDATE handled_messages SET is_done = true, since = now()
    WHERE queue = $1 AND id = $2 AND token = $3 AND NOT is_done";

const RELEASE: &str = "
    DELETE FROM handled_messages WHERE queue = $1 AND id = $2 AND token = $3 AND NOT is_done";

impl PostgresDedup {
    /// Connects, and makes the table. A claim lasts so long, and an id is remembered so long once its handler is
    /// done.
    ///
    /// # Errors
    ///
    /// That of PostgreSQL.
    pub async fn connect(
        config: &str,
        claims_last: Duration,
        remembers: Duration,
    ) -> Result<Self, PostgresError> {
        let store = Self {
            config: config.to_owned(),
            claims_last,
            remembers,
            client: Mutex::default(),
        };
        store.client().await?.batch_execute(TABLE).await?;
        Ok(store)
    }

    async fn client(&self) -> Result<Arc<Client>, PostgresError> {
        let mut client = self.client.lock().await;
        if let Some(open) = client.as_ref().filter(|client| !client.is_closed()) {
            return Ok(open.clone());
        }
        let (new, connection) = tokio_postgres::connect(&self.config, NoTls).await?;
        // it ends with its client, and says so there
        tokio::spawn(connection);
        Ok(client.insert(Arc::new(new)).clone())
    }
}

impl DedupStore for PostgresDedup {
    type Error = PostgresError;

    async fn claim(
        &self,
        queue: &str,
        id: &str,
        token: ClaimToken,
    ) -> Result<Claim, PostgresError> {
        let client = self.client().await?;
        let (done, claimed) = (self.remembers.as_secs_f64(), self.claims_last.as_secs_f64());
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&queue, &id, &token.get(), &done, &claimed];
        if client.execute(CLAIM, &values).await? == 1 {
            return Ok(Claim::New);
        }
        let known = client.query_opt(LOOK, &[&queue, &id]).await?;
        Ok(match known.map(|row| row.get(0)) {
            Some(true) => Claim::Done,
            // or released a moment ago: it is asked for again
            Some(false) | None => Claim::InProgress,
        })
    }

    async fn complete(
        &self,
        queue: &str,
        id: &str,
        token: ClaimToken,
    ) -> Result<(), PostgresError> {
        let client = self.client().await?;
        client
            .execute(COMPLETE, &[&queue, &id, &token.get()])
            .await?;
        Ok(())
    }

    async fn release(&self, queue: &str, id: &str, token: ClaimToken) -> Result<(), PostgresError> {
        let client = self.client().await?;
        client
            .execute(RELEASE, &[&queue, &id, &token.get()])
            .await?;
        Ok(())
    }
}
