use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ploomby::{HandlerRegistry, KeySource, Message, Publisher, Queue};
use ploomby_tests::{Bed, KEY, OwnRabbit, eventually, eventually_some, unique_name};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::LONG;
use crate::ledger::Ledger;

fn url(nodes: &[OwnRabbit]) -> String {
    let hosts: Vec<String> = nodes
        .iter()
        .map(|node| format!("{}:{}", node.host(), node.port()))
        .collect();
    format!("amqp://guest:guest@{}", hosts.join(","))
}

/// Publishes numbers until it is told to stop, each until the broker has it, and returns how many.
async fn publish(url: &str, queue: &str, stop: &CancellationToken) -> u32 {
    let publisher = Publisher::connect(url).await.unwrap();
    let mut number = 0;
    while !stop.is_cancelled() {
        let message = Message::new(number.to_string());
        let message = message.with_header(KEY, "work").unwrap();
        match publisher.publish(queue, message).await {
            Ok(()) => number += 1,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
    publisher.close().await;
    number
}

/// The index of the node that leads a queue, asked of another one.
async fn leader(nodes: &[OwnRabbit], asked: usize, queue: &str) -> usize {
    let listed = nodes[asked]
        .ctl(&["--quiet", "list_queues", "name", "leader"])
        .await;
    let is_its = |line: &&str| line.split_whitespace().next() == Some(queue);
    let line = listed.lines().find(is_its);
    let line = line.unwrap_or_else(|| panic!("{listed}"));
    let leads = |node: &OwnRabbit| line.contains(node.name());
    nodes
        .iter()
        .position(leads)
        .unwrap_or_else(|| panic!("{listed}"))
}

fn noting(ledger: &'static Ledger) -> HandlerRegistry {
    HandlerRegistry::new().register("work", move |number: u32| async move {
        sleep(Duration::from_millis(1)).await;
        ledger.note(number);
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_loses_one_node_after_the_other_loses_no_message() {
    let nodes = OwnRabbit::cluster().await;
    quorum_queue(&nodes).await;
    classic_queue(&nodes).await;
}

async fn quorum_queue(nodes: &[OwnRabbit; 3]) {
    let url = url(nodes);
    let queue = unique_name("cluster");
    let ledger = Ledger::new();
    let set_up = Queue::new(&queue)
        .key(KeySource::header(KEY))
        .queue_argument("x-queue-type", "quorum");
    let app = Bed::start_at(&url, set_up, noting(ledger)).await;
    let stop = CancellationToken::new();
    let publishing = {
        let (url, queue, stop) = (url.clone(), queue.clone(), stop.clone());
        tokio::spawn(async move { publish(&url, &queue, &stop).await })
    };
    ledger.until(500, LONG).await;

    let first = leader(nodes, 0, &queue).await;
    for victim in [first, (first + 1) % 3] {
        nodes[victim].kill().await;
        let killed = Instant::now();
        // what was under way has come to its end
        sleep(Duration::from_millis(100)).await;
        let handled = ledger.len();
        ledger.until(handled + 200, LONG).await;
        eprintln!(
            "200 more handled {:?} after a node was killed",
            killed.elapsed()
        );
        nodes[victim].start_again().await;
        let handled = ledger.len();
        ledger.until(handled + 200, LONG).await;
    }

    stop.cancel();
    let published = publishing.await.unwrap();
    ledger.until(published as usize, LONG).await;
    assert!(
        ledger
            .numbers()
            .is_superset(&(0..published).collect::<BTreeSet<u32>>())
    );
    app.shut_down().await.unwrap();
    eprintln!(
        "{published} messages, {} handled twice",
        ledger.duplicates()
    );
}

async fn classic_queue(nodes: &[OwnRabbit; 3]) {
    let queue = unique_name("cluster");
    let ledger = Ledger::new();
    let home = Bed::on(&nodes[0]).await;
    home.declare(&queue, &[]).await;
    home.send_numbers(&queue, "work", 0..100).await;
    let set_up = Queue::new(&queue).key(KeySource::header(KEY));
    // connected to the others only: the connection stays, and the queue goes
    let app = Bed::start_at(&url(&nodes[1..]), set_up, noting(ledger)).await;
    ledger.until(100, LONG).await;

    let ended = Mutex::new(None);
    let running = async {
        let result = app.until_signal().await;
        *ended.lock().unwrap() = Some(format!("{result:?}"));
    };
    let home_is_back = async {
        nodes[0].stop().await;
        sleep(Duration::from_secs(5)).await;
        nodes[0].start_again().await;
        eventually_some(LONG, async || nodes[0].connect().await.ok()).await;
        home.send_numbers(&queue, "work", 100..200).await;
        let back = Instant::now();
        eventually(LONG, async || ledger.len() >= 200).await;
        eprintln!(
            "handling again {:?} after the home node was back",
            back.elapsed()
        );
    };
    tokio::select! {
        () = running => {
            let ended = ended.lock().unwrap().take();
            panic!("the app ended with its queue's home node: {ended:?}");
        }
        () = home_is_back => {}
    }
}
