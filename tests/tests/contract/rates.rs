//! What a handler calls has a limit: its messages begin at an even pace, and hold up no others.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ploomby::extract::{Attempt, Batch};
use ploomby::{
    HandlerOptions, HandlerRegistry, KeySource, Message, OrderBy, Queue, Rate, Unavailable,
};
use ploomby_tests::{Bed, DEADLINE, Handled, KEY, eventually, seen};
use tokio::time::sleep;

fn queue_of(name: &str) -> Queue {
    Queue::new(name).key(KeySource::header(KEY))
}

fn paced(rate: Rate) -> HandlerOptions {
    HandlerOptions::new().rate(rate)
}

/// When handlers began.
#[derive(Clone, Default)]
struct Begun(Arc<Mutex<Vec<Instant>>>);

impl Begun {
    fn note(&self) {
        self.0.lock().unwrap().push(Instant::now());
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// How many began within any time of this length, at most.
    fn most_within(&self, length: Duration) -> usize {
        let times = self.0.lock().unwrap();
        let within = |from: &Instant| {
            let later = times.iter().filter(|time| *time >= from);
            later.filter(|time| **time - *from < length).count()
        };
        times.iter().map(within).max().unwrap_or(0)
    }

    /// From the first to the last.
    fn took(&self) -> Duration {
        let times = self.0.lock().unwrap();
        *times.iter().max().unwrap() - *times.iter().min().unwrap()
    }
}

/// All that were set aside on the way are removed at the end.
fn queue_name(bed: &Bed) -> String {
    let queue = bed.queue_name();
    for delay in ["100ms", "300ms", "1000ms", "5000ms", "30000ms", "300000ms"] {
        bed.remove_later(&format!("{queue}_retry_{delay}"));
    }
    queue
}

async fn numbers(handled: &mut Handled, count: usize) -> Vec<u32> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.push(handled.next_note().await.parse().unwrap());
    }
    numbers
}

