//! What becomes of a message that a handler sends on, and when a message is sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ploomby::extract::Attempt;
use ploomby::{
    DeadLetters, Delivery, HandlerRegistry, KeySource, Message, Properties, PublishError,
    Publisher, Queue, Retry, Value,
};
use ploomby_tests::{Bed, KEY, eventually, eventually_some, seen, unique_name};

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(crate) async fn a_message_that_is_sent_on_starts_anew(bed: Arc<Bed>) {
    let (queue, next, old) = (bed.queue_name(), bed.queue_name(), bed.queue_name());
    bed.remove_later(&format!("{queue}_retry_50ms"));
    bed.remove_later(&format!("{next}_retry_50ms"));
    bed.declare(&old, &[]).await;
    let (seen, mut handled) = seen();
    let target = next.clone();
    let work = move |delivery: Delivery, publisher: Publisher| {
        let target = target.clone();
        async move {
            anyhow::ensure!(delivery.attempt() == 2, "not yet");
            publisher
                .publish(&target, delivery.message().clone())
                .await?;
            Ok(())
        }
    };
    let handlers = HandlerRegistry::new().register("work", work);
    let set_up = Queue::new(&queue)
        .key(KeySource::header(KEY))
        .retry(Retry::fixed(2, Duration::from_millis(50)));
    let first = bed.start_queue(set_up, handlers).await;
    let old_key = move || async move { seen.note("the handler of the old key") };
    let new_key = move |Attempt(attempt): Attempt, delivery: Delivery| async move {
        seen.note(attempt.to_string());
        let is_history = |name: &str| name.starts_with("ploomby-") && name != "ploomby-attempt";
        let mut headers = delivery.headers().iter().map(|(name, _)| name);
        assert!(attempt > 1 || !headers.any(is_history));
        anyhow::ensure!(attempt == 2, "not yet");
        Ok(())
    };
    let handlers = HandlerRegistry::new()
        .register(&old, old_key)
        .register(&next, new_key);
    let set_up = Queue::new(&next)
        .key(KeySource::RoutingKey)
        .retry(Retry::fixed(2, Duration::from_millis(50)));
    let second = bed.start_queue(set_up, handlers).await;
    // it comes to the queue by a copy, so that its routing key is another
    let properties = Properties::new().with_message_id("1").unwrap();
    let message = Message::new("")
        .with_properties(properties)
        .with_header(KEY, "work")
        .and_then(|message| message.with_header("CC", Value::Array(vec![queue.as_str().into()])))
        .unwrap();
    bed.publish(&old, message).await;
    for attempt in ["1", "2"] {
        assert_eq!(handled.next_note().await, attempt);
    }
    first.shut_down().await.unwrap();
    second.shut_down().await.unwrap();
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
    assert!(bed.is_empty(&format!("{next}_dlq")).await);
}

pub(crate) async fn what_is_sent_on_has_an_id_of_its_own_unless_told_otherwise(bed: Arc<Bed>) {
    let (queue, next) = (bed.queue_name(), bed.queue_name());
    bed.declare(&next, &[]).await;
    let target = next.clone();
    let work = move |delivery: Delivery, publisher: Publisher| {
        let target = target.clone();
        async move {
            let properties = delivery.properties().clone();
            let chosen = properties.clone().with_message_id("chosen")?;
            let message = delivery.message().clone();
            publisher
                .to(&target)
                .message(message.clone())
                .send()
                .await?;
            publisher.to(&target).properties(properties).send().await?;
            publisher.to(&target).properties(chosen).send().await?;
            publisher.to(&target).verbatim(message).send().await?;
            anyhow::Ok(())
        }
    };
    let handlers = HandlerRegistry::new().register("work", work);
    let app = bed.start(&queue, handlers).await;
    let properties = Properties::new().with_message_id("1").unwrap();
    let message = Message::new("")
        .with_properties(properties)
        .with_header(KEY, "work")
        .and_then(|message| message.with_header("ploomby-reply", "error"))
        .and_then(|message| message.with_header("ploomby-error", "an old one"))
        .unwrap();
    bed.publish(&queue, message).await;
    let mut ids = Vec::new();
    for is_verbatim in [false, false, false, true] {
        let received = bed.next(&next).await;
        // what kind of reply it is, is no history
        assert_eq!(received.text("ploomby-reply"), "error");
        let has_history = received.headers.contains_key("ploomby-error");
        assert_eq!(has_history, is_verbatim);
        ids.push(received.message_id.unwrap());
    }
    assert_eq!(ids[2..], ["chosen", "1"]);
    assert!(
        ids[0] != "1" && ids[1] != "1" && ids[0] != ids[1],
        "{ids:?}"
    );
    app.shut_down().await.unwrap();
}

