//! Hours of retries beside pools of real databases: the clock of the test moves, and that of the pools does not.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use deadpool_postgres::{Pool as PostgresPool, tokio_postgres::NoTls};
use deadpool_sqlite::{
    Config, Object, Pool as SqlitePool, PoolConfig, Runtime, Timeouts, rusqlite,
};
use ploomby::{HandlerRegistry, Outcome, Queue, Retry, extract::State, testing::TestApp};
use ploomby_databases::PostgresServer;
use ploomby_tests::unique_name;
use tokio::sync::Mutex;

const HOUR: Duration = Duration::from_secs(60 * 60);

const ATTEMPTS: u8 = 5;

/// More than there are connections, so that most wait for one.
const ORDERS: i64 = 30;

const CONNECTIONS: usize = 2;

/// How long one waits for a connection, and how long the whole test may take.
const PATIENCE: Duration = Duration::from_secs(30);

const TABLE: &str = "CREATE TABLE attempts (id BIGINT NOT NULL)";

/// Where attempts are written down.
trait Attempts: Clone + Send + Sync + 'static {
    /// Notes one more attempt, and says how many there are by now.
    fn note(&self, id: i64) -> impl Future<Output = anyhow::Result<i64>> + Send;
}

impl Attempts for SqlitePool {
    async fn note(&self, id: i64) -> anyhow::Result<i64> {
        note_in(&self.get().await?, id).await
    }
}

impl Attempts for PostgresPool {
    async fn note(&self, id: i64) -> anyhow::Result<i64> {
        let mut client = self.get().await?;
        let transaction = client.transaction().await?;
        let note = "INSERT INTO attempts VALUES ($1)";
        transaction.execute(note, &[&id]).await?;
        let count = "SELECT count(*) FROM attempts WHERE id = $1";
        let noted = transaction.query_one(count, &[&id]).await?.get(0);
        transaction.commit().await?;
        Ok(noted)
    }
}

/// A connection with a transaction that nothing stays of.
#[derive(Clone)]
struct RolledBack(Arc<Mutex<Object>>);

impl Attempts for RolledBack {
    async fn note(&self, id: i64) -> anyhow::Result<i64> {
        note_in(&*self.0.lock().await, id).await
    }
}

async fn note_in(connection: &Object, id: i64) -> anyhow::Result<i64> {
    let noting = move |connection: &mut rusqlite::Connection| {
        connection.execute("INSERT INTO attempts VALUES (?1)", [id])?;
        let count = "SELECT count(*) FROM attempts WHERE id = ?1";
        connection.query_row(count, [id], |row| row.get(0))
    };
    let noted = connection.interact(noting).await;
    Ok(noted.map_err(|error| anyhow::anyhow!("{error}"))??)
}

async fn count_all(connection: &Object) -> i64 {
    let count = |connection: &mut rusqlite::Connection| {
        connection.query_row("SELECT count(*) FROM attempts", [], |row| row.get(0))
    };
    connection.interact(count).await.unwrap().unwrap()
}

async fn execute(connection: &Object, statement: &'static str) {
    let executed = connection.interact(|connection| connection.execute_batch(statement));
    executed.await.unwrap().unwrap();
}

/// Succeeds at the last of its attempts.
async fn charge<A: Attempts>(id: i64, State(attempts): State<A>) -> anyhow::Result<()> {
    let noted = attempts.note(id).await?;
    anyhow::ensure!(noted >= ATTEMPTS.into(), "the bank is closed");
    Ok(())
}

