//! Messages that are written by hand, and handlers that run on messages that nobody settles.

use std::sync::Arc;
use std::time::Duration;

use ploomby::extract::State;
use ploomby::ops::{Fate, Filter, Fit, OpsError, Rehearsed, ToHandler};
use ploomby::{
    App, CallError, HandlerOptions, HandlerRegistry, KeySource, Outcome, Publisher, Queue, Reply,
    Retry, Unavailable,
};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually, seen};

use super::operations::{all, app, failed};

const WAIT: Duration = Duration::from_secs(10);

pub(crate) async fn a_message_is_checked_before_it_is_sent(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let double = move |number: u32| async move {
        seen.note(number.to_string());
        anyhow::ensure!(number < 100, "too much");
        Ok(Reply(number * 2))
    };
    let handlers = HandlerRegistry::new().register("double", double);
    let app = || {
        let queue = Queue::new(&queue).key(KeySource::header(KEY));
        App::new(bed.url()).handlers(handlers.clone()).queue(queue)
    };
    let ops = app().ops().unwrap();
    let written = |key: &str, body: &'static str| {
        let to = ToHandler::new(&queue, key, body)
            .header("tenant", "acme")
            .id("7");
        ops.write(&to).unwrap()
    };
    let fit =
        |key: &str, body: &'static str| ops.fits_message(&queue, written(key, body).message());
    assert_eq!(fit("double", "4"), Fit::Fits);
    let reason = |fit: Fit| match fit {
        Fit::Unfit { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(fit("double", "-4")), "undecodable");
    assert_eq!(reason(fit("triple", "4")), "unknown-key");
    let error = ops.publish(&written("double", "4")).await.unwrap_err();
    assert!(matches!(error, OpsError::Message(_)), "{error}");
    let error = ops.call(&written("double", "4"), WAIT).await.unwrap_err();
    assert!(matches!(error, CallError::NobodyListens(_)), "{error}");

    let running = app().start().await.unwrap();
    assert_eq!(ops.publish(&written("double", "4")).await.unwrap(), "7");
    assert_eq!(handled.next_note().await, "4");
    let later = ToHandler::new(&queue, "double", "5").delay(Duration::from_millis(50));
    bed.remove_later(&format!("{queue}_delay_50ms"));
    ops.publish(&ops.write(&later).unwrap()).await.unwrap();
    assert_eq!(handled.next_note().await, "5");
    assert_eq!(ops.call(&written("double", "21"), WAIT).await.unwrap(), 42);
    let error = ops.call(&written("double", "100"), WAIT).await.unwrap_err();
    assert!(matches!(error, CallError::Remote(_)), "{error}");
    ops.close().await;
    running.shut_down().await.unwrap();
}

pub(crate) async fn a_rehearsal_settles_and_sends_nothing(bed: Arc<Bed>) {
    let (queue, seen, is_mended, running, handled) = failed(&bed, 3).await;
    running.shut_down().await.unwrap();
    let program = || app(&bed, &queue, seen, &is_mended);
    let ops = program().ops().unwrap();
    let letters = all(ops.look(&queue).await.unwrap()).await;
    let rehearsal = program().rehearsal().await.unwrap();
    let failed = rehearsal.run_letter(&queue, &letters[0]).await.unwrap();
    assert_eq!(failed.fate, Fate::DeadLetter);
    assert_eq!(failed.error.as_deref(), Some("order 0 is closed"));
    is_mended.store(true, std::sync::atomic::Ordering::SeqCst);
    let done = rehearsal.run_letter(&queue, &letters[0]).await.unwrap();
    assert_eq!((done.fate, done.error), (Fate::Ack, None));
    drop(handled);
    let dead = format!("{queue}_dlq");
    eventually(DEADLINE, async || bed.ready_count(&dead).await == 3).await;
    let mut look = ops.look(&queue).await.unwrap();
    let same = look.next().await.unwrap().unwrap();
    assert!(Filter::all().id(letters[0].id()).matches(&same));
    look.end().await.unwrap();
    ops.close().await;
}

