//! Letters that are sent back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use ploomby::ops::{Edit, Filter, Ops, OpsError, Replay};
use ploomby::{App, HandlerRegistry, KeySource, Message, Queue, Value};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually, seen};

use super::operations::{all, app, failed, ids};

/// How many letters were sent back, or would be.
async fn replay_all(ops: &Ops, queue: &str, replay: Replay) -> usize {
    let mut replaying = ops.replay(queue, replay).await.unwrap();
    while replaying.next().await.unwrap().is_some() {}
    replaying.end().await.unwrap().done
}

pub(crate) async fn a_replay_brings_each_letter_back_once_and_in_order(bed: Arc<Bed>) {
    const LETTERS: u32 = 30;

    let (queue, seen, is_mended, running, mut handled) = failed(&bed, LETTERS).await;
    let ops = app(&bed, &queue, seen, &is_mended).ops().unwrap();
    // what fails again is not replayed in a circle
    let mut replaying = ops
        .replay(&queue, Replay::new(Filter::all()))
        .await
        .unwrap();
    while let Some(replayed) = replaying.next().await.unwrap() {
        assert_eq!(replayed.queue, queue);
    }
    assert_eq!(replaying.end().await.unwrap().done, LETTERS as usize);
    let dead = format!("{queue}_dlq");
    eventually(DEADLINE, async || bed.ready_count(&dead).await == LETTERS).await;
    for letter in all(ops.look(&queue).await.unwrap()).await {
        assert_eq!((letter.replayed(), letter.attempts()), (1, Some(1)));
    }

    is_mended.store(true, SeqCst);
    let dry = Replay::new(Filter::all().error("closed")).dry_run();
    assert_eq!(replay_all(&ops, &queue, dry).await, 10);
    assert!(handled.is_empty());
    let closed = Replay::new(Filter::all().error("closed"))
        .limit(2)
        .every(Duration::from_millis(5));
    assert_eq!(replay_all(&ops, &queue, closed).await, 2);
    for id in ["0", "3"] {
        assert_eq!(handled.next_note().await, id);
    }
    replay_all(&ops, &queue, Replay::new(Filter::all())).await;
    for id in (0..LETTERS).filter(|id| ![0, 3].contains(id)) {
        assert_eq!(handled.next_note().await, id.to_string());
    }
    assert!(bed.is_empty(&dead).await);
    ops.close().await;
    running.shut_down().await.unwrap();
    assert!(handled.is_empty());
}

pub(crate) async fn a_canary_that_comes_back_ends_the_replay(bed: Arc<Bed>) {
    let (queue, seen, is_mended, running, mut handled) = failed(&bed, 9).await;
    let ops = app(&bed, &queue, seen, &is_mended).ops().unwrap();
    let plan = || Replay::new(Filter::all()).canary(2, Duration::from_secs(2));
    let mut replaying = ops.replay(&queue, plan()).await.unwrap();
    assert!(replaying.next().await.unwrap().is_some());
    assert!(replaying.next().await.unwrap().is_some());
    let error = replaying.next().await.unwrap_err();
    assert!(matches!(error, OpsError::CameBack(_)), "{error}");
    assert_eq!(replaying.end().await.unwrap().done, 2);
    let dead = format!("{queue}_dlq");
    eventually(DEADLINE, async || bed.ready_count(&dead).await == 9).await;

    is_mended.store(true, SeqCst);
    assert_eq!(replay_all(&ops, &queue, plan()).await, 9);
    for _ in 0..9 {
        handled.next_note().await;
    }
    ops.close().await;
    running.shut_down().await.unwrap();
}

/// The queue may be gone: nothing is lost.
pub(crate) async fn a_letter_that_its_queue_does_not_take_stays(bed: Arc<Bed>) {
    let (queue, seen, is_mended, running, _handled) = failed(&bed, 3).await;
    running.shut_down().await.unwrap();
    bed.delete(&queue).await;
    let ops = app(&bed, &queue, seen, &is_mended).ops().unwrap();
    let mut replaying = ops
        .replay(&queue, Replay::new(Filter::all()))
        .await
        .unwrap();
    let error = replaying.next().await.unwrap_err();
    assert!(matches!(error, OpsError::Publish { .. }), "{error}");
    assert_eq!(replaying.end().await.unwrap().done, 0);
    assert_eq!(ids(&ops, &queue).await.len(), 3);
    let other = bed.queue_name();
    bed.declare(&other, &[]).await;
    let elsewhere = Replay::new(Filter::all()).limit(1).to(&other);
    replay_all(&ops, &queue, elsewhere).await;
    let moved = bed.next(&other).await;
    assert_eq!(moved.headers["ploomby-replayed"], Value::I64(1));
    assert_eq!(moved.text(KEY), "place");
    let mut ours: Vec<_> = moved
        .headers
        .keys()
        .filter(|name| name.starts_with("ploomby-"))
        .collect();
    ours.sort();
    assert_eq!(ours, ["ploomby-replayed", "ploomby-replayed-at"]);
    ops.close().await;
}

