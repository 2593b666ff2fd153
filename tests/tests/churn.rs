//! What is opened again and again leaves nothing behind. Alone in its process, whose memory it measures.

use std::time::Duration;

use ploomby::rabbit::{RabbitConsumerFactory, RabbitOptions, Reconnect};
use ploomby::{App, HandlerRegistry, KeySource, MessageConsumerRegistry, Queue};
use ploomby_tests::{Bed, DEADLINE, KEY, Proxy, eventually, rabbit, seen};
use tokio::runtime::Handle;

/// The memory comes to rest within these.
const WARM_UP: u32 = 100;
const ROUNDS: u32 = 600;

/// The tasks of a connection or two.
const A_FEW: usize = 20;

/// What the allocator may take for reasons of its own: 5 KB for each round, where a connection has buffers of
/// 16 KB.
const SLACK: usize = 3_000_000;

#[tokio::test(flavor = "current_thread")]
async fn reconnecting_and_registering_600_times_leaves_memory_and_tasks_as_they_were() {
    let rabbit = rabbit().await;
    let proxy = Proxy::before((rabbit.host().to_owned(), rabbit.port())).await;
    let url = format!("amqp://guest:guest@{}", proxy.address());
    Bed::rabbit()
        .await
        .run(async |bed| {
            reconnect(&bed, &proxy, &url).await;
            register(&bed).await;
        })
        .await;
}

/// Cuts the connections of a consumer and of its dead letters.
async fn reconnect(bed: &Bed, proxy: &Proxy, url: &str) {
    let queue = bed.queue_name();
    let app = App::new(url)
        .handlers(HandlerRegistry::new().register("nothing", || async {}))
        .queue(Queue::new(&queue).key(KeySource::header(KEY)))
        .reconnect(Reconnect::forever().longest_pause(Duration::from_millis(5)))
        .start()
        .await
        .unwrap();
    let mut usage = Usage::default();
    for round in 0..WARM_UP + ROUNDS {
        // published after the cut, so that it is dead-lettered by connections that are new
        bed.send(&queue, "unknown", "").await;
        bed.dead_letter(&queue).await;
        usage.note(round);
        proxy.cut();
    }
    usage.check("reconnecting").await;
    app.shut_down().await.unwrap();
}

async fn register(bed: &Bed) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let mut usage = Usage::default();
    for round in 0..WARM_UP + ROUNDS {
        let handlers =
            HandlerRegistry::new().register("work", move || async move { seen.note("") });
        let factory = RabbitConsumerFactory::new(bed.url()).unwrap();
        let mut consumers = MessageConsumerRegistry::new(handlers, factory);
        let key = KeySource::header(KEY);
        consumers
            .register(&queue, key, 1, RabbitOptions::new())
            .await
            .unwrap();
        bed.send(&queue, "work", "").await;
        handled.next_note().await;
        consumers.disconnect_consumers().await.unwrap();
        usage.note(round);
    }
    usage.check("registering").await;
}

#[derive(Default)]
struct Usage {
    tasks: usize,
    memory: usize,
}

impl Usage {
    /// Notes what is there once it has come to rest.
    fn note(&mut self, round: u32) {
        if round == WARM_UP {
            self.tasks = tasks();
            self.memory = memory();
        }
    }

    async fn check(&self, what: &str) {
        // those of a connection may still be ending, then and now
        eventually(DEADLINE, async || tasks() <= self.tasks + A_FEW).await;
        let grown = memory().saturating_sub(self.memory);
        println!("{what}: {} tasks, {grown} bytes more", tasks());
        assert!(grown <= SLACK, "{what} left {grown} bytes behind");
    }
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// What is resident, in bytes.
fn memory() -> usize {
    const PAGE: usize = 4096;

    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * PAGE
}
