use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{self, Poll};
use std::time::Duration;

use anyhow::anyhow;
use ploomby::extract::{Extension, Rejection};
use ploomby::{
    Answer, App, Delivery, Error, HandlerError, HandlerLayer, HandlerOptions, HandlerRegistry,
    HandlerService, KeySource, Message, Outcome, Permanent, Queue, Reason, Retry, RunError, Value,
};
use ploomby_tests::{Bed, DEADLINE, KEY, Seen, eventually, seen};
use tokio::sync::Semaphore;
use tower::layer::layer_fn;
use tower::limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer, RateLimitLayer};
use tower::timeout::TimeoutLayer;
use tower::util::{BoxCloneService, MapRequestLayer, MapResultLayer};
use tower::{BoxError, Service, ServiceBuilder, service_fn};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn queue_of(name: &str) -> Queue {
    Queue::new(name).key(KeySource::header(KEY))
}

fn layer(layer: impl HandlerLayer) -> HandlerOptions {
    HandlerOptions::new().layer(layer)
}

/// A layer that notes each message.
fn noting(seen: &'static Seen, text: &'static str) -> impl HandlerLayer {
    MapRequestLayer::new(move |delivery: Delivery| {
        seen.note(text);
        delivery
    })
}

/// A layer that notes with which reason its messages fail.
fn noting_failures(seen: &'static Seen) -> impl HandlerLayer {
    MapResultLayer::new(move |result: Result<Answer, HandlerError>| {
        if let Err(error) = &result {
            seen.note(format!("{}: {error}", error.reason()));
        }
        result
    })
}

/// A layer that does something else than its service.
fn instead<F, Fut>(answer: F) -> impl HandlerLayer
where
    F: Fn(Delivery) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, BoxError>> + Send + 'static,
{
    layer_fn(move |_: HandlerService| service_fn(answer.clone()))
}