/// Four hours of retries, of many orders at once.
async fn charge_for_hours<A: Attempts>(attempts: &A) {
    let began = Instant::now();
    let app = TestApp::with(HandlerRegistry::new().register("charge", charge::<A>))
        .state(attempts.clone())
        .queue(Queue::new("billing").retry(Retry::fixed(ATTEMPTS.into(), HOUR)))
        .limit(PATIENCE)
        .embedded()
        .start()
        .await;
    for id in 0..ORDERS {
        app.put("billing", "charge", &id).await;
    }
    let run = app.run().await;
    let handled = run.handled("charge");
    let messages = usize::try_from(ORDERS).unwrap();
    let tries = messages * usize::from(ATTEMPTS);
    handled
        .times(messages)
        .attempts(tries)
        .outcome(Outcome::Ack);
    app.dead_letters("billing").none();
    let journal = app.journal().to_string();
    assert!(journal.contains("+4h "), "{journal}");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

fn timeouts(wait: Duration) -> Timeouts {
    Timeouts {
        wait: Some(wait),
        create: Some(PATIENCE),
        recycle: Some(PATIENCE),
    }
}

/// A database in a file, which is gone with this.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        Self(std::env::temp_dir().join(unique_name("hours")))
    }

    fn pool(&self, connections: usize, wait: Duration) -> SqlitePool {
        let mut config = Config::new(&self.0);
        config.pool = Some(PoolConfig {
            timeouts: timeouts(wait),
            ..PoolConfig::new(connections)
        });
        config.create_pool(Runtime::Tokio1).unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn hours_of_retries_pass_beside_a_pool_of_sqlite() {
    let file = File::new();
    let pool = file.pool(CONNECTIONS, PATIENCE);
    execute(&pool.get().await.unwrap(), TABLE).await;
    charge_for_hours(&pool).await;
    let noted = count_all(&pool.get().await.unwrap()).await;
    assert_eq!(noted, ORDERS * i64::from(ATTEMPTS));
}

#[tokio::test]
async fn nothing_stays_of_a_transaction_that_the_test_rolls_back() {
    let file = File::new();
    let pool = file.pool(CONNECTIONS, PATIENCE);
    let connection = pool.get().await.unwrap();
    execute(&connection, TABLE).await;
    execute(&connection, "BEGIN").await;
    let transaction = RolledBack(Arc::new(Mutex::new(connection)));
    charge_for_hours(&transaction).await;
    let connection = transaction.0.lock().await;
    assert_eq!(count_all(&connection).await, ORDERS * i64::from(ATTEMPTS));
    execute(&connection, "ROLLBACK").await;
    assert_eq!(count_all(&connection).await, 0);
}

/// The same as where nothing moves a clock: who waits for a connection gives up after real time.
#[tokio::test]
async fn the_timeout_of_a_pool_stays_real() {
    let wait = Duration::from_millis(100);
    let file = File::new();
    let pool = file.pool(1, wait);
    let held = pool.get().await.unwrap();
    execute(&held, TABLE).await;
    let app = TestApp::with(HandlerRegistry::new().register("charge", charge::<SqlitePool>))
        .state(pool.clone())
        .queue(Queue::new("billing").retry(Retry::fixed(2, HOUR)))
        .embedded()
        .start()
        .await;
    let began = Instant::now();
    let run = app.send("billing", "charge", &1).await;
    run.handled("charge")
        .attempts(2)
        .error("Timeout occurred while waiting for a slot");
    assert!(began.elapsed() >= 2 * wait, "{:?}", began.elapsed());
}

#[tokio::test]
async fn hours_of_retries_pass_beside_a_pool_of_postgresql() {
    let server = tokio::task::spawn_blocking(|| PostgresServer::start(&unique_name("hours")));
    let server = server.await.unwrap();
    let manager = deadpool_postgres::Manager::new(server.config().parse().unwrap(), NoTls);
    let pool = PostgresPool::builder(manager)
        .max_size(CONNECTIONS)
        .timeouts(timeouts(PATIENCE))
        .runtime(Runtime::Tokio1)
        .build()
        .unwrap();
    pool.get()
        .await
        .unwrap()
        .batch_execute(TABLE)
        .await
        .unwrap();
    charge_for_hours(&pool).await;
    let client = pool.get().await.unwrap();
    let noted = client.query_one("SELECT count(*) FROM attempts", &[]).await;
    let noted: i64 = noted.unwrap().get(0);
    assert_eq!(noted, ORDERS * i64::from(ATTEMPTS));
}
