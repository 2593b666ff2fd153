use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};
use ploomby::extract::Header;
use ploomby::{
    HandlerOptions, HandlerRegistry, KeySource, Message, OrderBy, Outcome, Queue, Reason,
};
use ploomby_tests::{Bed, DEADLINE, Handled, KEY, eventually, seen};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::task::yield_now;

fn queue_of(name: &str) -> Queue {
    Queue::new(name).key(KeySource::header(KEY))
}

fn by_customer() -> HandlerOptions {
    HandlerOptions::new().ordered_by(OrderBy::header("customer"))
}

#[derive(Deserialize)]
struct Customer {
    customer: String,
}

async fn send(bed: &Bed, queue: &str, key: &str, customer: &str, number: u32) {
    let message = Message::new(number.to_string())
        .with_header(KEY, key)
        .unwrap()
        .with_header("customer", customer)
        .unwrap();
    bed.publish(queue, message).await;
}

async fn notes<const N: usize>(handled: &mut Handled) -> [String; N] {
    let mut notes = [const { String::new() }; N];
    for note in &mut notes {
        *note = handled.next_note().await;
    }
    notes
}

pub(crate) async fn each_value_is_in_order_and_all_run_in_parallel(bed: Arc<Bed>) {
    const CUSTOMERS: u32 = 20;
    const EACH: u32 = 50;

    struct Work {
        handled: Mutex<BTreeMap<String, Vec<u32>>>,
        running: Mutex<BTreeMap<String, u32>>,
        done: AtomicU32,
        micros: AtomicU32,
    }

    let queue = bed.queue_name();
    let work: &'static Work = Box::leak(Box::new(Work {
        handled: Mutex::default(),
        running: Mutex::default(),
        done: AtomicU32::new(0),
        micros: AtomicU32::new(0),
    }));
    let handlers = HandlerRegistry::new().register_with(
        "work",
        by_customer(),
        move |Header(Customer { customer }): Header<Customer>, number: u32| async move {
            let begun = Instant::now();
            {
                let mut running = work.running.lock().unwrap();
                let running = running.entry(customer.clone()).or_default();
                assert_eq!(*running, 0, "one at a time");
                *running += 1;
            }
            let handled = || work.handled.lock().unwrap();
            handled().entry(customer.clone()).or_default().push(number);
            // none at all, too
            match number.wrapping_mul(2_654_435_761) % 10 {
                0 => {}
                micros => {
                    tokio::time::sleep(Duration::from_micros(u64::from(micros) * 1_000)).await
                }
            }
            *work.running.lock().unwrap().get_mut(&customer).unwrap() -= 1;
            let micros = begun.elapsed().as_micros().try_into().unwrap();
            work.micros.fetch_add(micros, Ordering::SeqCst);
            work.done.fetch_add(1, Ordering::SeqCst);
        },
    );
    bed.declare(&queue, &[]).await;
    stream::iter(0..CUSTOMERS)
        .for_each_concurrent(None, async |customer| {
            for number in 0..EACH {
                send(
                    &bed,
                    &queue,
                    "work",
                    &format!("customer {customer}"),
                    number,
                )
                .await;
            }
        })
        .await;
    let begun = Instant::now();
    let app = bed
        .start_queue(queue_of(&queue).prefetch(300), handlers)
        .await;
    let all = CUSTOMERS * EACH;
    eventually(DEADLINE, async || work.done.load(Ordering::SeqCst) == all).await;
    let (took, worked) = (begun.elapsed(), work.micros.load(Ordering::SeqCst));
    let worked = Duration::from_micros(worked.into());
    assert!(took < worked / 3, "{worked:?} of work took {took:?}");
    app.shut_down().await.unwrap();
    let handled = work.handled.lock().unwrap();
    assert_eq!(handled.values().map(Vec::len).sum::<usize>(), 1_000);
    for (customer, numbers) in &*handled {
        let in_order: Vec<_> = (0..EACH).collect();
        assert_eq!(numbers, &in_order, "{customer}");
    }
}

/// A handler whose messages of one customer wait for the gate.
fn stuck(gate: &'static Semaphore, seen: &'static ploomby_tests::Seen) -> HandlerRegistry {
    HandlerRegistry::new().register_with(
        "work",
        by_customer(),
        move |Header(Customer { customer }): Header<Customer>, number: u32| async move {
            seen.note(format!("{customer} {number}"));
            if customer == "stuck" {
                gate.acquire().await.unwrap().forget();
            }
        },
    )
}

