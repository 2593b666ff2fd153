use std::sync::Arc;

use ploomby::{App, Declare, HandlerRegistry, KeySource, Queue};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually, seen};

fn greeting(seen: &'static ploomby_tests::Seen) -> HandlerRegistry {
    HandlerRegistry::new().register("greet", move |name: String| async move {
        seen.note(name);
    })
}

pub(crate) async fn a_queue_that_exists_is_used_as_it_is(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.declare(&queue, &[("x-max-length", 1000_i32.into())])
        .await;
    let (seen, mut handled) = seen();
    let app = bed.start(&queue, greeting(seen)).await;
    bed.send(&queue, "greet", r#""Ada""#).await;
    assert_eq!(handled.next_note().await, "Ada");
    app.shut_down().await.unwrap();
    // and it is there still, with its arguments
    bed.declare(&queue, &[("x-max-length", 1000_i32.into())])
        .await;
}

pub(crate) async fn a_dead_letter_queue_with_other_arguments_is_an_error(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let dead_letters = format!("{queue}_dlq");
    bed.declare(&dead_letters, &[("x-message-ttl", 86_400_i32.into())])
        .await;
    let (seen, _) = seen();
    let error = App::new(bed.url())
        .handlers(greeting(seen))
        .queue(Queue::new(&queue))
        .start()
        .await
        .expect_err("it might drop what it is given")
        .to_string();
    for part in [
        dead_letters.as_str(),
        "x-message-ttl",
        "delete it",
        "dead_letter_queue",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

pub(crate) async fn a_name_of_255_bytes_works_and_one_more_is_an_error(bed: Arc<Bed>) {
    let dead_letters = bed.queue_name();
    let mut name = bed.queue_name();
    while name.len() < 255 {
        name.push('x');
    }
    bed.remove_later(&name);
    let (seen, mut handled) = seen();
    let set_up = |name: &str| {
        Queue::new(name)
            .key(KeySource::header(KEY))
            .dead_letter_queue(&dead_letters)
    };
    let app = bed.start_queue(set_up(&name), greeting(seen)).await;
    bed.send(&name, "greet", r#""Ada""#).await;
    assert_eq!(handled.next_note().await, "Ada");
    app.shut_down().await.unwrap();

    name.push('x');
    let error = App::new(bed.url())
        .handlers(greeting(seen))
        .queue(set_up(&name))
        .start()
        .await
        .expect_err("AMQP cannot carry it");
    assert!(error.to_string().contains("255"), "{error}");
}

pub(crate) async fn a_deleted_queue_is_declared_and_consumed_again(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let app = bed.start(&queue, greeting(seen)).await;
    bed.send(&queue, "greet", r#""Ada""#).await;
    assert_eq!(handled.next_note().await, "Ada");
    bed.delete(&queue).await;
    bed.until_exists(&queue).await;
    bed.send(&queue, "greet", r#""Grace""#).await;
    assert_eq!(handled.next_note().await, "Grace");
    app.shut_down().await.unwrap();
}

pub(crate) async fn another_dead_letter_queue_can_be_named(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let parked = bed.queue_name();
    let (seen, _) = seen();
    let set_up = Queue::new(&queue)
        .key(KeySource::header(KEY))
        .dead_letter_queue(&parked);
    let app = bed.start_queue(set_up, greeting(seen)).await;
    bed.send(&queue, "greet", "42").await;
    eventually(DEADLINE, async || !bed.is_empty(&parked).await).await;
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_missing_queue_is_waited_for_if_nothing_is_to_be_declared(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let set_up = Queue::new(&queue)
        .key(KeySource::header(KEY))
        .declare(Declare::Never);
    let app = bed.start_queue(set_up, greeting(seen)).await;
    assert!(!app.health().is_healthy());
    assert!(app.health().to_string().contains("waiting for it"));
    bed.declare(&queue, &[]).await;
    eventually(DEADLINE, async || app.health().is_healthy()).await;
    bed.send(&queue, "greet", r#""Ada""#).await;
    assert_eq!(handled.next_note().await, "Ada");
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_queue_is_declared_as_the_kind_that_the_program_says(bed: Arc<Bed>) {
    let (quorum, classic) = (bed.queue_name(), bed.queue_name());
    let handlers = HandlerRegistry::new().register("any", async || {});
    let app = App::new(bed.url())
        .handlers(handlers)
        .queue(Queue::new(&quorum).classic().quorum().declare(Declare::All))
        .queue(Queue::new(&classic).quorum().classic());
    app.start().await.unwrap().shut_down().await.unwrap();
    // another kind is told; RabbitMQ may name what comes with it
    let error = bed
        .refused(Queue::new(&quorum).classic().declare(Declare::All))
        .await;
    assert!(error.contains("inequivalent arg"), "{error}");
}

pub(crate) async fn a_queue_that_is_to_be_a_stream_is_refused_with_the_reason(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let stream = Queue::new(&queue).queue_argument("x-queue-type", "stream");
    let error = bed.refused(stream).await;
    for part in [&*queue, "is to be a stream", "quorum queue"] {
        assert!(error.contains(part), "{error}");
    }
}
