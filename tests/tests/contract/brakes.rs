//! What handlers need is away: nothing is counted against messages, and nothing is tried in a loop.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ploomby::extract::Attempt;
use ploomby::{
    App, Brake, BrakeCause, HandlerOptions, HandlerRegistry, KeySource, Message, OrUnavailable,
    OrderBy, Queue, Retry, Unavailable,
};
use ploomby_tests::{
    Bed, DEADLINE, Dependency, Handled, KEY, Seen, eventually, eventually_some, seen,
};
use tokio::time::{sleep, timeout};

fn queue_of(name: &str) -> Queue {
    Queue::new(name).key(KeySource::header(KEY))
}

/// What a handler of [`charging`] takes for an outage.
fn marked() -> HandlerOptions {
    HandlerOptions::new().unavailable_if(Unavailable::is_io)
}

/// A handler that needs the bank, and notes `charge`, the attempt and the number.
fn charging(bank: &Dependency, seen: &'static Seen, options: HandlerOptions) -> HandlerRegistry {
    let bank = bank.clone();
    let charge = move |Attempt(attempt): Attempt, number: u32| {
        let bank = bank.clone();
        async move {
            tokio::task::yield_now().await;
            bank.ask()?;
            seen.note(format!("charge {attempt} {number}"));
            anyhow::Ok(())
        }
    };
    HandlerRegistry::new().register_with("charge", options, charge)
}

/// The numbers of so many messages that were charged at their first attempt, in the order in which they were.
async fn charged(handled: &mut Handled, messages: u32) -> Vec<u32> {
    let mut numbers = Vec::new();
    for _ in 0..messages {
        let note = timeout(2 * DEADLINE, handled.next_note()).await.unwrap();
        let number = note.strip_prefix("charge 1 ");
        numbers.push(number.expect("it is the first attempt").parse().unwrap());
    }
    numbers
}

/// The same, whatever the order is.
async fn all_are_charged(handled: &mut Handled, messages: u32) {
    let mut numbers = charged(handled, messages).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (0..messages).collect::<Vec<_>>());
}

