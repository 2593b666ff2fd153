//! Messages that wait for their handlers, looked at beside the program that handles them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ploomby::ops::{Level, Ops};
use ploomby::{App, HandlerRegistry, KeySource, Queue};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually, seen};
use tokio::sync::Semaphore;

fn queue(name: &str) -> Queue {
    Queue::new(name)
        .key(KeySource::header(KEY))
        .prefetch(4)
        .concurrency(1)
}

fn ops(bed: &Bed, name: &str) -> Ops {
    ops_of(bed, queue(name))
}

/// The build that looks, whose handler nobody runs.
fn ops_of(bed: &Bed, queue: Queue) -> Ops {
    let handlers =
        HandlerRegistry::new().register("place", async |_: u32| assert_eq!(1, 2, "it runs"));
    App::new(bed.url())
        .handlers(handlers)
        .queue(queue)
        .ops()
        .unwrap()
}

/// What was found of the messages, and how it is.
async fn sample(ops: &Ops, most: usize) -> (Level, String) {
    let mut findings = ops.sample(most).await.unwrap();
    let finding = findings.pop().unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    (finding.level, finding.text)
}

pub(crate) async fn a_sample_keeps_the_order_behind_a_consumer_that_is_full(bed: Arc<Bed>) {
    const MESSAGES: u32 = 60;

    let name = bed.queue_name();
    let (seen, mut handled) = seen();
    let gate: &Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let place = move |number: u32| async move {
        gate.acquire().await.unwrap().forget();
        seen.note(number.to_string());
    };
    let handlers = HandlerRegistry::new().register("place", place);
    let running = bed.start_queue(queue(&name), handlers).await;
    for number in 0..MESSAGES {
        bed.send(&name, "place", number.to_string()).await;
    }
    eventually(DEADLINE, async || {
        bed.ready_count(&name).await == MESSAGES - 4
    })
    .await;

    let ops = ops(&bed, &name);
    for (most, looked) in [(1, 1), (20, 20), (1_000, MESSAGES - 4)] {
        let begun = Instant::now();
        let text = format!("this build takes each of {looked} that were looked at");
        assert_eq!(sample(&ops, most).await, (Level::Good, text));
        assert!(begun.elapsed() < DEADLINE / 4, "{:?}", begun.elapsed());
        eventually(DEADLINE, async || {
            bed.ready_count(&name).await == MESSAGES - 4
        })
        .await;
    }
    ops.close().await;
    gate.add_permits(MESSAGES as usize);
    for number in 0..MESSAGES {
        assert_eq!(handled.next_note().await, number.to_string());
    }
    running.shut_down().await.unwrap();
    assert!(handled.is_empty() && bed.is_empty(&name).await);
}

/// The consumer takes nearly all that there is, and a look gets what it can.
pub(crate) async fn a_sample_beside_a_consumer_keeps_no_message_from_it(bed: Arc<Bed>) {
    const MESSAGES: u32 = 400;

    let name = bed.queue_name();
    let (seen, mut handled) = seen();
    let place = move |number: u32| async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        seen.note(number.to_string());
    };
    let handlers = HandlerRegistry::new().register("place", place);
    let running = bed.start_queue(queue(&name), handlers).await;
    bed.send_numbers(&name, "place", 0..MESSAGES).await;
    let ops = ops(&bed, &name);
    let looking = async {
        let mut looks = 0;
        while bed.ready_count(&name).await > 0 {
            let begun = Instant::now();
            let (level, text) = sample(&ops, 10).await;
            assert!(level < Level::Bad, "{text}");
            assert!(begun.elapsed() < DEADLINE / 4, "{:?}", begun.elapsed());
            looks += 1;
        }
        looks
    };
    let handling = async {
        let mut numbers = Vec::new();
        for _ in 0..MESSAGES {
            numbers.push(handled.next_note().await.parse::<u32>().unwrap());
        }
        numbers
    };
    let (looks, mut numbers) = tokio::join!(looking, handling);
    assert!(looks > 0);
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..MESSAGES));
    ops.close().await;
    running.shut_down().await.unwrap();
    assert!(handled.is_empty() && bed.is_empty(&name).await);
}

/// RabbitMQ 3 puts what comes back to a quorum queue without a limit behind the others, and RabbitMQ 4 gives it up after 20
/// times.
pub(crate) async fn a_quorum_queue_is_sampled_if_what_comes_back_keeps_its_place(bed: Arc<Bed>) {
    const QUORUM: (&str, &str) = ("x-queue-type", "quorum");

    let (declared, others) = (bed.queue_name(), bed.queue_name());
    let own = ops_of(&bed, queue(&declared).queue_argument(QUORUM.0, QUORUM.1));
    own.declare().await.unwrap();
    bed.declare(&others, &[(QUORUM.0, QUORUM.1.into())]).await;
    for (name, ops) in [(&declared, own), (&others, ops(&bed, &others))] {
        for number in 0..3 {
            bed.send(name, "place", number.to_string()).await;
        }
        let is_looked_at = bed.is_memory() || *name == declared;
        for _ in 0..25 {
            eventually(DEADLINE, async || bed.ready_count(name).await == 3).await;
            let (level, text) = sample(&ops, 2).await;
            let expected = if is_looked_at {
                Level::Good
            } else {
                Level::Doubtful
            };
            let told = if is_looked_at {
                "each of 2"
            } else {
                "none was looked at"
            };
            assert_eq!((level, text.contains(told)), (expected, true), "{text}");
        }
        ops.close().await;
        eventually(DEADLINE, async || bed.ready_count(name).await == 3).await;
        let bodies: Vec<_> = bed
            .take_all(name)
            .await
            .into_iter()
            .map(|message| message.body)
            .collect();
        assert_eq!(bodies, ["0", "1", "2"].map(|body| body.as_bytes().to_vec()));
    }
}
