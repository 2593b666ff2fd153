//! Handlers of all keys that fit a pattern.

use std::sync::Arc;

use ploomby::extract::{Key, Words};
use ploomby::{
    App, Exchange, HandlerOptions, HandlerRegistry, KeySource, Message, PublishError, Publisher,
    Queue, handler,
};
use ploomby_tests::{Bed, KEY, seen};

const CHANGED: &str = "patterned.#.changed";

#[handler(pattern = "patterned.*.created", pattern = CHANGED)]
async fn patterned(Words(words): Words, publisher: Publisher, Key(key): Key) -> anyhow::Result<()> {
    let (queue, _) = key.rsplit_once('.').unwrap();
    let queue = queue.replace("patterned.", "");
    publisher
        .send(&format!("{queue}_seen"), "seen", &words)
        .await?;
    Ok(())
}

pub(crate) async fn a_pattern_takes_the_keys_that_fit(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let seen = format!("{queue}_seen");
    bed.declare(&seen, &[]).await;
    bed.remove_later(&seen);
    let app = bed.start(&queue, HandlerRegistry::linked()).await;
    for key in [
        format!("patterned.{queue}.created"),
        format!("patterned.{queue}.changed"),
    ] {
        bed.send(&queue, &key, "").await;
        let note = bed.next(&seen).await;
        assert_eq!(note.body, format!("[\"{queue}\"]").as_bytes());
    }
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_key_goes_to_its_handler_then_to_the_narrowest_pattern(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let note = move |name: &'static str| {
        move |Words(words): Words| async move { seen.note(format!("{name} {}", words.join(" "))) }
    };
    let of_queue = HandlerOptions::new().queue(queue.as_str());
    let handlers = HandlerRegistry::new()
        .register("order.eu.created", note("exact"))
        .register_pattern("order.*.created", note("created"))
        .register_pattern("order.#", note("order"))
        .register_pattern("#", note("all"))
        .register_pattern_with("bill.#", of_queue, note("own"))
        .register_pattern("bill.*.paid", note("never"))
        .register_default(note("default"));
    let app = bed.start(&queue, handlers).await;
    for (key, noted) in [
        ("order.eu.created", "exact "),
        ("order.us.created", "created us"),
        ("order.us.deleted", "order us.deleted"),
        ("order", "order "),
        ("order.us.x.created", "order us.x.created"),
        ("stock.low", "all stock.low"),
        // of the queue alone, though another one spells out more
        ("bill.7.paid", "own 7.paid"),
    ] {
        bed.send(&queue, key, "").await;
        assert_eq!(handled.next_note().await, noted, "{key}");
    }
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_routing_key_fits_the_pattern_that_binds_its_queue(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let events = Exchange::topic(bed.exchange_name());
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new()
        .register_pattern("order.*.created", move |Words(words): Words| async move {
            seen.note(words.join(" "))
        });
    let set_up = Queue::new(&queue)
        .key(KeySource::RoutingKey)
        .bind(&events, "order.*.created");
    let app = bed.start_queue(set_up, handlers).await;
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    let sending = publisher.through(&events, "order.eu.created").payload(&());
    sending.send().await.unwrap();
    assert_eq!(handled.next_note().await, "eu");
    app.shut_down().await.unwrap();
}

pub(crate) async fn patterns_that_tie_are_an_error_at_the_start(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let handlers = HandlerRegistry::new()
        .register_pattern("order.*.created", async || {})
        .register_pattern("order.eu.*", async || {})
        .register("order.#", async || {});
    let set_up = Queue::new(&queue).key(KeySource::header(KEY));
    let started = App::new(bed.url())
        .queue(set_up)
        .handlers(handlers)
        .start()
        .await;
    let error = started.unwrap_err().to_string();
    assert!(
        error.contains("of which none goes before the other"),
        "{error}"
    );
    assert!(error.contains("\"order.#\""), "{error}");
    assert_eq!(error.matches("contract/patterns.rs:").count(), 3, "{error}");
}

pub(crate) async fn a_pattern_is_no_address(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    let refused = publisher.send_to(&queue, patterned, &()).await;
    let Err(PublishError::Invalid(error)) = refused else {
        panic!("{refused:?}");
    };
    let error = error.to_string();
    assert!(error.contains("a pattern and no key of its own"), "{error}");
    assert!(error.contains("`patterned.*.created`"), "{error}");
}

pub(crate) async fn a_program_tells_of_its_patterns(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let app = App::new(bed.url()).queue(Queue::new(&queue).key(KeySource::header(KEY)));
    let handlers = HandlerRegistry::new().register_pattern("order.*", async || {});
    let app = app.handlers(handlers);
    let program = app.program();
    let [handler] = &program.handlers[..] else {
        panic!("{:?}", program.handlers);
    };
    assert_eq!(handler.patterns, ["order.*"]);
    assert!(handler.takes("order.eu") && !handler.takes("order.eu.created"));
    let contract = program.contract();
    let message = &contract.as_json()["channels"][&*queue]["messages"]["order.*"];
    assert_eq!(message["x-ploomby"]["pattern"], "order.*");
    let key = &message["headers"]["properties"][KEY];
    assert_eq!(key["pattern"], r"^order\.[^.]*$");
    let fit = app.ops().unwrap();
    let message = |key: &str| Message::new("").with_header(KEY, key).unwrap();
    assert_eq!(
        fit.fits_message(&queue, &message("order.eu")),
        ploomby::ops::Fit::Fits
    );
    assert_ne!(
        fit.fits_message(&queue, &message("order")),
        ploomby::ops::Fit::Fits
    );
}
