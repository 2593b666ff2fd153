//! The clock of a test.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use ploomby::{
    HandlerOptions, HandlerRegistry, OrderBy, Outcome, Publisher, Queue, Rate, Retry, Unavailable,
    extract::{Attempt, Batch, State},
    testing::TestApp,
};

const HOUR: Duration = Duration::from_secs(60 * 60);

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<u64>>>);

impl Seen {
    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

async fn fail(_: u64) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}

async fn see(number: u64, State(seen): State<Seen>) {
    seen.0.lock().unwrap().push(number);
}

#[tokio::test]
async fn a_message_is_tried_again_when_it_is_due_and_not_before() {
    let retry = Retry::delays([HOUR, 2 * HOUR]);
    let app = TestApp::with(HandlerRegistry::new().register("fail", fail))
        .queue(Queue::new("q").retry(retry))
        .horizon(Duration::ZERO)
        .start()
        .await;
    app.send("q", "fail", &1).await.handled("fail").attempts(1);
    assert_eq!(app.waiting("q"), 1);
    app.advance(HOUR - Duration::from_millis(1))
        .await
        .handled("fail")
        .never();
    app.advance(Duration::from_millis(1))
        .await
        .handled("fail")
        .attempts(1);
    app.advance(2 * HOUR)
        .await
        .handled("fail")
        .outcome(Outcome::DeadLetter);
    assert_eq!(app.waiting("q"), 0);
    app.dead_letters("q").once();
}

#[tokio::test]
async fn an_advance_goes_through_all_that_is_due_in_its_order() {
    let seen = Seen::default();
    let app = TestApp::with(HandlerRegistry::new().register("see", see))
        .state(seen.clone())
        .queue(Queue::new("q"))
        .horizon(Duration::ZERO)
        .start()
        .await;
    for hours in [3, 1, 2] {
        let run = app.send_with(|publisher| {
            let message = publisher.to("q").key("see").payload(&u64::from(hours));
            message.delay(HOUR * hours)
        });
        run.await.handled("see").never();
    }
    assert_eq!(app.waiting("q"), 3);
    app.advance(2 * HOUR).await.handled("see").times(2);
    assert_eq!(seen.take(), [1, 2]);
    app.advance(10 * HOUR).await.handled("see").once();
    assert_eq!(seen.take(), [3]);
}

#[tokio::test]
async fn tests_side_by_side_have_clocks_and_brokers_of_their_own() {
    let test = || {
        TestApp::with(HandlerRegistry::new().register("fail", fail))
            .queue(Queue::new("q").retry(Retry::fixed(2, HOUR)))
            .horizon(Duration::ZERO)
    };
    let (one, other) = (test().start().await, test().start().await);
    one.send("q", "fail", &1).await;
    assert_eq!((one.waiting("q"), other.waiting("q")), (1, 0));
    other.send("q", "fail", &1).await;
    one.advance(HOUR).await.handled("fail").once();
    assert_eq!((one.waiting("q"), other.waiting("q")), (0, 1));
    other.dead_letters("q").none();
}

#[tokio::test]
async fn what_expires_in_a_queue_of_another_program_stays_until_the_test_moves_the_clock() {
    let offers = Queue::new("offers").queue_argument("x-message-ttl", 60_000);
    let handlers = HandlerRegistry::new().register(
        "offer",
        async |number: u64,
               publisher: Publisher,
               Attempt(attempt): Attempt|
               -> anyhow::Result<()> {
            publisher.send("offers", "offer", &number).await?;
            anyhow::ensure!(attempt > 1, "once more");
            Ok(())
        },
    );
    let app = TestApp::with(handlers)
        .queue(Queue::new("q").retry(Retry::fixed(2, Duration::from_secs(59))))
        .foreign_queue(offers)
        .start()
        .await;
    app.send("q", "offer", &1)
        .await
        .sent::<u64>("offers")
        .times(2);
    assert_eq!(app.waiting("offers"), 2);
    app.advance(Duration::from_secs(1)).await;
    assert_eq!(app.waiting("offers"), 1);
    app.advance(Duration::from_secs(59)).await;
    assert_eq!(app.waiting("offers"), 0);
}

async fn see_all(numbers: Batch<u64>, State(seen): State<Seen>) {
    seen.0
        .lock()
        .unwrap()
        .extend(numbers.iter().map(|number| **number));
}

#[tokio::test]
async fn a_batch_waits_for_the_clock_of_the_test() {
    let seen = Seen::default();
    let app = TestApp::with(HandlerRegistry::new().register("see_all", see_all))
        .state(seen.clone())
        .queue(Queue::new("q").batch_wait(HOUR))
        .horizon(Duration::ZERO)
        .start()
        .await;
    app.put("q", "see_all", &1).await;
    app.send("q", "see_all", &2)
        .await
        .handled("see_all")
        .never();
    app.advance(HOUR / 2).await.handled("see_all").never();
    app.send("q", "see_all", &3)
        .await
        .handled("see_all")
        .never();
    app.advance(HOUR / 2).await.handled("see_all").times(3);
    assert_eq!(seen.take(), [1, 2, 3]);
}

