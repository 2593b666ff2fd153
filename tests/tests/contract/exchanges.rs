//! Exchanges, and how their messages come to queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use ploomby::extract::Key;
use ploomby::{
    App, Binding, DeadLetters, Declare, Delivery, Exchange, HandlerRegistry, KeySource, Message,
    PublishError, Publisher, Queue, Retry, Value,
};
use ploomby_tests::{Bed, DEADLINE, Handled, KEY, Seen, eventually, seen};

/// Notes what comes with which routing key.
fn noting(seen: &'static Seen) -> HandlerRegistry {
    HandlerRegistry::new().register_default(move |delivery: Delivery| async move {
        let body = String::from_utf8_lossy(delivery.body()).into_owned();
        seen.note(format!("{} {body}", delivery.routing_key()));
    })
}

async fn publisher(bed: &Bed) -> Publisher {
    Publisher::connect(bed.url()).await.unwrap()
}

/// Sends an event that somebody wants.
async fn send(publisher: &Publisher, exchange: &Exchange, key: &str) {
    let event = publisher.through(exchange, key).payload(&1);
    event.send().await.unwrap();
}

async fn notes(handled: &mut Handled, count: usize) -> Vec<String> {
    let mut notes = Vec::new();
    for _ in 0..count {
        notes.push(handled.next_note().await);
    }
    notes.sort();
    notes
}

fn by_routing_key(queue: &str) -> Queue {
    Queue::new(queue).key(KeySource::RoutingKey)
}

