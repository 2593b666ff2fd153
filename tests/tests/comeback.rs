//! How soon a program consumes again after its broker was killed. It is alone in its file, and so on the
//! machine: how long a broker takes that shares it with others says nothing.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use ploomby::{HandlerRegistry, KeySource, Queue};
use ploomby_tests::{Bed, KEY, OwnRabbit, eventually, eventually_some};
use tokio::time::sleep;

const IN_FLIGHT: u16 = 500;
const LONG: Duration = Duration::from_secs(60);

static HANDLED: Mutex<Vec<Instant>> = Mutex::new(Vec::new());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_was_killed_is_consumed_again_within_five_seconds() {
    let rabbit = OwnRabbit::start().await;
    Bed::on(&rabbit)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let handlers = HandlerRegistry::new().register("work", |_: u32| async {
                sleep(Duration::from_millis(500)).await;
                HANDLED.lock().unwrap().push(Instant::now());
            });
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .prefetch(IN_FLIGHT);
            let app = bed.start_queue(set_up, handlers).await;
            bed.send_numbers(&queue, "work", 0..2_000).await;
            let handled = || HANDLED.lock().unwrap().len();
            eventually(LONG, async || handled() >= usize::from(IN_FLIGHT)).await;
            rabbit.kill().await;
            // what was with its handler comes to its end
            sleep(Duration::from_secs(1)).await;
            let before = handled();
            rabbit.start_again().await;
            let back = Instant::now();
            let first = async || HANDLED.lock().unwrap().get(before).copied();
            let first = eventually_some(LONG, first).await;
            let took = first.saturating_duration_since(back);
            eprintln!("handling again {took:?} after the broker was back");
            assert!(took < Duration::from_secs(5), "{took:?}");
            app.shut_down().await.unwrap();
        })
        .await;
}