/// The second message of a customer waits for the first, which waits for the clock.
#[tokio::test]
async fn what_waits_for_its_turn_behind_a_batch_is_worked_off() {
    let seen = Seen::default();
    let options = HandlerOptions::new().ordered_by(OrderBy::header("customer"));
    let handlers = HandlerRegistry::new().register_with("see_all", options, see_all);
    let app = TestApp::with(handlers)
        .state(seen.clone())
        .queue(Queue::new("q").batch_wait(HOUR))
        .start()
        .await;
    for number in 1..4 {
        app.put("q", "see_all", &number).await;
    }
    app.run()
        .await
        .handled("see_all")
        .times(3)
        .outcome(Outcome::Ack);
    assert_eq!(seen.take(), [1, 2, 3]);
}

#[tokio::test]
async fn what_is_given_back_comes_again_until_it_is_too_often() {
    let handlers = HandlerRegistry::new().register("refuse", async |_: u64| Outcome::Requeue);
    let app = TestApp::with(handlers)
        .queue(Queue::new("q").max_deliveries(5))
        .start()
        .await;
    let run = app.send("q", "refuse", &1).await;
    run.handled("refuse")
        .once()
        .attempts(5)
        .outcome(Outcome::DeadLetter);
    app.dead_letters("q")
        .once()
        .reason(ploomby::Reason::TooManyDeliveries);
}

/// What is far above the rate waits in retry queues.
#[tokio::test]
async fn a_rate_takes_no_real_time() {
    const MINUTE: Duration = Duration::from_secs(60);

    for has_others in [false, true] {
        let seen = Seen::default();
        let options = HandlerOptions::new().rate(Rate::per_minute(1));
        let mut handlers = HandlerRegistry::new().register_with("see", options, see);
        if has_others {
            handlers = handlers.register("other", async |_: u64| {});
        }
        let app = TestApp::with(handlers)
            .state(seen.clone())
            .queue(Queue::new("q").prefetch(8))
            .horizon(Duration::ZERO)
            .start()
            .await;
        for number in 0..30 {
            app.put("q", "see", &number).await;
        }
        app.run().await;
        assert_eq!(seen.take(), [0]);
        app.advance(3 * MINUTE).await;
        assert_eq!(seen.take().len(), 3, "{}", app.journal());
        if has_others {
            let run = app.send("q", "other", &1).await;
            run.handled("other").once().outcome(Outcome::Ack);
        }
        app.advance(30 * MINUTE).await;
        assert_eq!(seen.take().len(), 26, "{}", app.journal());
    }
}

#[tokio::test]
async fn the_rate_of_a_batch_takes_no_real_time() {
    let seen = Seen::default();
    let options = HandlerOptions::new()
        .rate(Rate::per_hour(1))
        .batch_size(2)
        .batch_wait(Duration::from_secs(1));
    let handlers = HandlerRegistry::new().register_with("see_all", options, see_all);
    let app = TestApp::with(handlers)
        .state(seen.clone())
        .queue(Queue::new("q"))
        .horizon(Duration::ZERO)
        .start()
        .await;
    for number in 0..7 {
        app.put("q", "see_all", &number).await;
    }
    app.run().await.handled("see_all").times(2);
    app.advance(2 * HOUR).await.handled("see_all").times(4);
    app.advance(HOUR).await.handled("see_all").times(1);
    assert_eq!(seen.take(), [0, 1, 2, 3, 4, 5, 6]);
}

/// Fails so often, since what it needs is away.
#[derive(Clone, Default)]
struct Away(Arc<AtomicU32>);

async fn ask(
    number: u64,
    State(away): State<Away>,
    State(seen): State<Seen>,
) -> Result<(), Unavailable> {
    let fails = |left: u32| left.checked_sub(1);
    if away.0.fetch_update(Relaxed, Relaxed, fails).is_ok() {
        return Err(Unavailable::new(anyhow::anyhow!("the bank is closed")));
    }
    seen.0.lock().unwrap().push(number);
    Ok(())
}

/// The pauses grow to half a minute, and the queue rests.
#[tokio::test]
async fn an_outage_takes_no_real_time() {
    for has_others in [false, true] {
        let (away, seen) = (Away::default(), Seen::default());
        away.0.store(10, Relaxed);
        let mut handlers = HandlerRegistry::new().register("ask", ask);
        if has_others {
            handlers = handlers.register("other", async |_: u64| {});
        }
        let app = TestApp::with(handlers)
            .state(away)
            .state(seen.clone())
            .queue(Queue::new("q").prefetch(8))
            .start()
            .await;
        for number in 0..30 {
            app.put("q", "ask", &number).await;
        }
        let run = app.run().await;
        run.handled("ask").outcome(Outcome::Ack);
        let mut numbers = seen.take();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..30).collect::<Vec<_>>(), "{}", app.journal());
        app.dead_letters("q").none();
    }
}

#[tokio::test]
async fn an_outage_goes_on_until_the_test_moves_the_clock() {
    let (away, seen) = (Away::default(), Seen::default());
    away.0.store(2, Relaxed);
    let app = TestApp::with(HandlerRegistry::new().register("ask", ask))
        .state(away)
        .state(seen.clone())
        .queue(Queue::new("q"))
        .horizon(Duration::ZERO)
        .start()
        .await;
    app.put("q", "ask", &1).await;
    app.put("q", "ask", &2).await;
    app.run().await;
    assert!(seen.take().is_empty());
    app.advance(Duration::from_secs(60)).await;
    let mut numbers = seen.take();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
}