pub(crate) async fn layers_of_the_app_are_outside_and_those_of_the_handler_inside(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let options = layer(noting(seen, "handler")).layer(noting(seen, "handler, later"));
    let handlers = HandlerRegistry::new()
        .register_with("work", options, move || async move { seen.note("handled") });
    let app = App::new(bed.url())
        .handlers(handlers)
        .layer(noting(seen, "app"))
        .layer(noting(seen, "app, later"))
        .queue(
            queue_of(&queue)
                .layer(noting(seen, "queue"))
                .layer(noting(seen, "queue, later")),
        )
        .start()
        .await
        .unwrap();
    bed.send(&queue, "work", "").await;
    for note in [
        "app, later",
        "app",
        "queue, later",
        "queue",
        "handler, later",
        "handler",
        "handled",
    ] {
        assert_eq!(handled.next_note().await, note);
    }
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn a_layer_of_a_queue_or_a_handler_is_around_no_other(bed: Arc<Bed>) {
    let queues = [bed.queue_name(), bed.queue_name()];
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new()
        .register_with("one", layer(noting(seen, "of one")), move || async move {
            seen.note("one")
        })
        .register("other", move || async move { seen.note("other") });
    let app = App::new(bed.url())
        .handlers(handlers)
        .queue(queue_of(&queues[0]).layer(noting(seen, "of the queue")))
        .queue(queue_of(&queues[1]))
        .start()
        .await
        .unwrap();
    for (queue, key, notes) in [
        (0, "one", &["of the queue", "of one", "one"][..]),
        (0, "other", &["of the queue", "other"]),
        (1, "one", &["of one", "one"]),
        (1, "other", &["other"]),
    ] {
        bed.send(&queues[queue], key, "").await;
        for note in notes {
            assert_eq!(handled.next_note().await, *note);
        }
    }
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_layer_leaves_what_handlers_take(bed: Arc<Bed>) {
    #[derive(Clone)]
    struct Tenant(String);

    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register(
        "work",
        move |Extension(tenant): Extension<Tenant>, number: u32| async move {
            seen.note(format!("{} {number}", tenant.0));
        },
    );
    let tenant = MapRequestLayer::new(|mut delivery: Delivery| {
        let tenant = delivery.headers().text("tenant").unwrap().to_owned();
        delivery.extensions_mut().insert(Tenant(tenant));
        delivery
    });
    let app = bed
        .start_queue(queue_of(&queue).layer(tenant), handlers)
        .await;
    for name in ["Ada", "Grace"] {
        let message = Message::new("7").with_header(KEY, "work").unwrap();
        let message = message.with_header("tenant", name).unwrap();
        bed.publish(&queue, message).await;
        assert_eq!(handled.next_note().await, format!("{name} 7"));
    }
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_layer_sees_why_a_message_fails_and_changes_nothing_about_it(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new()
        .register("number", |_: u32| async {})
        .register("error", || async {
            Err::<(), _>(anyhow!("no route").context("no database"))
        })
        .register("rejection", || async {
            Err::<(), _>(Rejection::dead_letter("no tenant"))
        })
        .register("panic", || async {
            tokio::task::yield_now().await;
            assert!(Reason::from_name("luck").is_some(), "no luck");
        });
    let set_up = queue_of(&queue)
        .layer(noting_failures(seen))
        .layer(TimeoutLayer::new(HOUR));
    let app = bed.start_queue(set_up, handlers).await;
    for (key, reason, error, attempts) in [
        ("error", Reason::HandlerError, "no database: no route", 1),
        ("rejection", Reason::HandlerError, "no tenant", 1),
        ("panic", Reason::Panic, "no luck", 1),
        ("number", Reason::Undecodable, "expected u32", 0),
    ] {
        bed.send(&queue, key, r#""secret""#).await;
        let dead_letter = bed.dead_letter(&queue).await;
        assert_eq!(dead_letter.text("ploomby-reason"), reason.as_str());
        let text = dead_letter.text("ploomby-error");
        assert!(text.contains(error), "{text}");
        assert_eq!(
            dead_letter.headers["ploomby-attempts"],
            Value::I64(attempts)
        );
        let note = handled.next_note().await;
        assert!(note.starts_with(reason.as_str()), "{note}");
        // what a decoder quotes is for the dead-letter queue alone
        assert!(!note.contains("secret"), "{note}");
    }
    // no handler, no layer
    bed.send(&queue, "nobody", "").await;
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(
        dead_letter.text("ploomby-reason"),
        Reason::UnknownKey.as_str()
    );
    app.shut_down().await.unwrap();
    assert!(handled.is_empty());
}

pub(crate) async fn a_failure_is_tried_again_as_without_a_layer(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.remove_later(&format!("{queue}_retry_50ms"));
    let (seen, mut handled) = seen();
    let retry = Retry::fixed(3, Duration::from_millis(50))
        .retry_if(|error| error.is::<std::io::Error>() || error.is::<Permanent>());
    let handlers = HandlerRegistry::new()
        .register("io", || async {
            Err::<(), _>(std::io::Error::other("no route"))
        })
        .register("other", || async { Err::<(), _>(anyhow!("no luck")) })
        .register("permanent", || async {
            Err::<(), _>(Permanent::new(anyhow!("never")))
        });
    let set_up = queue_of(&queue).retry(retry).layer(noting_failures(seen));
    let app = bed.start_queue(set_up, handlers).await;
    for (key, attempts) in [("io", 3), ("other", 1), ("permanent", 1)] {
        bed.send(&queue, key, "").await;
        let dead_letter = bed.dead_letter(&queue).await;
        assert_eq!(
            dead_letter.headers["ploomby-attempts"],
            Value::I64(attempts)
        );
        for _ in 0..attempts {
            handled.next_note().await;
        }
        assert!(handled.is_empty(), "{key}");
    }
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_timeout_of_towers_counts_as_a_timeout(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.remove_later(&format!("{queue}_retry_50ms"));
    let (seen, mut handled) = seen();
    let timeout = || TimeoutLayer::new(Duration::from_millis(100));
    let handlers = HandlerRegistry::new().register_with(
        "never",
        layer(timeout()).retry(Retry::fixed(2, Duration::from_millis(50))),
        move || async move {
            seen.note("begun");
            std::future::pending::<()>().await;
        },
    );
    let app = bed.start(&queue, handlers).await;
    bed.send(&queue, "never", "").await;
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(dead_letter.text("ploomby-reason"), Reason::Timeout.as_str());
    assert_eq!(dead_letter.headers["ploomby-attempts"], Value::I64(2));
    for _ in 0..2 {
        assert_eq!(handled.next_note().await, "begun");
    }
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn a_rate_limit_of_one_handler_does_not_hold_up_others(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let limit = RateLimitLayer::new(2, Duration::from_millis(500));
    let handlers = HandlerRegistry::new()
        .register_with(
            "slow",
            layer(limit),
            move || async move { seen.note("slow") },
        )
        .register("fast", move || async move { seen.note("fast") });
    let app = bed.start(&queue, handlers).await;
    let begin = tokio::time::Instant::now();
    for _ in 0..3 {
        bed.send(&queue, "slow", "").await;
    }
    bed.send(&queue, "fast", "").await;
    let mut notes = Vec::new();
    for _ in 0..4 {
        notes.push(handled.next_note().await);
    }
    assert!(begin.elapsed() >= Duration::from_millis(450));
    assert_eq!(notes.last().unwrap(), "slow", "{notes:?}");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

/// How many handlers run, and how many ran at the same time at most.
#[derive(Default)]
struct Runs {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Runs {
    fn leaked() -> &'static Self {
        Box::leak(Box::default())
    }

    async fn run(&self, seen: &Seen) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        seen.note("done");
    }
}

/// Sends ten messages to each of two handlers of each of two queues, and says how many ran at the
/// same time at most.
async fn most(bed: &Bed, options: HandlerOptions, set_up: fn(Queue) -> Queue, app: App) -> usize {
    let queues = [bed.queue_name(), bed.queue_name()];
    let (seen, mut handled) = seen();
    let runs = Runs::leaked();
    let handlers = HandlerRegistry::new()
        .register_with("one", options, move || runs.run(seen))
        .register("other", move || runs.run(seen));
    let mut app = app.handlers(handlers);
    for queue in &queues {
        app = app.queue(set_up(queue_of(queue)));
    }
    let app = app.start().await.unwrap();
    for _ in 0..10 {
        for queue in &queues {
            bed.send(queue, "one", "").await;
            bed.send(queue, "other", "").await;
        }
    }
    for _ in 0..40 {
        handled.next_note().await;
    }
    app.shut_down().await.unwrap();
    for queue in &queues {
        assert!(bed.is_empty(queue).await);
    }
    runs.most.load(Ordering::SeqCst)
}

pub(crate) async fn a_limit_counts_for_a_handler_a_queue_or_all_that_share_it(bed: Arc<Bed>) {
    let app = || App::new(bed.url());
    let none = HandlerOptions::new;
    let limited = |queue: Queue| queue.layer(ConcurrencyLimitLayer::new(2));
    // the handler is limited in each queue, the queue for all its handlers, and the app for each queue
    let of_queue = most(&bed, none(), limited, app()).await;
    assert!((3..=4).contains(&of_queue), "{of_queue}");
    let of_app = app().layer(ConcurrencyLimitLayer::new(2));
    let of_app = most(&bed, none(), |queue| queue, of_app).await;
    assert!((3..=4).contains(&of_app), "{of_app}");
    let shared = app().layer(GlobalConcurrencyLimitLayer::new(2));
    assert_eq!(most(&bed, none(), |queue| queue, shared).await, 2);
    let of_handler = layer(ConcurrencyLimitLayer::new(1));
    let most_of_all = most(&bed, of_handler, |queue| queue, app()).await;
    assert!(most_of_all > 4, "{most_of_all}: the other is not limited");
}

pub(crate) async fn a_limit_of_one_handler_is_kept(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let runs = Runs::leaked();
    let options = layer(ConcurrencyLimitLayer::new(2));
    let handlers = HandlerRegistry::new().register_with("work", options, move || runs.run(seen));
    let app = bed.start(&queue, handlers).await;
    for _ in 0..10 {
        bed.send(&queue, "work", "").await;
    }
    for _ in 0..10 {
        assert_eq!(handled.next_note().await, "done");
    }
    assert_eq!(runs.most.load(Ordering::SeqCst), 2);
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn what_exceeds_a_limit_can_be_shed_and_tried_again(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    bed.remove_later(&format!("{queue}_retry_50ms"));
    let (seen, mut handled) = seen();
    let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let shed = ServiceBuilder::new()
        .load_shed()
        .layer(ConcurrencyLimitLayer::new(1))
        .into_inner();
    let handlers =
        HandlerRegistry::new().register_with("work", layer(shed), move |number: u32| async move {
            seen.note(format!("begun {number}"));
            gate.acquire().await.unwrap().forget();
            seen.note(format!("done {number}"));
        });
    let app = bed.start(&queue, handlers).await;
    bed.send(&queue, "work", "1").await;
    assert_eq!(handled.next_note().await, "begun 1");
    bed.send(&queue, "work", "2").await;
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(dead_letter.body, b"2");
    assert_eq!(
        dead_letter.text("ploomby-reason"),
        Reason::HandlerError.as_str()
    );
    assert_eq!(dead_letter.text("ploomby-error"), "service overloaded");
    gate.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(handled.next_note().await, "done 1");
    // its place is free a moment after it has said so, and what comes before that is shed
    eventually(DEADLINE, async || {
        bed.send(&queue, "work", "3").await;
        handled.now().is_some_and(|note| note == "begun 3")
    })
    .await;
    assert_eq!(handled.next_note().await, "done 3");
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_layer_that_answers_by_itself_decides(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, handled) = seen();
    let answer = |outcome: Outcome| instead(move |_| ready(Ok(outcome.into())));
    let handlers = HandlerRegistry::new()
        .register_with(
            "discard",
            layer(answer(Outcome::Discard)),
            move || async move { seen.note("not to be") },
        )
        .register_with(
            "dead-letter",
            layer(answer(Outcome::DeadLetter)),
            move || async move { seen.note("not to be") },
        );
    let app = bed.start(&queue, handlers).await;
    bed.send(&queue, "discard", "1").await;
    bed.send(&queue, "dead-letter", "2").await;
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(dead_letter.body, b"2");
    assert_eq!(
        dead_letter.text("ploomby-reason"),
        Reason::Rejected.as_str()
    );
    app.shut_down().await.unwrap();
    assert!(handled.is_empty());
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn a_layer_that_fails_is_a_failed_message(bed: Arc<Bed>) {
    #[derive(Debug)]
    struct Outer(BoxError);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("no database")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&*self.0)
        }
    }

    /// A layer whose service is never ready, or panics when asked.
    #[derive(Clone)]
    struct Unready {
        panics: bool,
    }
    impl Service<Delivery> for Unready {
        type Response = Answer;
        type Error = BoxError;
        type Future = Ready<Result<Answer, BoxError>>;

        fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), BoxError>> {
            assert!(!self.panics, "not ready");
            Poll::Ready(Err("cannot become ready".into()))
        }

        fn call(&mut self, _: Delivery) -> Self::Future {
            ready(Ok(Outcome::Ack.into()))
        }
    }

    let queue = bed.queue_name();
    let (error, panic) = (Reason::HandlerError, Reason::Panic);
    let unready = |panics| layer(layer_fn(move |_: HandlerService| Unready { panics }));
    let failing = [
        (
            "text",
            layer(instead(|_| ready(Err("no luck".into())))),
            (error, "no luck"),
        ),
        (
            "chain",
            layer(instead(|_| ready(Err(Outer("no route".into()).into())))),
            (error, "no database: no route"),
        ),
        (
            "rejection",
            layer(instead(|_| {
                ready(Err(Outer(Rejection::dead_letter("no tenant").into()).into()))
            })),
            (error, "no database: no tenant"),
        ),
        (
            "sync panic",
            layer(instead(|_| -> Ready<_> { panic!("in call") })),
            (panic, "in call"),
        ),
        (
            "async panic",
            layer(instead(|_| async {
                tokio::task::yield_now().await;
                panic!("in the future")
            })),
            (panic, "in the future"),
        ),
        ("unready", unready(false), (error, "cannot become ready")),
        ("unready panic", unready(true), (panic, "not ready")),
    ];
    let mut handlers = HandlerRegistry::new();
    let mut expected = Vec::new();
    for (key, options, fails) in failing {
        handlers = handlers.register_with(key, options, async || {});
        expected.push((key, fails));
    }
    for set_up in [
        queue_of(&queue),
        queue_of(&queue).layer(TimeoutLayer::new(HOUR)),
    ] {
        let app = bed.start_queue(set_up, handlers.clone()).await;
        for (key, (reason, error)) in &expected {
            // each twice: a panic leaves nothing behind that others wait for
            for _ in 0..2 {
                bed.send(&queue, key, "").await;
                let dead_letter = bed.dead_letter(&queue).await;
                assert_eq!(dead_letter.text("ploomby-reason"), reason.as_str(), "{key}");
                assert_eq!(dead_letter.text("ploomby-error"), *error, "{key}");
                assert_eq!(dead_letter.text("ploomby-key"), *key);
            }
        }
        app.shut_down().await.unwrap();
        assert!(bed.is_empty(&queue).await);
    }
}

pub(crate) async fn a_layer_calls_its_service_again(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let twice = layer_fn(|service: HandlerService| {
        let service = BoxCloneService::new(service);
        service_fn(move |delivery: Delivery| {
            let mut service = service.clone();
            async move {
                match service.call(delivery.clone()).await {
                    Ok(answer) => Ok(answer),
                    Err(_) => service.call(delivery).await,
                }
            }
        })
    });
    let handlers = HandlerRegistry::new().register("work", move || async move {
        seen.note("called");
        Err::<(), _>(anyhow!("no luck"))
    });
    let app = bed
        .start_queue(queue_of(&queue).layer(twice), handlers)
        .await;
    bed.send(&queue, "work", "").await;
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(dead_letter.text("ploomby-error"), "no luck");
    for _ in 0..2 {
        assert_eq!(handled.next_note().await, "called");
    }
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_delivery_that_a_layer_made_is_not_lost(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let other =
        MapRequestLayer::new(|delivery: Delivery| Delivery::new(delivery.message().clone()));
    let handlers = HandlerRegistry::new().register("work", async || {});
    let app = bed
        .start_queue(queue_of(&queue).layer(other), handlers)
        .await;
    bed.send(&queue, "work", "1").await;
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(dead_letter.body, b"1");
    let error = dead_letter.text("ploomby-error");
    assert!(error.contains("pass on the one it was given"), "{error}");
    app.shut_down().await.unwrap();
}

pub(crate) async fn the_timeout_of_a_handler_includes_the_wait_for_its_layers(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let options = layer(RateLimitLayer::new(1, HOUR)).timeout(Duration::from_millis(100));
    let handlers = HandlerRegistry::new()
        .register_with("work", options, move || async move { seen.note("handled") });
    let app = bed.start(&queue, handlers).await;
    bed.send(&queue, "work", "1").await;
    assert_eq!(handled.next_note().await, "handled");
    bed.send(&queue, "work", "2").await;
    let dead_letter = bed.dead_letter(&queue).await;
    assert_eq!(dead_letter.text("ploomby-reason"), Reason::Timeout.as_str());
    app.shut_down().await.unwrap();
    assert!(handled.is_empty());
}

pub(crate) async fn what_waits_for_a_layer_goes_back_at_shutdown(bed: Arc<Bed>) {
    type SetUp = (HandlerOptions, fn(Queue) -> Queue);
    let none = HandlerOptions::new;
    let set_ups: [SetUp; 4] = [
        (layer(RateLimitLayer::new(1, HOUR)), |queue| queue),
        (layer(ConcurrencyLimitLayer::new(1)), |queue| queue),
        (none(), |queue| queue.layer(RateLimitLayer::new(1, HOUR))),
        // a layer around the one that is waited for
        (layer(RateLimitLayer::new(1, HOUR)), |queue| {
            queue.layer(TimeoutLayer::new(HOUR))
        }),
    ];
    for (of_handler, of_queue) in set_ups {
        one_of_three_begins(&bed, of_handler, of_queue).await;
    }
}

/// Shuts an app down of which a layer lets only the first message get to its handler.
async fn one_of_three_begins(bed: &Bed, of_handler: HandlerOptions, of_queue: fn(Queue) -> Queue) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let handlers =
        HandlerRegistry::new().register_with("work", of_handler, move |number: u32| async move {
            seen.note(format!("begun {number}"));
            gate.acquire().await.unwrap().forget();
            seen.note(format!("done {number}"));
        });
    let outside = MapResultLayer::new(move |result: Result<Answer, HandlerError>| {
        seen.note(format!("{:?}", result.as_ref().unwrap().outcome()));
        result
    });
    let app = App::new(bed.url())
        .handlers(handlers)
        .queue(of_queue(queue_of(&queue)))
        // inside, so that what is in passes the one outside on its way back
        .layer(noting(seen, "in"))
        .layer(outside)
        .start()
        .await
        .unwrap();
    for number in 0..3 {
        bed.send(&queue, "work", number.to_string()).await;
    }
    for note in ["in", "begun 0", "in", "in"] {
        assert_eq!(handled.next_note().await, note);
    }
    let shut_down = tokio::spawn(app.shut_down());
    // they go back while the first is still at work
    for _ in 0..2 {
        assert_eq!(handled.next_note().await, "Requeue");
    }
    gate.add_permits(3);
    assert_eq!(handled.next_note().await, "done 0");
    assert_eq!(handled.next_note().await, "Ack");
    shut_down.await.unwrap().unwrap();
    assert!(handled.is_empty(), "nothing else began");
    for number in ["1", "2"] {
        assert_eq!(bed.get(&queue).await.unwrap().body, number.as_bytes());
    }
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn a_layer_past_the_deadline_of_the_shutdown_is_cut_off_and_named(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let waits = instead(move |_| {
        seen.note("begun");
        std::future::pending()
    });
    let handlers = HandlerRegistry::new().register_with("work", layer(waits), async || {});
    let app = App::new(bed.url())
        .handlers(handlers)
        .queue(queue_of(&queue))
        .shutdown_deadline(Duration::from_millis(100))
        .start()
        .await
        .unwrap();
    bed.send(&queue, "work", "1").await;
    assert_eq!(handled.next_note().await, "begun");
    match app.shut_down().await {
        Err(Error::Run(RunError::DeadlineExceeded { handlers, .. })) => {
            assert_eq!(handlers.len(), 1);
            assert!(handlers[0].handler.contains("layers"), "{handlers:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bed.get(&queue).await.unwrap().body, b"1");
}