pub(crate) async fn a_busy_value_holds_up_none_but_its_own(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let app = bed
        .start_queue(queue_of(&queue).concurrency(2), stuck(gate, seen))
        .await;
    for number in 0..10 {
        send(&bed, &queue, "work", "stuck", number).await;
    }
    for number in 0..10 {
        send(&bed, &queue, "work", "other", number).await;
    }
    assert_eq!(handled.next_note().await, "stuck 0");
    for number in 0..10 {
        assert_eq!(handled.next_note().await, format!("other {number}"));
    }
    gate.add_permits(10);
    for number in 1..10 {
        assert_eq!(handled.next_note().await, format!("stuck {number}"));
    }
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn what_waits_for_its_turn_goes_back_at_shutdown(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let app = bed.start(&queue, stuck(gate, seen)).await;
    for number in 0..10 {
        send(&bed, &queue, "work", "stuck", number).await;
    }
    send(&bed, &queue, "work", "other", 0).await;
    let mut begun = notes::<2>(&mut handled).await;
    begun.sort();
    assert_eq!(begun, ["other 0", "stuck 0"]);
    let stopping = pin!(app.shut_down());
    let Either::Left((_, shut_down)) = select(pin!(yield_now()), stopping).await else {
        panic!("one is at work");
    };
    // what waits goes back as one, once the one at work is done: no other instance may begin before
    gate.add_permits(100);
    shut_down.await.unwrap();
    assert!(handled.is_empty(), "nothing else began");
    let app = bed.start(&queue, stuck(gate, seen)).await;
    for number in 1..10 {
        assert_eq!(handled.next_note().await, format!("stuck {number}"));
    }
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn a_queue_orders_all_its_handlers_together(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let handlers = HandlerRegistry::new()
        .register("open", move |number: u32| async move {
            seen.note(format!("open {number}"));
            gate.acquire().await.unwrap().forget();
        })
        .register("close", move |number: u32| async move {
            seen.note(format!("close {number}"));
        })
        .register_with("own", by_customer(), move |number: u32| async move {
            seen.note(format!("own {number}"));
        })
        .register_with(
            "free",
            HandlerOptions::new().ordered_by(OrderBy::nothing()),
            move |number: u32| async move { seen.note(format!("free {number}")) },
        );
    let set_up = queue_of(&queue).ordered_by(OrderBy::header("customer"));
    let app = bed.start_queue(set_up, handlers).await;
    for (number, key) in (0..).zip(["open", "close", "own", "free"]) {
        send(&bed, &queue, key, "ada", number).await;
    }
    assert_eq!(handled.next_note().await, "open 0");
    // a handler that is ordered by itself does not wait for those of the queue
    let mut others = notes::<2>(&mut handled).await;
    others.sort();
    assert_eq!(others, ["free 3", "own 2"]);
    assert!(handled.is_empty());
    gate.add_permits(1);
    assert_eq!(handled.next_note().await, "close 1");
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_field_of_the_body_orders_too(bed: Arc<Bed>) {
    #[derive(Deserialize)]
    struct Order {
        id: u32,
    }

    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let options = HandlerOptions::new().ordered_by(OrderBy::field("customer.id"));
    let handlers =
        HandlerRegistry::new().register_with("order", options, move |order: Order| async move {
            seen.note(order.id.to_string());
            gate.acquire().await.unwrap().forget();
        });
    let app = bed.start(&queue, handlers).await;
    for body in [
        r#"{"id": 1, "customer": {"id": 7}}"#,
        r#"{"customer": {"id": "7"}, "id": 2}"#,
        r#"{"id": 3, "customer": {"id": 8}}"#,
        // these two have no value, and so does what is not JSON
        r#"{"id": 4}"#,
        r#"{"id": 5, "customer": []}"#,
        "{",
        r#"{"id": 6}"#,
    ] {
        bed.send(&queue, "order", body).await;
    }
    let mut begun = notes::<3>(&mut handled).await;
    begun.sort();
    assert_eq!(begun, ["1", "3", "4"]);
    assert!(bed.get(&format!("{queue}_dlq")).await.is_none(), "it waits");
    gate.add_permits(3);
    let mut begun = notes::<2>(&mut handled).await;
    begun.sort();
    assert_eq!(begun, ["2", "5"]);
    gate.add_permits(3);
    assert_eq!(handled.next_note().await, "6");
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(
        dead_letter.text("ploomby-reason"),
        Reason::Undecodable.as_str()
    );
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn what_fails_lets_the_next_one_begin(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let options = by_customer().timeout(Duration::from_millis(50));
    let handlers =
        HandlerRegistry::new().register_with("work", options, move |number: u32| async move {
            seen.note(number.to_string());
            match number {
                0 => panic!("on purpose"),
                1 => std::future::pending().await,
                2 => Err(anyhow::anyhow!("no")),
                _ => Ok(()),
            }
        });
    let app = bed.start(&queue, handlers).await;
    for number in 0..4 {
        send(&bed, &queue, "work", "ada", number).await;
    }
    assert_eq!(notes(&mut handled).await, ["0", "1", "2", "3"]);
    let mut reasons = Vec::new();
    for _ in 0..3 {
        let dead_letter = bed.dead_letter(&queue).await;
        reasons.push(dead_letter.text("ploomby-reason").to_owned());
    }
    reasons.sort();
    assert_eq!(reasons, ["handler-error", "panic", "timeout"]);
    app.shut_down().await.unwrap();
}

pub(crate) async fn an_order_is_kept_by_what_comes_back(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let failed: &'static AtomicU32 = Box::leak(Box::default());
    let handlers = HandlerRegistry::new().register_with(
        "work",
        by_customer(),
        move |number: u32| async move {
            if number == 1 && failed.fetch_add(1, Ordering::SeqCst) == 0 {
                return Outcome::Requeue;
            }
            seen.note(number.to_string());
            Outcome::Ack
        },
    );
    let app = bed
        .start_queue(queue_of(&queue).prefetch(1), handlers)
        .await;
    for number in 1..5 {
        send(&bed, &queue, "work", "ada", number).await;
    }
    assert_eq!(notes(&mut handled).await, ["1", "2", "3", "4"]);
    app.shut_down().await.unwrap();
}

pub(crate) async fn an_order_and_a_limit_of_a_handler_go_together(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let handlers = HandlerRegistry::new().register_with(
        "work",
        by_customer().concurrency(1),
        move |number: u32| async move {
            seen.note(number.to_string());
            gate.acquire().await.unwrap().forget();
        },
    );
    let app = bed.start(&queue, handlers).await;
    for (number, customer) in (0..).zip(["ada", "ada", "bob", "ada", "bob"]) {
        send(&bed, &queue, "work", customer, number).await;
    }
    let mut order = vec![handled.next_note().await];
    for _ in 0..4 {
        assert!(handled.is_empty());
        gate.add_permits(1);
        order.push(handled.next_note().await);
    }
    gate.add_permits(1);
    let position = |number: &str| order.iter().position(|other| other == number).unwrap();
    assert!(position("0") < position("1") && position("1") < position("3"));
    assert!(position("2") < position("4"));
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn several_consumers_cannot_keep_an_order(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let by_header = OrderBy::header("customer");
    let set_up = queue_of(&queue).consumers(2).ordered_by(by_header);
    let error = bed.refused(set_up).await;
    assert!(error.contains(&queue), "{error}");
    assert!(error.contains("one consumer"), "{error}");
    let set_up = queue_of(&queue).ordered_by(OrderBy::header("x".repeat(256)));
    let error = bed.refused(set_up).await;
    assert!(error.contains("header name is too long"), "{error}");
    // nothing is in order there
    let set_up = queue_of(&queue).consumers(2).ordered_by(OrderBy::nothing());
    let handlers = HandlerRegistry::new().register("any", async || {});
    let app = bed.start_queue(set_up, handlers).await;
    app.shut_down().await.unwrap();
}

/// What the test's queue handled, by the routing key, which is the queue's name.
static BY_ROUTING_KEY: Mutex<BTreeMap<String, Vec<u32>>> = Mutex::new(BTreeMap::new());

#[ploomby::handler("by-routing-key", ordered_by = OrderBy::routing_key())]
async fn by_routing_key(number: u32, delivery: &ploomby::Delivery) {
    // the later, the sooner
    tokio::time::sleep(Duration::from_millis(u64::from(20 - number))).await;
    let mut handled = BY_ROUTING_KEY.lock().unwrap();
    let handled = handled.entry(delivery.queue().to_owned()).or_default();
    handled.push(number);
}

pub(crate) async fn the_attribute_says_what_to_order_by(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let app = bed.start(&queue, HandlerRegistry::linked()).await;
    for number in 0..20 {
        bed.send(&queue, "by-routing-key", number.to_string()).await;
    }
    let handled = || BY_ROUTING_KEY.lock().unwrap().get(&queue).cloned();
    eventually(DEADLINE, async || {
        handled().is_some_and(|all| all.len() == 20)
    })
    .await;
    assert_eq!(handled(), Some((0..20).collect()));
    app.shut_down().await.unwrap();
}
