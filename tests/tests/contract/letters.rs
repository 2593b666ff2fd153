//! What a dead letter tells: which letter it is, what failed where, and in which build.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{SystemTime, UNIX_EPOCH};

use ploomby::extract::State;
use ploomby::{App, Error, HandlerRegistry, KeySource, Message, Queue, Value};
use ploomby_tests::{Bed, KEY, Received, seen};

#[derive(Debug)]
struct Declined;

impl fmt::Display for Declined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the card has expired")
    }
}

impl std::error::Error for Declined {}

async fn declines() -> Result<(), Declined> {
    Err(Declined)
}

async fn panics() {
    panic!("seven of {}", 9);
}

async fn says() -> anyhow::Result<()> {
    Err(anyhow::anyhow!("no luck"))
}

fn app_of(bed: &Bed, queue: &str) -> App {
    let handlers = HandlerRegistry::new()
        .register("declines", declines)
        .register("panics", panics)
        .register("says", says);
    App::new(bed.url())
        .handlers(handlers)
        .queue(Queue::new(queue).key(KeySource::header(KEY)))
}

fn optional<'a>(letter: &'a Received, header: &str) -> Option<&'a str> {
    letter
        .headers
        .contains_key(header)
        .then(|| letter.text(header))
}

pub(crate) async fn a_dead_letter_says_which_it_is_and_what_failed_where(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let app = app_of(&bed, &queue).named("shop", "1.2.3");
    let app = app.start().await.unwrap();
    let here = module_path!();
    let expected = [
        (
            "declines",
            Some(format!("{here}::Declined")),
            false,
            Some("declines"),
        ),
        ("panics", None, true, Some("panics")),
        // the type of its error says nothing
        ("says", None, false, Some("says")),
        ("unknown", None, false, None),
    ];
    let mut ids = Vec::new();
    for (key, error_type, is_panic, handler) in expected {
        bed.send(&queue, key, "null").await;
        let letter = bed.dead_letter(&queue).await;
        assert_eq!(
            optional(&letter, "ploomby-error-type"),
            error_type.as_deref()
        );
        let handler = handler.map(|name| format!("{here}::{name}"));
        assert_eq!(optional(&letter, "ploomby-handler"), handler.as_deref());
        let location = optional(&letter, "ploomby-location");
        let line = location.and_then(|at| at.split_once("contract/letters.rs:"));
        assert_eq!(
            line.is_some_and(|(_, line)| line.parse::<u32>().is_ok()),
            is_panic,
            "{location:?}"
        );
        assert_eq!(letter.text("ploomby-app"), "shop/1.2.3");
        ids.push(letter.text("ploomby-dead-letter-id").to_owned());
    }
    app.shut_down().await.unwrap();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
    // UUIDs of version 7
    for id in &ids {
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'7'), "{id}");
    }
}

/// Whoever may publish may not say what failed, where, or that it was another program.
pub(crate) async fn what_a_sender_makes_up_stands_on_no_dead_letter(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let app = app_of(&bed, &queue).start().await.unwrap();
    let made_up = [
        "ploomby-dead-letter-id",
        "ploomby-error-type",
        "ploomby-handler",
        "ploomby-location",
        "ploomby-app",
        "ploomby-key",
        "ploomby-reason",
        "ploomby-error",
        "ploomby-queue",
        "ploomby-attempts",
        "ploomby-failed-at",
    ];
    let mut message = Message::new("null");
    for name in made_up {
        message = message.with_header(name, "made up").unwrap();
    }
    bed.publish_as_it_is(&queue, message).await;
    let letter = bed.dead_letter(&queue).await;
    app.shut_down().await.unwrap();
    for name in made_up {
        assert_ne!(
            letter.headers.get(name),
            Some(&Value::from("made up")),
            "{name}"
        );
    }
    // there was neither a key nor a handler, and the program has no name
    for name in [
        "ploomby-key",
        "ploomby-handler",
        "ploomby-error-type",
        "ploomby-app",
    ] {
        assert!(!letter.headers.contains_key(name), "{name}");
    }
    assert_eq!(letter.text("ploomby-reason"), "missing-key");
}

pub(crate) async fn a_message_says_when_it_was_sent_and_by_which_program(bed: Arc<Bed>) {
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis()
    };
    let (queue, other) = (bed.queue_name(), bed.queue_name());
    bed.declare(&other, &[]).await;
    let app = app_of(&bed, &queue)
        .named("shop", "2.0.0")
        .start()
        .await
        .unwrap();
    let publisher = app.publisher().await.unwrap();
    let before = now();
    publisher.send(&other, "x", "y").await.unwrap();
    let after = now();
    let message = bed.next(&other).await;
    let Value::I64(sent_at) = message.headers["ploomby-sent-at"] else {
        panic!("{:?}", message.headers);
    };
    let sent_at = u128::try_from(sent_at).unwrap();
    assert!(
        (before..=after).contains(&sent_at),
        "{before} {sent_at} {after}"
    );
    assert_eq!(message.text("ploomby-app"), "shop/2.0.0");

    // what is sent on says anew when, and what goes verbatim says nothing of its own
    let old = Message::new("y").with_header("ploomby-sent-at", 1).unwrap();
    publisher.publish(&other, old.clone()).await.unwrap();
    assert_ne!(
        bed.next(&other).await.headers["ploomby-sent-at"],
        Value::I32(1)
    );
    publisher
        .to(&other)
        .message(old.clone())
        .verbatim(old)
        .send()
        .await
        .unwrap();
    let verbatim = bed.next(&other).await;
    assert_eq!(
        verbatim.headers.into_iter().collect::<Vec<_>>(),
        [("ploomby-sent-at".to_owned(), Value::I32(1))]
    );
    app.shut_down().await.unwrap();
}

pub(crate) async fn state_is_made_once_when_the_program_starts(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = || {
        HandlerRegistry::new().register("count", move |State(count): State<usize>| async move {
            seen.note(count.to_string());
        })
    };
    let app = || {
        App::new(bed.url())
            .handlers(handlers())
            .queue(Queue::new(&queue).key(KeySource::header(KEY)))
    };
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let lazy = app().state_with(async move || Ok::<_, Error>(count.fetch_add(1, SeqCst) + 7));
    assert_eq!(made.load(SeqCst), 0);
    let running = lazy.start().await.unwrap();
    for _ in 0..2 {
        bed.send(&queue, "count", "null").await;
    }
    assert_eq!(handled.next_note().await, "7");
    assert_eq!(handled.next_note().await, "7");
    running.shut_down().await.unwrap();

    let failing = app().state_with(async || Err::<usize, _>("the database is down"));
    let error = failing.start().await.unwrap_err();
    assert!(matches!(&error, Error::State(_)), "{error}");
    assert!(
        error.to_string().contains("the database is down"),
        "{error}"
    );
}