/// A message that came by an exchange, or whose routing key names its handler.
pub(crate) async fn a_replayed_letter_has_its_own_address_again(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.remove_later(&format!("{queue}_retry_1000ms"));
    let (seen, mut handled) = seen();
    let is_mended = Arc::new(AtomicBool::new(false));
    let mended = is_mended.clone();
    let handlers = || {
        let mended = mended.clone();
        HandlerRegistry::new().register_default(move |delivery: ploomby::Delivery| {
            let mended = mended.clone();
            async move {
                seen.note(format!(
                    "{} {}",
                    delivery.exchange(),
                    delivery.routing_key()
                ));
                anyhow::ensure!(mended.load(SeqCst), "no luck");
                Ok(())
            }
        })
    };
    let app = || {
        App::new(bed.url())
            .handlers(handlers())
            .queue(Queue::new(&queue).key(KeySource::RoutingKey))
    };
    let running = app().start().await.unwrap();
    bed.publish_through("amq.topic", "order.placed", &queue, Message::new("1"))
        .await;
    assert_eq!(handled.next_note().await, "amq.topic order.placed");
    let dead = format!("{queue}_dlq");
    eventually(DEADLINE, async || bed.ready_count(&dead).await == 1).await;
    is_mended.store(true, SeqCst);
    let ops = app().ops().unwrap();
    replay_all(&ops, &queue, Replay::new(Filter::all())).await;
    assert_eq!(handled.next_note().await, "amq.topic order.placed");
    ops.close().await;
    running.shut_down().await.unwrap();
    assert!(bed.is_empty(&dead).await);
}

pub(crate) async fn an_edited_letter_goes_to_the_handler_of_another_routing_key(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.remove_later(&format!("{queue}_retry_1000ms"));
    let (seen, mut handled) = seen();
    let handlers = || {
        let handlers = HandlerRegistry::new();
        let handlers = handlers.register("order.paid", async |_: u32| seen.note("paid"));
        handlers.register("order.sent", async |_: u32| seen.note("sent"))
    };
    let app = || {
        let queue = Queue::new(&queue).key(KeySource::RoutingKey);
        App::new(bed.url()).handlers(handlers()).queue(queue)
    };
    let running = app().start().await.unwrap();
    let dead = format!("{queue}_dlq");
    // one came by an exchange, and one has the name of the queue for a key
    bed.publish_through("amq.topic", "order.payed", &queue, Message::new("1"))
        .await;
    eventually(DEADLINE, async || bed.ready_count(&dead).await == 1).await;
    bed.publish(&queue, Message::new("2")).await;
    eventually(DEADLINE, async || bed.ready_count(&dead).await == 2).await;
    let ops = app().ops().unwrap();
    let all_ids = ids(&ops, &queue).await;
    let edited = |id: &String, key| Replay::new(Filter::all().id(id)).edited(Edit::new().key(key));
    for replay in [
        edited(&all_ids[0], "order.payd"),
        edited(&all_ids[0], "order.paid").to("elsewhere"),
    ] {
        let mut replaying = ops.replay(&queue, replay).await.unwrap();
        let error = replaying.next().await.unwrap_err();
        assert!(matches!(error, OpsError::Unfit { .. }), "{error}");
        replaying.end().await.unwrap();
    }
    for (id, key, expected) in [
        (&all_ids[0], "order.paid", "paid"),
        (&all_ids[1], "order.sent", "sent"),
    ] {
        assert_eq!(replay_all(&ops, &queue, edited(id, key)).await, 1);
        assert_eq!(handled.next_note().await, expected);
    }
    ops.close().await;
    running.shut_down().await.unwrap();
    assert!(bed.is_empty(&dead).await);
}

pub(crate) async fn an_edited_letter_goes_back_once_it_fits(bed: Arc<Bed>) {
    let (queue, seen, is_mended, running, _handled) = failed(&bed, 2).await;
    running.shut_down().await.unwrap();
    let ops = app(&bed, &queue, seen, &is_mended).ops().unwrap();
    let [first, second] = &ids(&ops, &queue).await[..] else {
        panic!();
    };
    let edited = |edit: Edit| Replay::new(Filter::all().id(first)).edited(edit);
    for wrong in [
        Edit::new().body("{}"),
        Edit::new().key("cancel"),
        Edit::new().headers::<&str>([]),
    ] {
        let mut replaying = ops.replay(&queue, edited(wrong)).await.unwrap();
        let error = replaying.next().await.unwrap_err();
        assert!(matches!(error, OpsError::Unfit { .. }), "{error}");
        assert_eq!(replaying.end().await.unwrap().done, 0);
    }
    assert_eq!(ids(&ops, &queue).await, [first.as_str(), second]);

    let headers = [(KEY, "place".into()), ("tenant", Value::I64(7))];
    let edit = Edit::new().body(r#"{"id":70}"#).headers(headers);
    assert_eq!(
        replay_all(&ops, &queue, edited(edit.clone()).dry_run()).await,
        1
    );
    assert_eq!(ids(&ops, &queue).await.len(), 2);
    assert_eq!(replay_all(&ops, &queue, edited(edit)).await, 1);
    assert_eq!(ids(&ops, &queue).await, [second.as_str()]);
    let message = bed.next(&queue).await;
    assert_eq!(message.body, br#"{"id":70}"#);
    assert_eq!(message.text("ploomby-edited-from"), first);
    assert_eq!(message.headers["tenant"], Value::I64(7));
    assert!(!message.headers.contains_key("ploomby-reason"));
    ops.close().await;
}