pub(crate) async fn a_rate_is_even(bed: Arc<Bed>) {
    const MESSAGES: u32 = 100;

    let queue = queue_name(&bed);
    let begun = Begun::default();
    let (seen, mut handled) = seen();
    let begins = begun.clone();
    let work = move |number: u32| {
        begins.note();
        async move { seen.note(number.to_string()) }
    };
    let options = paced(Rate::per_second(50));
    let handlers = HandlerRegistry::new().register_with("work", options, work);
    let app = bed.start_queue(queue_of(&queue), handlers).await;
    bed.send_numbers(&queue, "work", 0..MESSAGES).await;
    let mut all = numbers(&mut handled, MESSAGES as usize).await;
    all.sort_unstable();
    assert_eq!(all, (0..MESSAGES).collect::<Vec<_>>());
    // in a second there is room for one more at its edge, and for one that is early
    assert!(begun.most_within(Duration::from_secs(1)) <= 52);
    assert!(begun.most_within(Duration::from_millis(200)) <= 12);
    let took = begun.took();
    let even = Duration::from_millis(20) * (MESSAGES - 1);
    assert!(took >= even - Duration::from_millis(20), "{took:?}");
    assert!(took <= even * 2, "{took:?}");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

/// More messages of the one than the consumer may hold: those of the other come through.
pub(crate) async fn a_rate_of_one_handler_does_not_hold_up_the_others(bed: Arc<Bed>) {
    const PACED: u32 = 30;
    const OTHERS: u32 = 60;

    for is_limited in [false, true] {
        let queue = queue_name(&bed);
        let begun = Begun::default();
        let (seen, mut handled) = seen();
        let begins = begun.clone();
        let call = move |Attempt(attempt): Attempt, _: u32| {
            begins.note();
            async move { seen.note(format!("call {attempt}")) }
        };
        let other = move |_: u32| async move { seen.note("other") };
        let mut options = paced(Rate::per_second(5));
        let mut set_up = queue_of(&queue).prefetch(8);
        if is_limited {
            options = options.concurrency(1);
            set_up = set_up.concurrency(2);
        }
        let handlers = HandlerRegistry::new()
            .register_with("call", options, call)
            .register("other", other);
        let app = bed.start_queue(set_up, handlers).await;
        for number in 0..PACED {
            bed.send(&queue, "call", number.to_string()).await;
        }
        bed.send_numbers(&queue, "other", 0..OTHERS).await;
        let sent = Instant::now();
        let mut others = 0;
        let mut calls = 0;
        while others < OTHERS {
            match handled.next_note().await.as_str() {
                "other" => others += 1,
                note => {
                    assert_eq!(note, "call 1");
                    calls += 1;
                }
            }
        }
        let took = sent.elapsed();
        assert!(
            calls < PACED && took < Duration::from_secs(4),
            "{took:?}, {calls} calls"
        );
        for _ in calls..PACED {
            assert_eq!(handled.next_note().await, "call 1");
        }
        assert!(begun.most_within(Duration::from_secs(1)) <= 7);
        let took = begun.took();
        // what was away comes back before its turn
        assert!(took < Duration::from_secs(12), "{took:?}");
        app.shut_down().await.unwrap();
        assert!(bed.is_empty(&queue).await);
        assert!(bed.is_empty(&format!("{queue}_dlq")).await);
    }
}

pub(crate) async fn a_burst_begins_at_once_and_what_is_above_it_goes_back_at_shutdown(
    bed: Arc<Bed>,
) {
    const BURST: u32 = 5;

    let queue = queue_name(&bed);
    let (seen, mut handled) = seen();
    let work = move |number: u32| async move { seen.note(number.to_string()) };
    let options = paced(Rate::per_minute(1).burst(BURST));
    let handlers = HandlerRegistry::new().register_with("work", options, work);
    let app = bed.start_queue(queue_of(&queue), handlers).await;
    for number in 0..2 * BURST {
        bed.send(&queue, "work", number.to_string()).await;
    }
    let begun = numbers(&mut handled, BURST as usize).await;
    assert_eq!(begun, (0..BURST).collect::<Vec<_>>());
    sleep(Duration::from_secs(1)).await;
    assert!(handled.is_empty());
    let told = Instant::now();
    app.shut_down().await.unwrap();
    assert!(told.elapsed() < DEADLINE / 2);
    assert!(handled.is_empty());
    eventually(DEADLINE, async || bed.ready_count(&queue).await == BURST).await;
}

pub(crate) async fn a_rate_and_a_concurrency_go_together(bed: Arc<Bed>) {
    const MESSAGES: u32 = 20;

    let queue = queue_name(&bed);
    let begun = Begun::default();
    let running = Arc::new(AtomicUsize::new(0));
    let (seen, mut handled) = seen();
    let begins = begun.clone();
    let work = move |number: u32| {
        begins.note();
        let running = running.clone();
        async move {
            assert!(running.fetch_add(1, SeqCst) < 2);
            // fewer at a time than the rate allows, and then more
            let is_slow = number < MESSAGES / 2;
            sleep(Duration::from_millis(if is_slow { 300 } else { 10 })).await;
            running.fetch_sub(1, SeqCst);
            seen.note(number.to_string());
        }
    };
    let options = paced(Rate::per_second(20)).concurrency(2);
    let handlers = HandlerRegistry::new().register_with("work", options, work);
    let app = bed.start_queue(queue_of(&queue), handlers).await;
    for number in 0..MESSAGES {
        bed.send(&queue, "work", number.to_string()).await;
    }
    numbers(&mut handled, MESSAGES as usize).await;
    assert_eq!(begun.count(), MESSAGES as usize);
    // the slots that were busy are not made up for
    assert!(begun.most_within(Duration::from_millis(500)) <= 12);
    assert!(begun.took() >= Duration::from_millis(300 * 4 + 50 * 8));
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

/// A batch is one call, and more messages than fit into the prefetch hold up nobody.
pub(crate) async fn a_rate_of_batches_counts_batches(bed: Arc<Bed>) {
    const BATCHES: usize = 8;
    const SIZE: usize = 5;

    let queue = queue_name(&bed);
    let begun = Begun::default();
    let (seen, mut handled) = seen();
    let begins = begun.clone();
    let call = move |batch: Batch<u32>| {
        begins.note();
        async move {
            for _ in batch.into_payloads() {
                seen.note("call");
            }
        }
    };
    let other = move |_: u32| async move { seen.note("other") };
    let options = paced(Rate::per_second(2))
        .batch_size(SIZE)
        .batch_wait(Duration::from_millis(200));
    let handlers = HandlerRegistry::new()
        .register_with("call", options, call)
        .register("other", other);
    let app = bed
        .start_queue(queue_of(&queue).prefetch(20), handlers)
        .await;
    bed.send_numbers(&queue, "call", 0..(BATCHES * SIZE) as u32)
        .await;
    bed.send_numbers(&queue, "other", 0..30).await;
    let sent = Instant::now();
    let (mut calls, mut others) = (0, 0);
    while calls < BATCHES * SIZE || others < 30 {
        match handled.next_note().await.as_str() {
            "call" => calls += 1,
            _ => others += 1,
        }
        let is_late = sent.elapsed() > Duration::from_secs(3);
        assert!(others == 30 || !is_late, "{others} others, {calls} calls");
    }
    assert!(begun.most_within(Duration::from_secs(1)) <= 4);
    assert!(begun.count() >= BATCHES);
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn a_rate_keeps_the_order_that_there_is(bed: Arc<Bed>) {
    const EACH: usize = 15;

    let queue = queue_name(&bed);
    let begun = Begun::default();
    let (seen, mut handled) = seen();
    let begins = begun.clone();
    let work = move |text: String| {
        begins.note();
        async move {
            tokio::task::yield_now().await;
            seen.note(text);
        }
    };
    let options = paced(Rate::per_second(30)).ordered_by(OrderBy::header("customer"));
    let handlers = HandlerRegistry::new()
        .register_with("work", options, work)
        .register("other", || async {});
    let app = bed
        .start_queue(queue_of(&queue).prefetch(10), handlers)
        .await;
    for number in 0..EACH {
        for customer in ["a", "b", "c"] {
            let body = format!("\"{customer} {number}\"");
            let message = Message::new(body.into_bytes())
                .with_header(KEY, "work")
                .unwrap();
            let message = message.with_header("customer", customer).unwrap();
            bed.publish(&queue, message).await;
        }
    }
    let mut next = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..3 * EACH {
        let note = handled.next_note().await;
        let (customer, number) = note.split_once(' ').unwrap();
        let expected = next.entry(customer.to_owned()).or_default();
        assert_eq!(number.parse(), Ok(*expected), "{customer}");
        *expected += 1;
    }
    assert!(begun.most_within(Duration::from_millis(500)) <= 17);
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

/// A handler with a rate of its own is apart.
pub(crate) async fn a_queue_has_one_rate_for_its_handlers(bed: Arc<Bed>) {
    const EACH: u32 = 10;

    let queue = queue_name(&bed);
    let begun = Begun::default();
    let (seen, mut handled) = seen();
    let both = |begun: &Begun| {
        let begun = begun.clone();
        move |_: u32| {
            begun.note();
            async move { seen.note("both") }
        }
    };
    let apart = move |_: u32| async move { seen.note("apart") };
    let handlers = HandlerRegistry::new()
        .register("one", both(&begun))
        .register("two", both(&begun))
        .register_with("apart", paced(Rate::per_second(1_000)), apart);
    let set_up = queue_of(&queue).prefetch(16).rate(Rate::per_second(10));
    let app = bed.start_queue(set_up, handlers).await;
    for key in ["one", "two", "apart"] {
        bed.send_numbers(&queue, key, 0..EACH).await;
    }
    let sent = Instant::now();
    let (mut shared, mut own) = (0, 0);
    while shared < 2 * EACH || own < EACH {
        match handled.next_note().await.as_str() {
            "apart" => own += 1,
            _ => shared += 1,
        }
        let is_late = sent.elapsed() > Duration::from_millis(1_500);
        assert!(own == EACH || !is_late, "{own} of those apart");
    }
    assert!(begun.most_within(Duration::from_secs(1)) <= 12);
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

/// What has waited for an outage to end does not come all at once.
pub(crate) async fn a_rate_holds_when_a_brake_goes_off(bed: Arc<Bed>) {
    const MESSAGES: u32 = 40;

    let queue = queue_name(&bed);
    let begun = Begun::default();
    let is_away = Arc::new(AtomicBool::new(true));
    let (seen, mut handled) = seen();
    let (begins, asks) = (begun.clone(), is_away.clone());
    let work = move |number: u32| {
        begins.note();
        let is_away = asks.load(SeqCst);
        async move {
            if is_away {
                let busy = Unavailable::msg("too many requests");
                return Err(busy.retry_after(Duration::from_millis(500)));
            }
            seen.note(number.to_string());
            Ok(())
        }
    };
    let options = paced(Rate::per_second(20));
    let handlers = HandlerRegistry::new().register_with("work", options, work);
    let app = bed.start_queue(queue_of(&queue), handlers).await;
    bed.send_numbers(&queue, "work", 0..MESSAGES).await;
    eventually(DEADLINE, async || begun.count() >= 4).await;
    is_away.store(false, SeqCst);
    let mut all = numbers(&mut handled, MESSAGES as usize).await;
    all.sort_unstable();
    assert_eq!(all, (0..MESSAGES).collect::<Vec<_>>());
    let most = begun.most_within(Duration::from_millis(500));
    assert!(most <= 12, "{most} within half a second");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

/// The only place of the queue is held by a message that waits for its next turn, and the other waits for the place.
pub(crate) async fn a_message_of_an_outage_does_not_wait_behind_those_that_wait_for_its_place(
    bed: Arc<Bed>,
) {
    const MESSAGES: u32 = 4;

    for order in [None, Some(OrderBy::header("customer"))] {
        let queue = queue_name(&bed);
        let was_away = Arc::new(AtomicBool::new(false));
        let (seen, mut handled) = seen();
        let work = move |number: u32| {
            let is_away = !was_away.swap(true, SeqCst);
            async move {
                if is_away {
                    return Err(Unavailable::msg("it restarts"));
                }
                seen.note(number.to_string());
                Ok(())
            }
        };
        let mut options = paced(Rate::per_second(10));
        if let Some(order) = order {
            options = options.ordered_by(order);
        }
        let handlers = HandlerRegistry::new().register_with("work", options, work);
        let set_up = queue_of(&queue).concurrency(1);
        let app = bed.start_queue(set_up, handlers).await;
        bed.send_numbers(&queue, "work", 0..MESSAGES).await;
        let mut all = numbers(&mut handled, MESSAGES as usize).await;
        all.sort_unstable();
        assert_eq!(all, (0..MESSAGES).collect::<Vec<_>>());
        app.shut_down().await.unwrap();
    }
}

/// Messages that wait in batches hold the places that a message of the other handler waits for, at one rate for both.
pub(crate) async fn batches_and_messages_at_one_rate_do_not_wait_for_each_other(bed: Arc<Bed>) {
    const EACH: u32 = 12;

    let queue = queue_name(&bed);
    let (seen, mut handled) = seen();
    let notes = seen;
    let batch = move |batch: Batch<u32>| async move {
        for _ in batch.into_payloads() {
            notes.note("batch");
        }
    };
    let single = move |_: u32| async move { seen.note("single") };
    let options = HandlerOptions::new()
        .batch_size(2)
        .batch_wait(Duration::from_millis(20));
    let handlers = HandlerRegistry::new()
        .register_with("batch", options, batch)
        .register("single", single);
    let set_up = queue_of(&queue).concurrency(2).rate(Rate::per_second(40));
    let app = bed.start_queue(set_up, handlers).await;
    for number in 0..EACH {
        bed.send_numbers(&queue, "single", number..number + 1).await;
        bed.send_numbers(&queue, "batch", number..number + 1).await;
    }
    for _ in 0..2 * EACH {
        handled.next_note().await;
    }
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

/// A handler that is unavailable the first time, and notes its numbers from then on.
fn unavailable_at_first(times: usize, pause: Duration) -> (HandlerRegistry, Begun, Handled) {
    let begun = Begun::default();
    let (seen, handled) = seen();
    let begins = begun.clone();
    let work = move |number: u32| {
        begins.note();
        let is_away = begins.count() <= times;
        async move {
            if is_away {
                return Err(Unavailable::msg("too many requests").retry_after(pause));
            }
            seen.note(number.to_string());
            Ok(())
        }
    };
    let handlers = HandlerRegistry::new().register("work", work);
    (handlers, begun, handled)
}

/// What may go by the brake, and waits for its turn, asks again.
pub(crate) async fn a_pause_holds_what_waits_for_its_turn(bed: Arc<Bed>) {
    const MESSAGES: u32 = 24;

    let queue = queue_name(&bed);
    let (handlers, begun, mut handled) = unavailable_at_first(1, Duration::from_secs(2));
    let set_up = queue_of(&queue)
        .prefetch(30)
        .rate(Rate::per_second(4).burst(15));
    let app = bed.start_queue(set_up, handlers).await;
    bed.send_numbers(&queue, "work", 0..MESSAGES).await;
    // the brake opens with each success, and lets as many wait for their turn
    eventually(DEADLINE, async || begun.count() >= 12).await;
    assert!(app.pause(&queue, "the night shift"));
    // one may be on its way to its handler
    sleep(Duration::from_millis(100)).await;
    let paused = begun.count();
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(begun.count(), paused);
    assert!(app.resume(&queue));
    let mut all = numbers(&mut handled, MESSAGES as usize).await;
    all.sort_unstable();
    assert_eq!(all, (0..MESSAGES).collect::<Vec<_>>());
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}