/// Headers, and the queues that a message with them comes to.
type Case<'a> = (&'a [(&'a str, Value)], &'a [&'a String]);

pub(crate) async fn a_queue_gets_the_messages_that_it_is_bound_for(bed: Arc<Bed>) {
    let topic = Exchange::topic(bed.exchange_name());
    let direct = Exchange::direct(bed.exchange_name());
    let fanout = Exchange::fanout(bed.exchange_name());
    let (seen, mut handled) = seen();
    let set_up = by_routing_key(&bed.queue_name())
        .bind(&topic, "order.*.placed")
        .bind(&topic, "user.#")
        .bind(&direct, "exactly.this")
        .bind(&fanout, "");
    let app = bed.start_queue(set_up, noting(seen)).await;
    let publisher = publisher(&bed).await;
    let wanted = [
        (&topic, "order.eu.placed"),
        (&topic, "user"),
        (&topic, "user.42.gone"),
        (&direct, "exactly.this"),
        (&fanout, "anything"),
    ];
    for (exchange, key) in wanted {
        send(&publisher, exchange, key).await;
        assert_eq!(handled.next_note().await, format!("{key} 1"));
    }
    let unwanted = [
        (&topic, "order.placed"),
        (&topic, "order.eu.de.placed"),
        (&topic, ""),
        (&direct, "exactly.that"),
    ];
    for (exchange, key) in unwanted {
        let event = publisher.through(exchange, key).payload(&1);
        let error = event.send().await.unwrap_err();
        assert!(matches!(error, PublishError::Unbound { .. }), "{error}");
    }
    app.shut_down().await.unwrap();
    assert!(handled.is_empty());
}

pub(crate) async fn headers_bring_a_message_to_its_queue(bed: Arc<Bed>) {
    let exchange = Exchange::headers(bed.exchange_name());
    let (all, any) = (bed.queue_name(), bed.queue_name());
    let (all_x, any_x) = (bed.queue_name(), bed.queue_name());
    let wanted = [("tenant", "acme"), ("x-kind", "invoice")];
    let bindings = [
        (&all, Binding::all_of(wanted).argument("size", 7_i16)),
        (&any, Binding::any_of(wanted)),
        (&all_x, Binding::all_of(wanted).with_x_headers()),
        (&any_x, Binding::any_of(wanted).with_x_headers()),
    ];
    let (seen, _) = seen();
    let app = App::new(bed.url()).handlers(noting(seen));
    let app = app.queue(Queue::new(bed.queue_name()).bind(&exchange, Binding::all_of([("x", 1)])));
    let running = app.start().await.unwrap();
    for (queue, binding) in bindings {
        bed.declare(queue, &[]).await;
        bed.bind(queue, &exchange, binding).await;
    }
    let publisher = publisher(&bed).await;
    let cases: [Case<'_>; 4] = [
        (
            &[("tenant", "acme".into()), ("size", 7_i64.into())],
            &[&all, &any, &any_x],
        ),
        (
            &[("tenant", "acme".into()), ("x-kind", "invoice".into())],
            &[&any, &all_x, &any_x],
        ),
        (
            &[("tenant", "other".into()), ("x-kind", "invoice".into())],
            &[&any_x],
        ),
        (&[("tenant", "other".into()), ("size", 7.into())], &[]),
    ];
    for (headers, expected) in cases {
        let mut event = publisher.through(&exchange, "ignored").payload(&1);
        for (name, value) in headers {
            event = event.header(name, value.clone());
        }
        event.allow_unroutable().send().await.unwrap();
        for queue in [&all, &any, &all_x, &any_x] {
            let is_there = bed.get(queue).await.is_some();
            assert_eq!(is_there, expected.contains(&queue), "{headers:?}");
        }
    }
    running.shut_down().await.unwrap();
}

pub(crate) async fn exchanges_lead_to_each_other(bed: Arc<Bed>) {
    let unwanted = Exchange::fanout(bed.exchange_name());
    let events = Exchange::topic(bed.exchange_name()).alternate(&unwanted);
    let audited = Exchange::fanout(bed.exchange_name()).bind(&events, "order.#");
    let (seen, mut handled) = seen();
    let leftover = Queue::new(bed.queue_name()).bind(&unwanted, "");
    let app = App::new(bed.url())
        .handlers(noting(seen))
        .queue(by_routing_key(&bed.queue_name()).bind(&audited, ""))
        // by two ways, and it comes once
        .queue(
            by_routing_key(&bed.queue_name())
                .bind(&events, "order.placed")
                .bind(&audited, ""),
        )
        .queue(leftover.key(KeySource::RoutingKey));
    let running = app.start().await.unwrap();
    let publisher = publisher(&bed).await;
    send(&publisher, &events, "order.placed").await;
    let both = notes(&mut handled, 2).await;
    assert_eq!(both, ["order.placed 1", "order.placed 1"]);
    send(&publisher, &events, "nobody.wants.it").await;
    assert_eq!(handled.next_note().await, "nobody.wants.it 1");
    running.shut_down().await.unwrap();
    assert!(handled.is_empty());
}

pub(crate) async fn an_exchange_of_another_type_is_an_error_that_names_both(bed: Arc<Bed>) {
    let name = bed.exchange_name();
    let publisher = publisher(&bed).await;
    publisher.declare(&Exchange::topic(&name)).await.unwrap();
    for declare in [Declare::Missing, Declare::All] {
        let queue = Queue::new(bed.queue_name()).declare(declare);
        let error = bed.refused(queue.bind(&Exchange::fanout(&name), "")).await;
        for part in [&*name, "a topic exchange", "as a fanout exchange"] {
            assert!(error.contains(part), "{error}");
        }
    }
    let error = publisher.declare(&Exchange::direct(&name)).await;
    let error = error.unwrap_err();
    assert!(matches!(error, PublishError::Declare(_)), "{error}");
    assert!(error.to_string().contains("a topic exchange"), "{error}");
}

pub(crate) async fn an_exchange_that_differs_otherwise_is_used_as_it_is(bed: Arc<Bed>) {
    let name = bed.exchange_name();
    let publisher = publisher(&bed).await;
    let theirs = Exchange::topic(&name).auto_delete();
    publisher.declare(&theirs).await.unwrap();
    let ours = Exchange::topic(&name);
    let queue = Queue::new(bed.queue_name()).declare(Declare::All);
    let error = bed.refused(queue.bind(&ours, "a")).await;
    assert!(error.contains("`auto_delete`"), "{error}");
    let (seen, mut handled) = seen();
    let set_up = by_routing_key(&bed.queue_name()).bind(&ours, "a");
    let app = bed.start_queue(set_up, noting(seen)).await;
    send(&publisher, &ours, "a").await;
    assert_eq!(handled.next_note().await, "a 1");
    app.shut_down().await.unwrap();
}

pub(crate) async fn an_exchange_of_others_has_to_be_there(bed: Arc<Bed>) {
    let name = bed.exchange_name();
    let theirs = Exchange::existing(&name);
    let error = bed
        .refused(Queue::new(bed.queue_name()).bind(&theirs, "a.*"))
        .await;
    for part in [&*name, "is not there"] {
        assert!(error.contains(part), "{error}");
    }
    let publisher = publisher(&bed).await;
    publisher.declare(&Exchange::topic(&name)).await.unwrap();
    let (seen, mut handled) = seen();
    let set_up = by_routing_key(&bed.queue_name())
        .bind(&theirs, "a.*")
        .bind(&Exchange::existing("amq.topic"), "*.b");
    let app = bed.start_queue(set_up, noting(seen)).await;
    send(&publisher, &theirs, "a.b").await;
    assert_eq!(handled.next_note().await, "a.b 1");
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_message_that_no_binding_takes_is_an_error_that_says_so(bed: Arc<Bed>) {
    let events = Exchange::topic(bed.exchange_name());
    let publisher = publisher(&bed).await;
    publisher.declare(&events).await.unwrap();
    let event = || publisher.through(&events, "order.placed").payload(&1);
    let error = event().send().await.unwrap_err();
    let text = error.to_string();
    let PublishError::Unbound {
        exchange,
        routing_key,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((&*exchange, &*routing_key), (events.name(), "order.placed"));
    for part in ["no binding", events.name(), "order.placed"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("there is no queue"), "{text}");
    // nobody has to want it
    event().allow_unroutable().send().await.unwrap();
    let all = publisher.send_all([event().allow_unroutable(), event()]);
    let error = all.await.unwrap_err();
    assert_eq!(error.failed().len(), 1);
    assert_eq!(error.failed()[0].0, 1);
}

pub(crate) async fn a_queue_that_was_deleted_is_bound_again(bed: Arc<Bed>) {
    let events = Exchange::topic(bed.exchange_name());
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let set_up = by_routing_key(&queue).bind(&events, "order.#");
    let app = bed.start_queue(set_up, noting(seen)).await;
    bed.delete(&queue).await;
    let publisher = publisher(&bed).await;
    eventually(DEADLINE, async || {
        let event = publisher.through(&events, "order.placed").payload(&1);
        event.send().await.is_ok()
    })
    .await;
    assert_eq!(handled.next_note().await, "order.placed 1");
    app.shut_down().await.unwrap();
}

pub(crate) async fn nothing_is_bound_if_nothing_is_to_be_declared(bed: Arc<Bed>) {
    let events = Exchange::topic(bed.exchange_name());
    let queue = bed.queue_name();
    bed.declare(&queue, &[]).await;
    let (seen, mut handled) = seen();
    let set_up = by_routing_key(&queue)
        .bind(&events, "order.#")
        .declare(Declare::Never);
    let app = bed.start_queue(set_up, noting(seen)).await;
    let publisher = publisher(&bed).await;
    publisher.declare(&events).await.unwrap();
    let event = || publisher.through(&events, "order.placed").payload(&1);
    let error = event().send().await.unwrap_err();
    assert!(matches!(error, PublishError::Unbound { .. }), "{error}");
    bed.bind(&queue, &events, "order.*").await;
    event().send().await.unwrap();
    assert_eq!(handled.next_note().await, "order.placed 1");
    app.shut_down().await.unwrap();
}

pub(crate) async fn an_app_declares_what_it_only_sends_through(bed: Arc<Bed>) {
    let events = Exchange::fanout(bed.exchange_name());
    let (seen, _) = seen();
    let app = App::new(bed.url())
        .exchange(&events)
        .handlers(noting(seen))
        .queue(Queue::new(bed.queue_name()));
    let running = app.start().await.unwrap();
    let listener = bed.queue_name();
    bed.declare(&listener, &[]).await;
    bed.bind(&listener, &events, "").await;
    let publisher = running.publisher().await.unwrap();
    send(&publisher, &events, "").await;
    assert_eq!(bed.next(&listener).await.body, b"1");
    running.shut_down().await.unwrap();
}

pub(crate) async fn what_came_through_an_exchange_is_tried_again_in_its_queue_alone(bed: Arc<Bed>) {
    let events = Exchange::fanout(bed.exchange_name());
    let (queue, other) = (bed.queue_name(), bed.queue_name());
    bed.remove_later(&format!("{queue}_retry_10ms"));
    let (seen, mut handled) = seen();
    let failed: &'static AtomicBool = Box::leak(Box::default());
    let handlers = HandlerRegistry::new().register("placed", move |Key(key): Key| async move {
        seen.note(key.clone());
        match failed.swap(true, SeqCst) {
            true => Ok(()),
            false => Err(anyhow::anyhow!("once")),
        }
    });
    let set_up = by_routing_key(&queue)
        .bind(&events, "")
        .retry(Retry::fixed(2, Duration::from_millis(10)));
    let app = bed.start_queue(set_up, handlers).await;
    bed.declare(&other, &[]).await;
    bed.bind(&other, &events, "").await;
    send(&publisher(&bed).await, &events, "placed").await;
    assert_eq!(handled.next_note().await, "placed");
    assert_eq!(handled.next_note().await, "placed");
    app.shut_down().await.unwrap();
    assert_eq!(bed.take_all(&other).await.len(), 1);
}

pub(crate) async fn the_broker_dead_letters_through_an_exchange(bed: Arc<Bed>) {
    let dead = Exchange::direct(bed.exchange_name());
    let (queue, letters) = (bed.queue_name(), bed.queue_name());
    let (seen, _) = seen();
    let handlers = HandlerRegistry::new().register("any", async || {});
    let set_up = Queue::new(&queue)
        .key(KeySource::header(KEY))
        .queue_argument("x-dead-letter-exchange", dead.name())
        .queue_argument("x-dead-letter-routing-key", "rejected")
        .dead_letters(DeadLetters::by_broker());
    let letters_too = by_routing_key(&letters).bind(&dead, "rejected");
    let app = App::new(bed.url())
        .handlers(noting(seen))
        .queue(letters_too);
    app.start().await.unwrap().shut_down().await.unwrap();
    let app = bed.start_queue(set_up, handlers).await;
    let unknown = Message::new("kept").with_header(KEY, "unknown").unwrap();
    bed.publish(&queue, unknown).await;
    let letter = bed.next(&letters).await;
    assert_eq!(letter.body, b"kept");
    app.shut_down().await.unwrap();
}
