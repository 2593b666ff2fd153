use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ploomby::extract::FromDelivery;
use ploomby::{Delivery, HandlerRegistry, KeySource, Message, Queue, Value};
use ploomby_tests::{Bed, Cut, DEADLINE, Direction, KEY, Method, rabbit, seen};
use tokio::time::{sleep, timeout};

use crate::proxied;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_of_a_burst_is_handled_by_its_own_routing_key() {
    const MESSAGES: usize = 60;

    Bed::on(rabbit().await)
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let keys = [format!("{queue}.even"), format!("{queue}.odd")];
            bed.declare(&queue, &[]).await;
            for number in 0..MESSAGES {
                let message = Message::new(number.to_string());
                let key = &keys[number % 2];
                bed.publish_through("amq.topic", key, &queue, message).await;
            }
            let (seen, mut handled) = seen();
            let mut handlers = HandlerRegistry::new();
            for (rest, key) in keys.iter().enumerate() {
                let expected = key.clone();
                handlers =
                    handlers.register(key, move |number: usize, Address(address): Address| {
                        assert_eq!(address, ["amq.topic", &expected]);
                        assert_eq!(number % 2, rest);
                        seen.note(number.to_string());
                        async {}
                    });
            }
            let set_up = Queue::new(&queue).key(KeySource::RoutingKey);
            let app = bed.start_queue(set_up, handlers).await;
            for number in 0..MESSAGES {
                assert_eq!(handled.next_note().await, number.to_string());
            }
            app.shut_down().await.unwrap();
        })
        .await;
}

struct Address([String; 2]);

impl<'d> FromDelivery<'d> for Address {
    type Rejection = Infallible;

    async fn from_delivery(delivery: &'d Delivery) -> Result<Self, Infallible> {
        let address = [delivery.exchange(), delivery.routing_key()];
        Ok(Self(address.map(str::to_owned)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_handled_is_acknowledged_while_more_keeps_coming() {
    const MESSAGES: u32 = 10_000;
    const ACKNOWLEDGEMENTS: usize = 50;

    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queue = bed.queue_name();
            let handlers = HandlerRegistry::new().register("take", |_: u32| async {});
            // half of it is more than there is
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .prefetch(40_000);
            let app = Bed::start_at(&url, set_up, handlers).await;
            let acknowledgement = Cut::behind(Direction::ToBroker, Method::ACK);
            tokio::select! {
                () = proxy.cut_when(acknowledgement.nth(ACKNOWLEDGEMENTS)) => {}
                () = bed.send_numbers(&queue, "take", 0..MESSAGES) => {
                    panic!("fewer than {ACKNOWLEDGEMENTS} acknowledgements of {MESSAGES} messages")
                }
            }
            app.shut_down().await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_handled_is_acknowledged_while_others_compute() {
    const MESSAGES: u32 = 20;

    Bed::rabbit()
        .await
        .run(async |bed| {
            let (proxy, url) = proxied().await;
            let queue = bed.queue_name();
            bed.declare(&queue, &[]).await;
            bed.send_numbers(&queue, "compute", 0..MESSAGES).await;
            let begun = Arc::new(AtomicUsize::new(0));
            let handlers = HandlerRegistry::new().register("compute", {
                let begun = begun.clone();
                move |_: u32| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(200));
                    async {}
                }
            });
            let acknowledgement = Cut::behind(Direction::ToBroker, Method::ACK);
            let acknowledged = proxy.cut_when(acknowledgement);
            // half of the window is more than there is
            let set_up = Queue::new(&queue).key(KeySource::header(KEY)).prefetch(64);
            let app = Bed::start_at(&url, set_up, handlers).await;
            timeout(DEADLINE, acknowledged).await.unwrap();
            let begun = begun.load(Ordering::SeqCst);
            assert!(begun <= 5, "{begun} of {MESSAGES} had begun");
            drop(app);
        })
        .await;
}

/// The broker deletes a queue that has no consumer for a while, if it is declared so, or at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_queue_keeps_a_consumer() {
    const MESSAGES: u32 = 20;
    const EXPIRES: Duration = Duration::from_secs(2);

    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let expires = i32::try_from(EXPIRES.as_millis()).unwrap();
            bed.declare(&queue, &[("x-expires", Value::I32(expires))])
                .await;
            let (seen, mut handled) = seen();
            let handlers = HandlerRegistry::new().register("note", move |number: u32| async move {
                seen.note(number.to_string());
            });
            let app = bed.start(&queue, handlers).await;
            for round in 0..3 {
                app.pause(&queue, "a test");
                let numbers = round * MESSAGES..(round + 1) * MESSAGES;
                bed.send_numbers(&queue, "note", numbers.clone()).await;
                sleep(2 * EXPIRES).await;
                assert!(handled.is_empty());
                app.resume(&queue);
                let mut came = Vec::new();
                for _ in numbers.clone() {
                    came.push(handled.next_note().await.parse::<u32>().unwrap());
                }
                came.sort_unstable();
                assert_eq!(came, numbers.collect::<Vec<_>>());
            }
            app.shut_down().await.unwrap();
        })
        .await;
}
