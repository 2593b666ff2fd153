//! Handlers that do not end, and programs that crash.

use std::{
    future::pending,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::FutureExt;
use ploomby::{
    HandlerOptions, HandlerRegistry, Outcome, Publisher, Queue, Reason, Retry,
    extract::{Batch, State},
    testing::TestApp,
};

async fn hang(_: u64, publisher: Publisher) -> anyhow::Result<()> {
    publisher.send("mail", "begun", &1).await?;
    pending().await
}

#[tokio::test]
async fn a_handler_that_never_ends_fails_the_test_by_its_name() {
    let app = TestApp::with(HandlerRegistry::new().register("hang", hang))
        .queue(Queue::new("q"))
        .foreign_queue(Queue::new("mail"))
        .limit(Duration::from_millis(50))
        .start()
        .await;
    app.put("q", "hang", &1).await;
    while app.waiting("mail") == 0 {
        tokio::task::yield_now().await;
    }
    let failed = AssertUnwindSafe(app.run()).catch_unwind().await;
    let panic = failed.expect_err("it never ends");
    let said = panic.downcast_ref::<String>().expect("it is text");
    assert_eq!(
        said,
        "the run does not end within 50ms of real time; at work: testing::ends::hang (queue `q`, key `hang`, attempt \
         1)\nwhat happened:\n  +0s      the test sent `hang` to `q`: 1\n"
    );
}

#[tokio::test]
async fn messages_that_go_on_and_on_fail_the_test() {
    let handlers = HandlerRegistry::new()
        .register("again", async |number: u64, publisher: Publisher| {
            publisher.send("q", "again", &number).await
        });
    let app = TestApp::with(handlers)
        .queue(Queue::new("q"))
        .limit(Duration::from_millis(50))
        .start()
        .await;
    let failed = AssertUnwindSafe(app.send("q", "again", &1))
        .catch_unwind()
        .await;
    let panic = failed.expect_err("it never ends");
    let said = panic.downcast_ref::<String>().expect("it is text");
    assert!(
        said.starts_with("the run does not end within 50ms of real time"),
        "{said}"
    );
}

/// A minute for each of two attempts.
#[tokio::test]
async fn a_test_can_have_handlers_time_out() {
    let handlers = HandlerRegistry::new().register_with(
        "hang",
        HandlerOptions::new().timeout(Duration::from_secs(60)),
        async |_: u64| pending::<()>().await,
    );
    let app = TestApp::with(handlers)
        .queue(Queue::new("q").retry(Retry::fixed(2, Duration::from_secs(60 * 60))))
        .horizon(Duration::ZERO)
        .start()
        .await;
    app.put("q", "hang", &1).await;
    let run = app.time_out().await;
    run.handled("hang").attempts(1).reason(Reason::Timeout);
    app.put("q", "hang", &2).await;
    let run = app.time_out().await;
    run.handled("hang").attempts(1).outcome(Outcome::Retry);
    assert_eq!(app.waiting("q"), 2);
}

#[tokio::test]
async fn a_timeout_is_real_time() {
    let handlers = HandlerRegistry::new().register_with(
        "hang",
        HandlerOptions::new().timeout(Duration::from_millis(5)),
        async |_: u64| pending::<()>().await,
    );
    let app = TestApp::with(handlers)
        .queue(Queue::new("q").retry(Retry::fixed(2, Duration::from_secs(60 * 60))))
        .start()
        .await;
    let run = app.send("q", "hang", &1).await;
    run.handled("hang").attempts(2).reason(Reason::Timeout);
    app.dead_letters("q").once().reason(Reason::Timeout);
}

#[derive(Clone, Default)]
struct Calls(Arc<AtomicU32>);

/// Hangs the first time.
async fn resize(_: u64, State(calls): State<Calls>, publisher: Publisher) -> anyhow::Result<()> {
    publisher.send("mail", "begun", &1).await?;
    if calls.0.fetch_add(1, Relaxed) == 0 {
        pending::<()>().await;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_crash_interrupts_is_delivered_again() {
    let calls = Calls::default();
    let app = TestApp::with(HandlerRegistry::new().register("resize", resize))
        .state(calls.clone())
        .queue(Queue::new("q"))
        .foreign_queue(Queue::new("mail"))
        .start()
        .await;
    app.put("q", "resize", &1).await;
    while calls.0.load(Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let run = app.crash().await;
    run.handled("resize").once().outcome(Outcome::Ack);
    // before the crash, and after
    run.sent::<u64>("mail").times(2);
    assert_eq!(calls.0.load(Relaxed), 2);
    let told = run.journal().to_string();
    let crash = "  +0s      a crash, in the middle of testing::ends::resize (queue `q`, key `resize`, attempt 1)\n";
    assert!(told.contains(crash), "{told}");
    assert!(
        told.contains("attempt 1, redelivered, testing::ends::resize: ack\n"),
        "{told}"
    );
}

#[tokio::test]
async fn a_batch_that_waits_comes_again_after_a_crash() {
    let handlers = HandlerRegistry::new().register("see", async |numbers: Batch<u64>| {
        assert_eq!(numbers.iter().count(), 2);
    });
    let app = TestApp::with(handlers)
        .queue(Queue::new("q").batch_wait(Duration::from_secs(60)))
        .horizon(Duration::ZERO)
        .start()
        .await;
    app.put("q", "see", &1).await;
    app.send("q", "see", &2).await.handled("see").never();
    for _ in 0..3 {
        app.crash().await.handled("see").never();
    }
    let run = app.advance(Duration::from_secs(60)).await;
    run.handled("see").times(2).outcome(Outcome::Ack);
}
