//! What `docs/dedup.md` says of its stores, against a real PostgreSQL and a real SQLite.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ploomby::dedup::{Claim, ClaimToken, Dedup, DedupStore};
use ploomby::{
    App, HandlerRegistry, KeySource, Message, Properties, Publisher, Queue, memory::MemoryBroker,
};
use ploomby_databases::{PostgresDedup, PostgresServer, SqliteDedup};
use ploomby_tests::{KEY, eventually, unique_name};
use tokio::task::block_in_place;

const CLAIMS_LAST: Duration = Duration::from_secs(2);
const REMEMBERS: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(120);

/// What each store has to do, asked by two programs.
async fn is_a_store<S: DedupStore>(one: Arc<S>, other: Arc<S>) {
    let (first, second) = (ClaimToken::random(), ClaimToken::random());
    for id in [
        "1",
        "a",
        "A",
        "a ",
        "it's",
        "\u{1F980}",
        "\\0",
        "",
        &"x".repeat(510),
    ] {
        assert_eq!(one.claim("q", id, first).await.unwrap(), Claim::New, "{id}");
        assert_eq!(one.claim("q", id, first).await.unwrap(), Claim::New);
        assert_eq!(
            other.claim("q", id, second).await.unwrap(),
            Claim::InProgress
        );
        assert_eq!(
            other.claim("another", id, second).await.unwrap(),
            Claim::New
        );
        // not its own
        other.release("q", id, second).await.unwrap();
        other.complete("q", id, second).await.unwrap();
        assert_eq!(
            other.claim("q", id, second).await.unwrap(),
            Claim::InProgress
        );
        one.release("q", id, first).await.unwrap();
        one.release("q", id, first).await.unwrap();
        assert_eq!(other.claim("q", id, second).await.unwrap(), Claim::New);
        other.complete("q", id, second).await.unwrap();
        other.complete("q", id, second).await.unwrap();
        other.release("q", id, second).await.unwrap();
        assert_eq!(one.claim("q", id, first).await.unwrap(), Claim::Done);
        assert_eq!(one.claim("q", id, second).await.unwrap(), Claim::Done);
    }
    // a claim that ended is another's, and its old token changes nothing
    assert_eq!(one.claim("q", "old", first).await.unwrap(), Claim::New);
    eventually(PATIENCE, async || {
        other.claim("q", "old", second).await.unwrap() == Claim::New
    })
    .await;
    one.release("q", "old", first).await.unwrap();
    one.complete("q", "old", first).await.unwrap();
    assert_eq!(
        one.claim("q", "old", first).await.unwrap(),
        Claim::InProgress
    );
    // of many at the same time, one alone gets it
    let claims = (0..32).map(|number| {
        let store = if number % 2 == 0 {
            one.clone()
        } else {
            other.clone()
        };
        tokio::spawn(async move {
            store
                .claim("q", "race", ClaimToken::random())
                .await
                .unwrap()
        })
    });
    let claims: Vec<_> = claims.collect();
    let mut new = 0;
    for claim in claims {
        new += usize::from(claim.await.unwrap() == Claim::New);
    }
    assert_eq!(new, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_is_a_store() {
    let file = std::env::temp_dir().join(unique_name("ploomby-sqlite"));
    let open = || Arc::new(SqliteDedup::open(&file, CLAIMS_LAST, REMEMBERS).unwrap());
    is_a_store(open(), open()).await;
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_a_store_also_after_it_was_away() {
    let mut server = PostgresServer::start(&unique_name("ploomby-pg"));
    let config = server.config();
    let connect = async || {
        let store = PostgresDedup::connect(&config, CLAIMS_LAST, REMEMBERS).await;
        Arc::new(store.unwrap())
    };
    let (one, other) = (connect().await, connect().await);
    is_a_store(one.clone(), other).await;
    server.stop();
    assert!(one.claim("q", "later", ClaimToken::random()).await.is_err());
    server.go_on();
    eventually(PATIENCE, async || {
        one.claim("q", "later", ClaimToken::random()).await.is_ok()
    })
    .await;
}

#[test]
fn the_docs_show_the_stores_that_are_tested() {
    let docs = include_str!("../../../docs/dedup.md");
    for store in [
        include_str!("../src/postgres.rs"),
        include_str!("../src/sqlite.rs"),
    ] {
        assert!(docs.contains(store), "copy it to docs/dedup.md:\n{store}");
    }
}

/// How often each id was handled.
type Handled = Arc<Mutex<BTreeMap<u32, u32>>>;

/// A program on a runtime of its own, to be ended without a word.
struct Program(Option<tokio::runtime::Runtime>);

impl Program {
    fn start(url: &str, queue: &str, config: &str, handled: &Handled) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (url, queue, config) = (url.to_owned(), queue.to_owned(), config.to_owned());
        let handled = handled.clone();
        let work = move |number: u32| {
            let handled = handled.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                *handled.lock().unwrap().entry(number).or_default() += 1;
            }
        };
        let start = async {
            let store = PostgresDedup::connect(&config, CLAIMS_LAST, REMEMBERS).await;
            let dedup = Dedup::new(store.unwrap()).answers_within(Duration::from_secs(1));
            let set_up = Queue::new(queue)
                .key(KeySource::header(KEY))
                .prefetch(16)
                .timeout(Duration::from_millis(500))
                .layer(dedup);
            let handlers = HandlerRegistry::new().register("work", work);
            let app = App::new(&url).handlers(handlers).queue(set_up);
            app.start().await.unwrap()
        };
        let running = block_in_place(|| runtime.block_on(start));
        runtime.spawn(async move {
            let _running = running;
            std::future::pending::<()>().await;
        });
        Self(Some(runtime))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The store fails, hangs, and a program is ended in the midst of it: nothing is skipped, and nothing condemned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_id_is_handled_while_its_store_comes_and_goes() {
    const IDS: u32 = 500;

    let mut server = PostgresServer::start(&unique_name("ploomby-pg"));
    let name = unique_name("databases");
    let (url, queue) = (format!("memory://{name}"), "work".to_owned());
    let broker = MemoryBroker::named(&name);
    broker.declare_queue(&queue, []).unwrap();
    let publisher = Publisher::connect(&url).await.unwrap();
    for _ in 0..3 {
        for number in 0..IDS {
            let id = Properties::new()
                .with_message_id(&number.to_string())
                .unwrap();
            let message = Message::new(number.to_string())
                .with_properties(id)
                .with_header(KEY, "work")
                .unwrap();
            publisher.publish(&queue, message).await.unwrap();
        }
    }
    let handled = Handled::default();
    let count = || handled.lock().unwrap().len();
    let start = || Program::start(&url, &queue, &server.config(), &handled);
    let _stays = start();
    let ends = start();
    eventually(PATIENCE, async || count() > 50).await;
    // in a handler, in a claim, or while the store is told
    drop(ends);
    eventually(PATIENCE, async || count() > 150).await;
    server.stop();
    tokio::time::sleep(Duration::from_secs(10)).await;
    server.go_on();
    let _comes = Program::start(&url, &queue, &server.config(), &handled);
    eventually(PATIENCE, async || count() > 300).await;
    server.pause(true);
    tokio::time::sleep(Duration::from_secs(10)).await;
    server.pause(false);
    eventually(PATIENCE, async || {
        broker.ready_count(&queue) + broker.unacked_count(&queue) == 0
    })
    .await;
    let handled = handled.lock().unwrap();
    assert!(handled.keys().copied().eq(0..IDS), "some were skipped");
    // what was with the program that was ended, and no more
    let again = handled.values().filter(|times| **times > 1).count();
    assert!(again <= 16, "{again} were handled again");
    assert!(handled.values().all(|times| *times <= 2));
    assert_eq!(broker.ready_count(&format!("{queue}_dlq")), 0);
}