/// Of a message that died in the queue that it goes to, RabbitMQ 3 thinks that it goes in a circle.
pub(crate) async fn what_died_before_is_delayed_all_the_same(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.remove_later(&format!("{queue}_delay_100ms"));
    let (seen, mut handled) = seen();
    let target = queue.clone();
    let work = move |delivery: Delivery, publisher: Publisher| {
        let target = target.clone();
        async move {
            let body = String::from_utf8_lossy(delivery.body()).into_owned();
            if !delivery.headers().contains("again") {
                let message = delivery.message().clone();
                let message = match &*body {
                    "verbatim" => publisher.to(&target).verbatim(message),
                    _ => publisher.to(&target).message(message),
                };
                let delay = Duration::from_millis(100);
                message.header("again", true).delay(delay).send().await?;
            } else {
                seen.note(body);
            }
            anyhow::Ok(())
        }
    };
    let handlers = HandlerRegistry::new().register("work", work);
    let app = bed.start(&queue, handlers).await;
    for body in ["sent on", "verbatim"] {
        let death = Value::Table(vec![
            ("queue".into(), queue.as_str().into()),
            ("reason".into(), "expired".into()),
            ("count".into(), Value::I64(1)),
            ("exchange".into(), "".into()),
            (
                "routing-keys".into(),
                Value::Array(vec![queue.as_str().into()]),
            ),
        ]);
        let message = Message::new(body)
            .with_header(KEY, "work")
            .and_then(|message| message.with_header("x-death", Value::Array(vec![death])))
            .unwrap();
        bed.publish(&queue, message).await;
        assert_eq!(handled.next_note().await, body);
    }
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn nothing_is_sent_before_it_is_awaited(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.declare(&queue, &[]).await;
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    drop(publisher.send(&queue, "work", "dropped"));
    drop(publisher.to(&queue).payload("dropped").send());
    drop(publisher.publish(&queue, Message::new("dropped")));
    drop(publisher.send_all([publisher.to(&queue).payload("dropped")]));
    let late = publisher.send(&queue, "work", "second");
    publisher.send(&queue, "work", "first").await.unwrap();
    late.await.unwrap();
    let received = bed.take_all(&queue).await;
    let bodies: Vec<_> = received.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, [&br#""first""#[..], br#""second""#]);
    publisher.close().await;
}

pub(crate) async fn a_delay_is_never_shortened_to_whole_milliseconds(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.declare(&queue, &[]).await;
    bed.remove_later(&format!("{queue}_delay_200ms"));
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    let start = Instant::now();
    let delay = Duration::from_micros(199_001);
    let message = publisher.to(&queue).payload("late").delay(delay);
    message.send().await.unwrap();
    bed.next(&queue).await;
    assert!(start.elapsed() >= delay);
    bed.until_exists(&format!("{queue}_delay_200ms")).await;
    publisher.close().await;
}

pub(crate) async fn what_would_wait_for_more_than_ten_years_is_refused(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.declare(&queue, &[]).await;
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    let error = publisher.to(&queue).delay(11 * YEAR).send().await;
    let error = error.unwrap_err();
    assert!(matches!(error, PublishError::Invalid(_)), "{error}");
    assert!(error.to_string().contains("ten years"), "{error}");
    let refused = [
        Queue::new(&queue).retry(Retry::fixed(2, 11 * YEAR)),
        Queue::new(&queue).dead_letters(DeadLetters::to(unique_name("kept")).ttl(11 * YEAR)),
    ];
    for queue in refused {
        let error = bed.refused(queue).await;
        assert!(error.contains("ten years"), "{error}");
        assert!(!error.contains("delete it"), "{error}");
    }
    publisher.close().await;
}

/// RabbitMQ looks again after a while.
const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) async fn a_delayed_message_is_kept_until_its_queue_is_there_and_has_room(bed: Arc<Bed>) {
    let full = [
        ("x-max-length", Value::I32(1)),
        ("x-overflow", "reject-publish".into()),
    ];
    let [gone, filled] = [bed.queue_name(), bed.queue_name()];
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    bed.declare(&filled, &full).await;
    publisher.send(&filled, "", "first").await.unwrap();
    bed.declare(&gone, &[]).await;
    for queue in [&filled, &gone] {
        bed.remove_later(&format!("{queue}_delay_3000ms"));
        let delay = Duration::from_secs(3);
        let late = publisher.to(queue).payload("late").delay(delay);
        late.send().await.unwrap();
    }
    bed.delete(&gone).await;
    for queue in [&filled, &gone] {
        let waiting = format!("{queue}_delay_3000ms");
        eventually(PATIENCE, async || bed.ready_count(&waiting).await == 0).await;
    }
    bed.declare(&gone, &[]).await;
    assert_eq!(bed.next(&filled).await.body, br#""first""#);
    for queue in [&filled, &gone] {
        let late = eventually_some(PATIENCE, async || bed.get(queue).await).await;
        assert_eq!(late.body, br#""late""#);
    }
    publisher.close().await;
}
