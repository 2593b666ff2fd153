//! What a failed assertion says.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use ploomby::{
    HandlerRegistry, Outcome, Publisher, Queue, Reason, Retry,
    extract::Attempt,
    testing::{TestApp, TestRunning},
};

async fn charge(cents: u64, Attempt(attempt): Attempt, publisher: Publisher) -> anyhow::Result<()> {
    anyhow::ensure!(attempt > 1, "the bank is closed");
    publisher.send("mail", "receipt", &cents).await?;
    Ok(())
}

async fn app() -> TestRunning {
    let hourly = Retry::fixed(2, Duration::from_secs(60 * 60));
    TestApp::with(HandlerRegistry::new().register("charge", charge))
        .queue(Queue::new("billing").retry(hourly))
        .foreign_queue(Queue::new("mail"))
        .start()
        .await
}

/// What a test that fails prints.
fn said(test: impl FnOnce()) -> String {
    let failed = std::panic::catch_unwind(AssertUnwindSafe(test));
    let panic = failed.expect_err("it fails");
    panic.downcast_ref::<String>().expect("it is text").clone()
}

const HAPPENED: &str = "\
what happened:
  +0s      the test sent `charge` to `billing`: 100
  +0s      `billing`: `charge`, attempt 1, testing::assertions::charge: retry in 1h (handler-error: the bank is closed)
  +1h      `billing`: `charge`, attempt 2, testing::assertions::charge: ack
             sent `receipt` to `mail`: 100
";

#[tokio::test]
async fn a_failed_assertion_tells_what_happened() {
    let run = app().await.send("billing", "charge", &100).await;
    run.handled("charge")
        .once()
        .attempts(2)
        .outcome(Outcome::Ack);
    run.sent::<u64>("mail").once().with(&100);
    let handled = || run.handled("charge");
    let said = [
        (
            "`charge` was handled as 1 message, not 2 messages",
            said(|| _ = handled().times(2)),
        ),
        (
            "`charge` was handled as 1 message, not 0 messages",
            said(|| handled().never()),
        ),
        (
            "`charge` was tried 2 times, not 1 time",
            said(|| _ = handled().attempts(1)),
        ),
        (
            "`charge` was settled by Ack, not Discard",
            said(|| _ = handled().outcome(Outcome::Discard)),
        ),
        (
            "`charge` was failed with \"the bank is closed\", not with \"open\"",
            said(|| _ = handled().error("open")),
        ),
        (
            "`charge` was failed by handler-error, not by panic",
            said(|| _ = handled().reason(Reason::Panic)),
        ),
        (
            "`refund` was not handled",
            said(|| _ = run.handled("refund").outcome(Outcome::Ack)),
        ),
        (
            "to `mail`: 1 was sent, not 0",
            said(|| run.sent::<u64>("mail").none()),
        ),
        (
            "to `mail`: none was sent with 99",
            said(|| _ = run.sent::<u64>("mail").with(&99)),
        ),
        (
            "no value came of the call: the run is not that of a `call`",
            said(|| _ = run.reply::<u64>()),
        ),
    ];
    for (problem, said) in said {
        assert_eq!(said, format!("{problem}\n{HAPPENED}"));
    }
}

#[tokio::test]
async fn a_failed_assertion_about_dead_letters_tells_what_happened() {
    let app = app().await;
    app.send("billing", "charge", &100).await;
    let letters = || app.dead_letters("billing");
    let said = [
        (
            "none was dead-lettered, not 1",
            said(|| _ = letters().once()),
        ),
        (
            "none was dead-lettered, and not by panic",
            said(|| _ = letters().reason(Reason::Panic)),
        ),
        (
            "none was dead-lettered, and not with \"x\"",
            said(|| _ = letters().error("x")),
        ),
    ];
    for (problem, said) in said {
        assert_eq!(
            said,
            format!("dead letters of `billing`: {problem}\n{HAPPENED}")
        );
    }
}

#[tokio::test]
async fn what_cannot_be_sent_fails_the_test_with_the_reason() {
    let app = app().await;
    let sending = AssertUnwindSafe(app.send("billings", "charge", &100)).catch_unwind();
    let panic = sending.await.expect_err("there is no such queue");
    let said = panic.downcast_ref::<String>().expect("it is text");
    assert_eq!(
        said.lines().next(),
        Some(
            "the message cannot be sent: there is no queue `billings`: declare it first, or start what consumes it"
        )
    );
}

#[tokio::test]
async fn what_the_embedded_broker_does_not_model_is_refused() {
    let handlers = HandlerRegistry::new().register("charge", async |_: u64| {});
    let queue = Queue::new("billing").queue_argument("x-queue-mode", "lazy");
    let starting = TestApp::with(handlers).queue(queue).start();
    let panic = AssertUnwindSafe(starting).catch_unwind().await;
    let panic = panic.expect_err("it is not modelled");
    let said = panic.downcast_ref::<String>().expect("it is text");
    assert!(
        said.contains("'x-queue-mode' in the memory broker"),
        "{said}"
    );
}

#[tokio::test]
async fn a_test_without_a_queue_says_so() {
    let handlers = HandlerRegistry::new().register("charge", async |_: u64| {});
    let starting = AssertUnwindSafe(TestApp::with(handlers).start()).catch_unwind();
    let panic = starting.await.expect_err("there is no queue");
    let said = panic.downcast_ref::<&str>().expect("it is text");
    assert!(said.starts_with("no handler names its queue"), "{said}");
}
