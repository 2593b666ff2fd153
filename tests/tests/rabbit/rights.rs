//! What a user may not do, and what a broker does not do, is told as what it is.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ploomby::{
    App, Declare, Exchange, HandlerOptions, HandlerRegistry, KeySource, Publisher, Queue, Rate,
    Retry, Value,
};
use ploomby_tests::{Bed, KEY, rabbit, seen, unique_name};

/// `rabbitmqctl`, which succeeds.
async fn ctl(arguments: &[&str]) {
    let mut rabbitmqctl = rabbit().await.rabbitmqctl().expect("a broker of ours");
    let output = rabbitmqctl.args(arguments).output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// The URL of a user of the test's own, with the rights `configure`, `write` and `read` for these names.
pub(crate) async fn user(rights: [&str; 3]) -> String {
    let user = unique_name("user");
    ctl(&["add_user", &user, "secret"]).await;
    let [configure, write, read] = rights;
    ctl(&["set_permissions", &user, configure, write, read]).await;
    let (host, port) = (rabbit().await.host(), rabbit().await.port());
    format!("amqp://{user}:secret@{host}:{port}")
}

async fn refused(url: &str, queue: Queue) -> String {
    let handlers = HandlerRegistry::new().register("any", async || {});
    let app = App::new(url).handlers(handlers).queue(queue);
    app.start().await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_configure_starts_if_all_queues_are_there() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let url = user(["", ".*", ".*"]).await;
            let queue = bed.queue_name();
            let missing = refused(&url, Queue::new(&queue)).await;
            for part in ["it is not there", "`configure`", "ACCESS_REFUSED"] {
                assert!(missing.contains(part), "{missing}");
            }
            assert!(!missing.contains("move its messages"), "{missing}");

            bed.declare(&queue, &[]).await;
            let missing = refused(&url, Queue::new(&queue)).await;
            let dead_letters = format!("{queue}_dlq");
            for part in [dead_letters.as_str(), "it is not there", "`configure`"] {
                assert!(missing.contains(part), "{missing}");
            }
            assert!(!missing.contains("move its messages"), "{missing}");

            bed.declare(&dead_letters, &[]).await;
            let (seen, mut handled) = seen();
            let handlers =
                HandlerRegistry::new().register("greet", move |name: String| async move {
                    seen.note(name);
                });
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = Bed::start_at(&url, set_up, handlers).await;
            bed.send(&queue, "greet", r#""Ada""#).await;
            assert_eq!(handled.next_note().await, "Ada");
            bed.send(&queue, "unknown", "").await;
            let letter = bed.dead_letter(&queue).await;
            assert_eq!(letter.text("ploomby-reason"), "unknown-key");
            app.shut_down().await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_read_is_told_so() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let url = user([".*", ".*", ""]).await;
            let refused = refused(&url, Queue::new(bed.queue_name())).await;
            assert!(refused.contains("`read`"), "{refused}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_queues_is_told_as_a_limit() {
    let vhost = unique_name("vhost");
    ctl(&["add_vhost", &vhost]).await;
    ctl(&["set_permissions", "-p", &vhost, "guest", ".*", ".*", ".*"]).await;
    ctl(&["set_vhost_limits", "-p", &vhost, r#"{"max-queues": 1}"#]).await;
    let (host, port) = (rabbit().await.host(), rabbit().await.port());
    let url = format!("amqp://guest:guest@{host}:{port}/{vhost}");
    let refused = refused(&url, Queue::new("limited")).await;
    for part in [
        "queue `limited",
        "no more queues may be made",
        "raise the limit",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    assert!(!refused.contains("move its messages"), "{refused}");
    ctl(&["delete_vhost", &vhost]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_queue_of_another_safe_kind_is_used() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let text = |text: &str| Value::from(text);
            let kinds: [&[(&str, Value)]; 4] = [
                &[("x-queue-type", text("quorum"))],
                &[("x-queue-mode", text("lazy"))],
                &[
                    ("x-max-priority", 10_i32.into()),
                    ("x-queue-mode", text("lazy")),
                ],
                &[("x-queue-version", 2_i32.into())],
            ];
            for kind in kinds {
                let queue = bed.queue_name();
                bed.declare(&format!("{queue}_dlq"), kind).await;
                let handlers = HandlerRegistry::new().register("any", async || {});
                let app = bed.start(&queue, handlers).await;
                bed.send(&queue, "unknown", "").await;
                let letter = bed.dead_letter(&queue).await;
                assert_eq!(letter.text("ploomby-reason"), "unknown-key");
                app.shut_down().await.unwrap();
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_queue_that_drops_messages_is_refused_also_behind_a_safe_difference() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let kind = [
                ("x-queue-type", Value::from("quorum")),
                ("x-message-ttl", 86_400_i32.into()),
            ];
            bed.declare(&format!("{queue}_dlq"), &kind).await;
            let refused = bed.refused(Queue::new(&queue)).await;
            for part in [
                "`x-message-ttl` is 86400",
                "might drop",
                "move its messages",
            ] {
                assert!(refused.contains(part), "{refused}");
            }
        })
        .await;
}

/// Runs an app as this user, which tries a message a second time, and keeps another one that it does not know.
async fn works(bed: &Bed, url: &str, set_up: Queue, queue: &str) {
    let (seen, mut handled) = seen();
    let failed: &'static AtomicBool = Box::leak(Box::default());
    let handlers = HandlerRegistry::new().register("greet", move |name: String| async move {
        seen.note(name);
        match failed.swap(true, SeqCst) {
            true => Ok(()),
            false => Err(anyhow::anyhow!("once")),
        }
    });
    let set_up = set_up
        .key(KeySource::header(KEY))
        .retry(Retry::fixed(2, Duration::from_millis(10)));
    let app = Bed::start_at(url, set_up, handlers).await;
    bed.send(queue, "greet", r#""Ada""#).await;
    assert_eq!(handled.next_note().await, "Ada");
    assert_eq!(handled.next_note().await, "Ada");
    bed.send(queue, "unknown", "").await;
    let letter = bed.dead_letter(queue).await;
    assert_eq!(letter.text("ploomby-reason"), "unknown-key");
    app.shut_down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_that_the_page_lists_are_enough() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            for (kind, declare) in [
                ("classic", Declare::Missing),
                ("quorum", Declare::Missing),
                ("quorum", Declare::All),
            ] {
                let queue = bed.queue_name();
                bed.remove_later(&format!("{queue}_retry_10ms"));
                let (events, unwanted) = (bed.exchange_name(), bed.exchange_name());
                let set_up = |declare| {
                    let unwanted = Exchange::fanout(&unwanted);
                    let events = Exchange::topic(&events).alternate(&unwanted);
                    Queue::new(&queue)
                        .queue_argument("x-queue-type", kind)
                        .declare(declare)
                        .bind(&events, "order.#")
                };
                let ours = format!("{queue}(_dlq|_retry_.*ms|_suspects|_crashes)?");
                let configure = format!("^({ours}|{events}|{unwanted})$");
                let write = format!(r"^(amq\.default|{queue}|{unwanted})$");
                let read = format!("^({queue}(_retry_.*ms|_suspects)?|{events})$");
                let url = user([&configure, &write, &read]).await;
                works(&bed, &url, set_up(declare), &queue).await;
                // all is there by now
                let read = format!("^{queue}(_suspects)?$");
                let url = user(["", r"^amq\.default$", &read]).await;
                works(&bed, &url, set_up(Declare::Never), &queue).await;
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_a_binding_lacks_is_named() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let events = Exchange::topic(bed.exchange_name());
            let publisher = Publisher::connect(bed.url()).await.unwrap();
            publisher.declare(&events).await.unwrap();
            let queue = bed.queue_name();
            let bound = || Queue::new(&queue).bind(&events, "order.#");
            let others = format!("^(?!{}).*$", events.name());
            let url_without_read = user([".*", ".*", &others]).await;
            let refused_read = refused(&url_without_read, bound()).await;
            for part in ["`read`", events.name(), "order.#", "ACCESS_REFUSED"] {
                assert!(refused_read.contains(part), "{refused_read}");
            }
            let url_without_write = user([".*", r"^amq\.default$", ".*"]).await;
            let refused_write = refused(&url_without_write, bound()).await;
            for part in ["the user may not bind it", "`write`", &queue] {
                assert!(refused_write.contains(part), "{refused_write}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_a_queue_lacks_for_its_dead_letters_is_named() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let url = user([".*", "^nothing$", ".*"]).await;
            let quorum = Queue::new(&queue).queue_argument("x-queue-type", "quorum");
            let refused = refused(&url, quorum).await;
            for part in ["`write`", "amq.default", &*queue, "dead letters go through"] {
                assert!(refused.contains(part), "{refused}");
            }
            assert!(!refused.contains("`configure`"), "{refused}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_that_a_user_may_not_declare_is_enough_if_it_is_there() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let events = Exchange::topic(bed.exchange_name());
            let queue = bed.queue_name();
            let others = format!("^(?!{}).*$", events.name());
            let url = user([&others, ".*", ".*"]).await;
            let bound = || Queue::new(&queue).bind(&events, "order.#");
            let missing = refused(&url, bound()).await;
            for part in [
                "exchange `",
                events.name(),
                "it is not there",
                "`configure`",
            ] {
                assert!(missing.contains(part), "{missing}");
            }
            let publisher = Publisher::connect(bed.url()).await.unwrap();
            publisher.declare(&events).await.unwrap();
            let (seen, mut handled) = seen();
            let handlers =
                HandlerRegistry::new().register("greet", move |name: String| async move {
                    seen.note(name);
                });
            let app = Bed::start_at(&url, bound(), handlers).await;
            let event = publisher.through(&events, "order.placed").key("greet");
            event.payload("Ada").send().await.unwrap();
            assert_eq!(handled.next_note().await, "Ada");
            app.shut_down().await.unwrap();
        })
        .await;
}

/// No copy can wait elsewhere: all wait here, and hold up the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_holds_without_the_right_to_copy() {
    const PACED: u32 = 20;
    const OTHERS: u32 = 5;

    Bed::rabbit()
        .await
        .run(async |bed| {
            let url = user([".*", "nothing", ".*"]).await;
            let queue = bed.queue_name();
            let (seen, mut handled) = seen();
            let note = |what: &'static str| move |_: u32| async move { seen.note(what) };
            let options = HandlerOptions::new().rate(Rate::per_second(20));
            let handlers = HandlerRegistry::new()
                .register_with("call", options, note("call"))
                .register("other", note("other"));
            let set_up = Queue::new(&queue).key(KeySource::header(KEY)).prefetch(6);
            let app = Bed::start_at(&url, set_up, handlers).await;
            let begun = Instant::now();
            bed.send_numbers(&queue, "call", 0..PACED).await;
            bed.send_numbers(&queue, "other", 0..OTHERS).await;
            let mut notes = Vec::new();
            for _ in 0..PACED + OTHERS {
                notes.push(handled.next_note().await);
            }
            let calls = notes.iter().filter(|note| *note == "call").count();
            assert_eq!(calls, PACED as usize);
            let took = begun.elapsed();
            assert!(took >= Duration::from_millis(50) * (PACED - 2), "{took:?}");
            app.shut_down().await.unwrap();
            assert!(bed.is_empty(&queue).await);
            assert!(bed.is_empty(&format!("{queue}_dlq")).await);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_the_broker_keeps_for_itself_is_told_as_that() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let kept = Exchange::topic(format!("amq.{}", bed.queue_name()));
            let queue = Queue::new(bed.queue_name()).bind(&kept, "a");
            let refused = refused(bed.url(), queue).await;
            assert!(refused.contains("start with `amq.`"), "{refused}");
            assert!(!refused.contains("give the user"), "{refused}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_that_an_exchange_lacks_to_lead_to_another_is_named() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let events = Exchange::topic(bed.exchange_name());
            let audited = Exchange::fanout(bed.exchange_name()).bind(&events, "order.#");
            let but_audited = format!("^(?!{}).*$", audited.name());
            let url = user([".*", &but_audited, ".*"]).await;
            let queue = || Queue::new(bed.queue_name());
            let without_write = refused(&url, queue().bind(&audited, "")).await;
            assert!(without_write.contains("`write`"), "{without_write}");
            assert!(!without_write.contains("`read`"), "{without_write}");
            let unwanted = Exchange::fanout(bed.exchange_name());
            let events = Exchange::topic(bed.exchange_name()).alternate(&unwanted);
            let but_events = format!("^(?!{}).*$", events.name());
            let url = user([".*", ".*", &but_events]).await;
            let without_read = refused(&url, queue().bind(&events, "a")).await;
            assert!(without_read.contains("`read`"), "{without_read}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_permissions_are_told_by_their_name() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let events = Exchange::topic(bed.exchange_name());
            let url = user([".*", ".*", ".*"]).await;
            let name = url.split([':', '/']).nth(3).unwrap();
            let set = ["set_topic_permissions", name, events.name(), ".*", "^user"];
            ctl(&set).await;
            let queue = Queue::new(bed.queue_name()).bind(&events, "order.placed");
            let refused = refused(&url, queue).await;
            for part in ["topic permissions", "rabbitmqctl set_topic_permissions"] {
                assert!(refused.contains(part), "{refused}");
            }
        })
        .await;
}