/// One attempt each, and none is used up.
pub(crate) async fn an_outage_counts_no_attempt_and_condemns_nothing(bed: Arc<Bed>) {
    const MESSAGES: u32 = 200;

    let queue = bed.queue_name();
    let bank = Dependency::away();
    let (seen, mut handled) = seen();
    let asks = bank.clone();
    let charge = move |Attempt(attempt): Attempt, number: u32| {
        let bank = asks.clone();
        async move {
            bank.ask().or_unavailable()?;
            seen.note(format!("charge {attempt} {number}"));
            anyhow::Ok(())
        }
    };
    let handlers = HandlerRegistry::new().register("charge", charge);
    let app = bed.start_queue(queue_of(&queue), handlers).await;
    for number in 0..MESSAGES {
        bed.send(&queue, "charge", number.to_string()).await;
    }
    let health = app.health();
    eventually(DEADLINE, async || bank.asked_in_vain() >= 3).await;
    let brakes = health.queues()[0].brakes().to_vec();
    assert_eq!(brakes.len(), 1);
    assert_eq!(brakes[0].cause(), BrakeCause::Unavailable);
    assert_eq!(brakes[0].reason(), "connection refused");
    assert!(health.is_healthy(), "a restart would not help");
    assert!(
        health.to_string().contains("connection refused"),
        "{health}"
    );
    assert!(handled.is_empty());
    let asked = bank.asked_in_vain();
    bank.comes_back();
    let back = Instant::now();
    all_are_charged(&mut handled, MESSAGES).await;
    assert!(back.elapsed() < DEADLINE, "{:?}", back.elapsed());
    assert!(asked < 10, "{asked} runs in vain");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

/// The first says that it is away, and all wait in their order.
pub(crate) async fn an_outage_keeps_the_order_that_there_is(bed: Arc<Bed>) {
    const CUSTOMERS: u32 = 3;
    const MESSAGES: u32 = 60;

    let queue = bed.queue_name();
    let bank = Dependency::away();
    let (seen, mut handled) = seen();
    let options = marked().ordered_by(OrderBy::header("customer"));
    let handlers = charging(&bank, seen, options);
    let app = bed.start_queue(queue_of(&queue), handlers).await;
    for number in 0..MESSAGES {
        let message = Message::new(number.to_string()).with_header(KEY, "charge");
        let customer = i64::from(number % CUSTOMERS);
        let message = message.unwrap().with_header("customer", customer).unwrap();
        bed.publish(&queue, message).await;
    }
    eventually(DEADLINE, async || bank.asked_in_vain() >= 3).await;
    bank.comes_back();
    let numbers = charged(&mut handled, MESSAGES).await;
    for customer in 0..CUSTOMERS {
        let of = numbers
            .iter()
            .filter(|number| **number % CUSTOMERS == customer);
        assert!(of.clone().is_sorted(), "{numbers:?}");
        assert_eq!(of.count(), (MESSAGES / CUSTOMERS) as usize);
    }
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

/// More messages of the one than the consumer may hold: those of the other come through.
pub(crate) async fn an_outage_of_one_handler_does_not_hold_up_the_others(bed: Arc<Bed>) {
    const BRAKED: u32 = 60;
    const OTHERS: u32 = 60;

    for is_limited in [false, true] {
        let queue = bed.queue_name();
        for delay in ["1000ms", "5000ms", "30000ms"] {
            bed.remove_later(&format!("{queue}_retry_{delay}"));
        }
        let bank = Dependency::away();
        let (seen, mut handled) = seen();
        let welcome = move |number: u32| async move { seen.note(format!("welcome {number}")) };
        let options = match is_limited {
            true => marked().concurrency(1),
            false => marked(),
        };
        let handlers = charging(&bank, seen, options).register("welcome", welcome);
        let app = bed
            .start_queue(queue_of(&queue).prefetch(8), handlers)
            .await;
        for number in 0..BRAKED {
            bed.send(&queue, "charge", number.to_string()).await;
        }
        for number in 0..OTHERS {
            bed.send(&queue, "welcome", number.to_string()).await;
        }
        let sent = Instant::now();
        for number in 0..OTHERS {
            assert_eq!(handled.next_note().await, format!("welcome {number}"));
        }
        assert!(sent.elapsed() < DEADLINE / 2, "{:?}", sent.elapsed());
        eventually(DEADLINE, async || bank.asked_in_vain() >= 2).await;
        bank.comes_back();
        all_are_charged(&mut handled, BRAKED).await;
        assert!(bank.asked_in_vain() < 20, "{}", bank.asked_in_vain());
        app.shut_down().await.unwrap();
        assert!(bed.is_empty(&queue).await);
        assert!(bed.is_empty(&format!("{queue}_dlq")).await);
    }
}

/// An error that comes by `?`, and that only the program knows.
pub(crate) async fn a_program_says_which_errors_are_of_an_outage(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let bank = Dependency::away();
    let (seen, mut handled) = seen();
    let broken = || async { Err::<(), _>(anyhow::anyhow!("no such customer")) };
    let handlers = charging(&bank, seen, HandlerOptions::new()).register("broken", broken);
    let set_up = queue_of(&queue).unavailable_if(Unavailable::is_io);
    let app = bed.start_queue(set_up, handlers).await;
    bed.send(&queue, "charge", "0").await;
    bed.send(&queue, "broken", "").await;
    let letter = bed.dead_letter(&queue).await;
    assert_eq!(letter.text("ploomby-error"), "no such customer");
    eventually(DEADLINE, async || bank.asked_in_vain() >= 2).await;
    bank.comes_back();
    all_are_charged(&mut handled, 1).await;
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

/// What waits for an outage to end when the program stops goes back, uncounted.
pub(crate) async fn what_waits_for_the_end_of_an_outage_goes_back_at_shutdown(bed: Arc<Bed>) {
    const MESSAGES: u32 = 5;

    let queue = bed.queue_name();
    let bank = Dependency::away();
    let (seen, _) = seen();
    let handlers = charging(&bank, seen, marked());
    let app = bed.start_queue(queue_of(&queue), handlers).await;
    for number in 0..MESSAGES {
        bed.send(&queue, "charge", number.to_string()).await;
    }
    eventually(DEADLINE, async || bank.asked_in_vain() >= 1).await;
    let begun = Instant::now();
    app.shut_down().await.unwrap();
    assert!(begun.elapsed() < DEADLINE / 2);
    eventually(DEADLINE, async || bed.ready_count(&queue).await == MESSAGES).await;
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

/// Nothing is marked: the row of failures tells, each of which counts as ever.
pub(crate) async fn many_failures_in_a_row_slow_a_handler_down(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let bank = Dependency::away();
    let (seen, mut handled) = seen();
    let handlers = charging(&bank, seen, HandlerOptions::new());
    let set_up = queue_of(&queue)
        .retry(Retry::none())
        .brake(Brake::after(10));
    let app = bed.start_queue(set_up, handlers).await;
    let health = app.health();
    // ten in a row are not enough before five seconds are over
    let is_on = || !health.queues()[0].brakes().is_empty();
    while !is_on() {
        bed.send(&queue, "charge", "0").await;
        sleep(Duration::from_millis(100)).await;
        assert!(bank.asked_in_vain() < 100, "it is never on");
    }
    assert_eq!(health.queues()[0].brakes()[0].cause(), BrakeCause::Failures);
    let before = bank.asked_in_vain();
    assert!(before >= 10, "{before}");
    for _ in 0..20 {
        bed.send(&queue, "charge", "0").await;
    }
    sleep(Duration::from_secs(3)).await;
    let probes = bank.asked_in_vain() - before;
    assert!((1..=4).contains(&probes), "{probes}");
    bank.comes_back();
    for _ in 0..20 - probes {
        assert_eq!(handled.next_note().await, "charge 1 0");
    }
    app.shut_down().await.unwrap();
    let dead = bed.take_all(&format!("{queue}_dlq")).await;
    assert_eq!(dead.len(), bank.asked_in_vain());
}

/// An error that says when to come again is believed.
pub(crate) async fn an_error_says_when_the_next_message_may_come(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let asked = Arc::new(AtomicUsize::new(0));
    let charge = move || {
        let (seen, asked) = (seen, asked.clone());
        async move {
            seen.note("asked");
            match asked.fetch_add(1, SeqCst) {
                0 => Err(Unavailable::msg("busy").retry_after(Duration::from_millis(100))),
                1 => Err(Unavailable::msg("busy").retry_after(Duration::from_secs(3))),
                _ => Ok(()),
            }
        }
    };
    let handlers = HandlerRegistry::new().register("charge", charge);
    let app = bed.start_queue(queue_of(&queue), handlers).await;
    bed.send(&queue, "charge", "").await;
    handled.next_note().await;
    let begun = Instant::now();
    handled.next_note().await;
    assert!(
        begun.elapsed() < Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    let begun = Instant::now();
    handled.next_note().await;
    let waited = begun.elapsed();
    assert!(
        Duration::from_millis(2_900) < waited && waited < DEADLINE,
        "{waited:?}"
    );
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

/// The program knows by itself, and spends no message to find out.
pub(crate) async fn a_check_that_fails_holds_the_messages_of_who_needs_it(bed: Arc<Bed>) {
    const MESSAGES: u32 = 50;

    let queue = bed.queue_name();
    let bank = Dependency::away();
    let (seen, mut handled) = seen();
    let asks = bank.clone();
    let handlers = charging(&bank, seen, marked().needs("bank"));
    let app = App::new(bed.url())
        .check("bank", Duration::from_millis(200), move || {
            let is_away = asks.is_away();
            async move {
                if is_away {
                    Err("the bank is closed")
                } else {
                    Ok(())
                }
            }
        })
        .handlers(handlers)
        .queue(queue_of(&queue))
        .start()
        .await
        .unwrap();
    let health = app.health();
    assert_eq!(health.checks()[0].error(), Some("the bank is closed"));
    for number in 0..MESSAGES {
        bed.send(&queue, "charge", number.to_string()).await;
    }
    let braked = async || health.queues()[0].brakes().first().cloned();
    let braked = eventually_some(DEADLINE, braked).await;
    assert_eq!(
        (braked.cause(), braked.next_probe()),
        (BrakeCause::Check, None)
    );
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bank.asked_in_vain(), 0);
    let text = health.to_string();
    assert!(text.contains("check `bank`: failing for "), "{text}");
    bank.comes_back();
    all_are_charged(&mut handled, MESSAGES).await;
    assert!(health.checks()[0].is_passing());
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn a_check_that_nobody_makes_is_an_error_at_the_start(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let error = bed.refused(queue_of(&queue).needs("bank")).await;
    assert!(
        error.contains("the queue needs the check `bank`"),
        "{error}"
    );
}

/// All but the next probe, once the outage is no short one; on RabbitMQ, a consumer of one message stays.
pub(crate) async fn in_an_outage_messages_are_back_in_their_queue(bed: Arc<Bed>) {
    const MESSAGES: u32 = 30;

    let queue = bed.queue_name();
    let bank = Dependency::away();
    let (seen, mut handled) = seen();
    let handlers = charging(&bank, seen, marked());
    let app = bed.start_queue(queue_of(&queue), handlers).await;
    for number in 0..MESSAGES {
        bed.send(&queue, "charge", number.to_string()).await;
    }
    eventually(2 * DEADLINE, async || {
        bed.ready_count(&queue).await >= MESSAGES - 2
    })
    .await;
    for number in MESSAGES..2 * MESSAGES {
        bed.send(&queue, "charge", number.to_string()).await;
    }
    bank.comes_back();
    all_are_charged(&mut handled, 2 * MESSAGES).await;
    // and it consumes as ever
    bed.send(&queue, "charge", "1000").await;
    assert_eq!(charged(&mut handled, 1).await, [1000]);
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn a_paused_queue_waits_until_it_is_resumed(bed: Arc<Bed>) {
    const MESSAGES: u32 = 20;

    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("charge", move |number: u32| async move {
        sleep(Duration::from_millis(300)).await;
        seen.note(number.to_string());
    });
    let app = bed
        .start_queue(queue_of(&queue).concurrency(2), handlers)
        .await;
    assert!(!app.pause("another", "nobody"));
    for round in 0..3 {
        for number in 0..MESSAGES {
            bed.send(&queue, "charge", (round * MESSAGES + number).to_string())
                .await;
        }
        let mut numbers = vec![handled.next_note().await];
        assert!(app.pause(&queue, "the night shift"));
        let health = app.health();
        assert_eq!(health.queues()[0].paused_by(), Some("the night shift"));
        assert!(health.is_healthy());
        // what ran ends, and the rest is back
        sleep(Duration::from_secs(1)).await;
        numbers.extend(std::iter::from_fn(|| handled.now()));
        let left = MESSAGES - u32::try_from(numbers.len()).unwrap();
        assert!(left >= MESSAGES - 6, "{numbers:?}");
        eventually(DEADLINE, async || bed.ready_count(&queue).await >= left - 1).await;
        assert!(handled.is_empty());
        assert!(app.resume(&queue));
        assert!(!app.resume(&queue));
        for _ in 0..left {
            numbers.push(handled.next_note().await);
        }
        let mut numbers: Vec<u32> = numbers
            .iter()
            .map(|number| number.parse().unwrap())
            .collect();
        numbers.sort_unstable();
        let all = round * MESSAGES..(round + 1) * MESSAGES;
        assert_eq!(numbers, all.collect::<Vec<_>>());
    }
    app.pause(&queue, "the night shift");
    bed.send(&queue, "charge", "0").await;
    app.shut_down().await.unwrap();
    assert_eq!(bed.ready_count(&queue).await, 1);
}

/// However short they are, and whatever is on its way meanwhile.
pub(crate) async fn pauses_that_come_and_go_leave_no_message_behind(bed: Arc<Bed>) {
    const ROUNDS: u64 = 100;
    const MESSAGES: u32 = 8;

    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("charge", move |number: u32| async move {
        seen.note(number.to_string());
    });
    let app = bed
        .start_queue(queue_of(&queue).prefetch(8), handlers)
        .await;
    for round in 0..ROUNDS {
        // they wait here, and see of a pause of the queue what its consumer may not
        let waits_here = round % 2 == 0;
        if waits_here {
            app.pause_handler(&queue, "charge", "the night shift");
        }
        let sending = async {
            for number in 0..MESSAGES {
                bed.send(&queue, "charge", number.to_string()).await;
            }
        };
        let pausing = async {
            sleep(Duration::from_millis(2 * (round % 16))).await;
            app.pause(&queue, "somebody");
            if round % 4 == 3 {
                sleep(Duration::from_millis(1)).await;
            }
            app.resume(&queue);
        };
        tokio::join!(sending, pausing);
        if waits_here {
            app.resume_handler(&queue, "charge");
        }
        let mut numbers = HashSet::new();
        while numbers.len() < MESSAGES as usize {
            numbers.insert(handled.next_note().await);
        }
    }
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

/// The others work on, and nothing is tried meanwhile.
pub(crate) async fn a_paused_handler_waits_until_it_is_resumed(bed: Arc<Bed>) {
    const MESSAGES: u32 = 20;

    let queue = bed.queue_name();
    for delay in ["1000ms", "5000ms", "30000ms"] {
        bed.remove_later(&format!("{queue}_retry_{delay}"));
    }
    let (seen, mut handled) = seen();
    let note = |what: &'static str| {
        move |Attempt(attempt): Attempt, number: u32| async move {
            seen.note(format!("{what} {attempt} {number}"));
        }
    };
    let handlers = HandlerRegistry::new()
        .register("charge", note("charge"))
        .register("refund", note("refund"));
    let app = bed
        .start_queue(queue_of(&queue).prefetch(8), handlers)
        .await;
    assert!(!app.pause_handler(&queue, "nobody", "the night shift"));
    assert!(!app.pause_handler("another", "charge", "the night shift"));
    assert!(!app.resume_handler(&queue, "charge"));
    assert!(app.pause_handler(&queue, "charge", "the night shift"));
    for number in 0..MESSAGES {
        bed.send(&queue, "charge", number.to_string()).await;
        bed.send(&queue, "refund", number.to_string()).await;
    }
    for number in 0..MESSAGES {
        assert_eq!(handled.next_note().await, format!("refund 1 {number}"));
    }
    let health = app.health();
    let brakes = health.queues()[0].brakes().to_vec();
    assert_eq!(brakes.len(), 1);
    assert_eq!(brakes[0].cause(), BrakeCause::Paused);
    assert_eq!(brakes[0].reason(), "paused by the night shift");
    assert!(health.is_healthy());
    assert_eq!(health.queues()[0].paused_by(), None);
    // a pause of the queue is another one, and its end is not the end of this
    assert!(app.pause(&queue, "somebody"));
    assert!(app.resume(&queue));
    sleep(Duration::from_secs(2)).await;
    assert!(handled.is_empty());
    assert!(app.resume_handler(&queue, "charge"));
    assert!(health.queues()[0].brakes().is_empty());
    let mut notes = Vec::new();
    for _ in 0..MESSAGES {
        notes.push(handled.next_note().await);
    }
    notes.sort();
    let mut expected: Vec<_> = (0..MESSAGES)
        .map(|number| format!("charge 1 {number}"))
        .collect();
    expected.sort();
    assert_eq!(notes, expected);
    // all of them: the messages are back in their queue
    app.pause_handler(&queue, "charge", "the night shift");
    app.pause_handler(&queue, "refund", "the night shift");
    for number in 0..MESSAGES {
        bed.send(&queue, "charge", number.to_string()).await;
    }
    eventually(2 * DEADLINE, async || {
        bed.ready_count(&queue).await >= MESSAGES - 1
    })
    .await;
    app.resume_handler(&queue, "charge");
    for _ in 0..MESSAGES {
        assert!(handled.next_note().await.starts_with("charge 1 "));
    }
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}