#[derive(Clone)]
struct Limit(u32);

pub(crate) async fn a_rehearsal_says_what_would_become_of_a_message(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let order = async |number: u32, State(limit): State<Limit>, publisher: Publisher| {
        publisher.send("nowhere", "receipt", &number).await?;
        let many = [1, 2].map(|step| publisher.to("steps").key("step").payload(&step));
        publisher.send_all(many).await?;
        let later = publisher.to("nowhere").payload(&number).delay(WAIT);
        later.send().await?;
        anyhow::ensure!(number < limit.0, "{number} is too much");
        anyhow::Ok(Reply(number + 1))
    };
    let slow = async || std::future::pending::<()>().await;
    let away = async || anyhow::Ok::<()>(Err(Unavailable::msg("the bank is away"))?);
    let handlers = HandlerRegistry::new()
        .register_with(
            "order",
            HandlerOptions::new().retry(Retry::fixed(2, WAIT)),
            order,
        )
        .register_with(
            "slow",
            HandlerOptions::new().timeout(Duration::from_millis(20)),
            slow,
        )
        .register("away", away)
        .register("discard", async || Outcome::Discard)
        .register("requeue", async || Outcome::Requeue)
        .register("panic", async |number: u32| {
            assert_eq!(number, 0, "at the disco")
        });
    let app = || {
        let queue = Queue::new(&queue).key(KeySource::header(KEY));
        let app = App::new(bed.url()).handlers(handlers.clone()).queue(queue);
        app.state_with(async || Ok::<_, std::io::Error>(Limit(10)))
    };
    let ops = app().ops().unwrap();
    let rehearsal = app().rehearsal().await.unwrap();
    let run = async |key: &str, body: &'static str| -> Rehearsed {
        let written = ops.write(&ToHandler::new(&queue, key, body)).unwrap();
        rehearsal.run(&queue, written.message()).await.unwrap()
    };
    let done = run("order", "4").await;
    assert_eq!(done.fate, Fate::Ack);
    assert_eq!(done.reply.unwrap().body(), "5");
    let sends = done
        .sends
        .iter()
        .map(|send| (&*send.routing_key, send.message.body().as_ref(), send.delay));
    let expected: [(&str, &[u8], _); 4] = [
        ("nowhere", b"4", None),
        ("steps", b"1", None),
        ("steps", b"2", None),
        ("nowhere", b"4", Some(WAIT)),
    ];
    assert_eq!(sends.collect::<Vec<_>>(), expected);
    assert_eq!(done.sends[0].message.headers().text(KEY), Some("receipt"));

    let failed = run("order", "10").await;
    let Fate::Retry { after, .. } = failed.fate else {
        panic!("{failed:?}");
    };
    assert_eq!(
        (after, failed.error.as_deref()),
        (WAIT, Some("10 is too much"))
    );
    assert_eq!(failed.sends.len(), 4);
    for (key, fate, error) in [
        ("slow", Fate::DeadLetter, Some("the handler was not done")),
        ("away", Fate::Wait, Some("the bank is away")),
        ("discard", Fate::Discard, None),
        ("requeue", Fate::Requeue, None),
        ("panic", Fate::DeadLetter, Some("at the disco")),
        ("unknown", Fate::DeadLetter, Some("no handler for the key")),
    ] {
        let came = run(key, "1").await;
        assert_eq!(came.fate, fate, "{key}");
        let text = came.error.unwrap_or_default();
        assert!(text.contains(error.unwrap_or_default()), "{key}: {text}");
        assert_eq!(text.is_empty(), error.is_none(), "{key}: {text}");
    }
    let undecodable = run("order", "-1").await;
    assert_eq!(undecodable.reason.as_deref(), Some("undecodable"));
    let error = rehearsal
        .run("other", &ploomby::Message::new("1"))
        .await
        .unwrap_err();
    assert!(matches!(error, OpsError::NoQueue(..)), "{error}");
    assert_eq!(ops.depths().await.unwrap()[0].ready, None);
    ops.close().await;
}
