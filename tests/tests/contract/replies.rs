use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ploomby::{
    App, ErrorReply, HandlerOptions, HandlerRegistry, KeySource, Message, Outcome, Properties,
    Queue, Replies, Reply, Retry, RpcClient,
};
use ploomby_tests::{Bed, DEADLINE, KEY, Received, Seen, seen};

/// Sends one request to an app with these handlers; afterwards the queue is empty.
async fn reply_to(bed: &Bed, handlers: HandlerRegistry, request: Message) -> Received {
    let (queue, replies) = (bed.queue_name(), bed.queue_name());
    bed.declare(&replies, &[]).await;
    let app = bed.start(&queue, handlers).await;
    let (properties, body) = (request.properties().clone(), request.body().to_vec());
    let request = Message::new(body).with_properties(properties.with_reply_to(&replies).unwrap());
    bed.publish(&queue, request).await;
    let reply = bed.next(&replies).await;
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await, "the request was acknowledged");
    assert!(bed.is_empty(&replies).await, "there is one reply");
    reply
}

fn request(key: &str, body: &str) -> Message {
    let properties = Properties::new().with_correlation_id("42").unwrap();
    Message::new(body.to_owned())
        .with_properties(properties)
        .with_header(KEY, key)
        .unwrap()
}

fn adding() -> HandlerRegistry {
    adding_seen(seen().0)
}

fn adding_seen(seen: &'static Seen) -> HandlerRegistry {
    let add = move |(a, b): (u32, u32)| async move {
        seen.note("done");
        Reply(a + b)
    };
    HandlerRegistry::new().register("add", add)
}

pub(crate) async fn a_value_goes_to_who_asked(bed: Arc<Bed>) {
    let reply = reply_to(&bed, adding(), request("add", "[2, 3]")).await;
    assert_eq!(reply.body, b"5");
    assert_eq!(reply.correlation_id.as_deref(), Some("42"));
    assert_eq!(reply.content_type.as_deref(), Some("application/json"));
}

pub(crate) async fn a_value_is_encoded_as_the_request_was(bed: Arc<Bed>) {
    let body = rmp_serde::to_vec(&(2, 3)).unwrap();
    let properties = Properties::new()
        .with_content_type("application/msgpack")
        .unwrap();
    let request = Message::new(body)
        .with_properties(properties)
        .with_header(KEY, "add")
        .unwrap();
    let reply = reply_to(&bed, adding(), request).await;
    assert_eq!(reply.body, rmp_serde::to_vec(&5).unwrap());
    assert_eq!(reply.content_type.as_deref(), Some("application/msgpack"));
    assert_eq!(reply.correlation_id.as_deref(), None);
}

pub(crate) async fn a_handler_without_a_value_says_that_it_is_done(bed: Arc<Bed>) {
    let handlers = HandlerRegistry::new().register("work", || async {});
    let reply = reply_to(&bed, handlers, request("work", "")).await;
    assert_eq!(reply.body, b"null");
    assert_eq!(reply.correlation_id.as_deref(), Some("42"));
}

pub(crate) async fn a_reply_that_holds_an_error_fails_its_message(bed: Arc<Bed>) {
    type Tried = Result<u32, String>;

    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let failed = || Err::<u32, _>("no".to_owned());
    let handlers = HandlerRegistry::new()
        .register("itself", move || async move { Reply(failed()) })
        .register("in a list", move || async move {
            Ok::<_, anyhow::Error>(Reply(vec![Some(Tried::Ok(1)), Some(failed())]))
        })
        .register("worked", move || async move {
            seen.note("worked");
            Reply(Tried::Ok(1))
        });
    let app = bed.start(&queue, handlers).await;
    // whether somebody asked or not
    for key in ["itself", "in a list"] {
        bed.publish(&queue, request(key, "")).await;
        let letter = bed.dead_letter(&queue).await;
        assert_eq!(letter.text("ploomby-reason"), "handler-error", "{key}");
        assert!(letter.text("ploomby-error").contains("`Err`"), "{key}");
    }
    bed.publish(&queue, request("worked", "")).await;
    assert_eq!(handled.next_note().await, "worked");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn a_message_that_asks_for_no_reply_is_simply_handled(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let app = bed.start(&queue, adding_seen(seen)).await;
    bed.publish(&queue, request("add", "[2, 3]")).await;
    assert_eq!(handled.next_note().await, "done");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn a_reply_that_nobody_waits_for_any_more_is_left_out(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let (seen, mut handled) = seen();
    let app = bed.start(&queue, adding_seen(seen)).await;
    let asked = request("add", "[2, 3]");
    let properties = asked.properties().clone().with_reply_to("gone").unwrap();
    bed.publish(&queue, asked.with_properties(properties)).await;
    assert_eq!(handled.next_note().await, "done");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

/// The queue of the replies is full and rejects: that is the caller's trouble, and nobody else's.
pub(crate) async fn a_reply_that_is_refused_is_worth_less_than_its_message(bed: Arc<Bed>) {
    const MANY: usize = 70;

    let (queue, full, replies) = (bed.queue_name(), bed.queue_name(), bed.queue_name());
    let arguments = [
        ("x-max-length", ploomby::Value::I32(0)),
        ("x-overflow", "reject-publish".into()),
    ];
    bed.declare(&full, &arguments).await;
    bed.declare(&replies, &[]).await;
    let (seen, mut handled) = seen();
    let app = bed.start(&queue, adding_seen(seen)).await;
    let start = Instant::now();
    // more than the prefetch
    for _ in 0..MANY {
        bed.publish(&queue, asking(&full)).await;
    }
    bed.publish(&queue, asking(&replies)).await;
    assert_eq!(bed.next(&replies).await.body, b"5");
    assert!(start.elapsed() < DEADLINE / 2, "{:?}", start.elapsed());
    for _ in 0..=MANY {
        assert_eq!(handled.next_note().await, "done");
    }
    assert!(handled.is_empty(), "each ran once");
    let health = app.health();
    app.shut_down().await.unwrap();
    let dropped = health.queues()[0].dropped_replies();
    assert_eq!(dropped, u64::try_from(MANY).unwrap());
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

/// A request to add 2 and 3 that wants its reply there.
fn asking(reply_to: &str) -> Message {
    let asked = request("add", "[2, 3]");
    let properties = asked.properties().clone().with_reply_to(reply_to).unwrap();
    asked.with_properties(properties)
}

/// Whoever may publish to a queue may not have the program write wherever it may itself.
pub(crate) async fn a_reply_goes_nowhere_where_it_would_do_harm(bed: Arc<Bed>) {
    let (queue, letters) = (bed.queue_name(), bed.queue_name());
    let (other, replies) = (bed.queue_name(), bed.queue_name());
    let foreign = format!("{other}_dlq");
    let waiting = [
        format!("{other}_retry_1000ms"),
        format!("{other}_delay_1000ms"),
    ];
    for name in [&replies, &foreign, &waiting[0], &waiting[1]] {
        bed.remove_later(name);
        bed.declare(name, &[]).await;
    }
    let (seen, mut handled) = seen();
    // one returns a value, the other nothing: both are asked
    let handlers = adding_seen(seen).register("work", move || async move { seen.note("done") });
    let set_up = |name: &str| Queue::new(name).key(KeySource::header(KEY));
    let app = App::new(bed.url())
        .handlers(handlers)
        .queue(set_up(&queue).dead_letter_queue(&letters))
        .queue(set_up(&other))
        .start()
        .await
        .unwrap();
    let own = [&queue, &other, &letters, &foreign, &waiting[0], &waiting[1]];
    let malformed = [
        "amq.rabbitmq.reply-to.",
        "amq.rabbitmq.reply-to.x",
        "amq.rabbitmq.reply-to.g2gCdwA=.key",
        "amq.rabbitmq.reply-to.g1h3BXJlcGx5QDEyMw==.key",
        "amq.rabbitmq.reply-to..",
        "amq.rabbitmq.reply-to.....",
    ];
    let refused: Vec<&str> = own
        .into_iter()
        .map(String::as_str)
        .chain(malformed)
        .collect();
    let long = "x".repeat(255);
    let missing = [
        "gone",
        "",
        "amq.direct/gone",
        "/gone",
        "amq.gen-gone",
        "💥",
        &long,
    ];
    for reply_to in refused.iter().chain(&missing) {
        for key in ["add", "work"] {
            let asked = asking(reply_to).with_header(KEY, key).unwrap();
            bed.publish(&queue, asked).await;
        }
    }
    for _ in 0..2 * (refused.len() + missing.len()) {
        assert_eq!(handled.next_note().await, "done");
    }
    bed.publish(&queue, asking(&replies)).await;
    assert_eq!(bed.next(&replies).await.body, b"5");
    assert_eq!(handled.next_note().await, "done");
    assert!(handled.is_empty(), "each ran once");
    let health = app.health();
    app.shut_down().await.unwrap();
    let queues = health.queues();
    let health = queues
        .iter()
        .find(|health| health.queue() == queue)
        .unwrap();
    assert_eq!(
        health.dropped_replies(),
        2 * u64::try_from(refused.len()).unwrap()
    );
    // an empty address is none
    let unroutable = 2 * u64::try_from(missing.len() - 1).unwrap();
    assert_eq!(health.unroutable_replies(), unroutable);
    for name in own {
        assert!(bed.is_empty(name).await, "{name}");
    }
}

pub(crate) async fn replies_go_only_where_the_program_says(bed: Arc<Bed>) {
    let (queue, named, other) = (bed.queue_name(), bed.queue_name(), bed.queue_name());
    bed.declare(&named, &[]).await;
    bed.declare(&other, &[]).await;
    let set_up = Queue::new(&queue)
        .key(KeySource::header(KEY))
        .reply_addresses([format!("{named}*"), "elsewhere".to_owned()]);
    let app = bed.start_queue(set_up, adding()).await;
    bed.publish(&queue, asking(&other)).await;
    bed.publish(&queue, asking(&named)).await;
    assert_eq!(bed.next(&named).await.body, b"5");
    let client = RpcClient::connect(bed.url()).await.unwrap();
    let client = client.key(KeySource::header(KEY));
    let sum: u32 = client.call(&queue, "add", &(2, 3)).await.unwrap();
    assert_eq!(sum, 5);
    client.close().await;
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&other).await);
}

pub(crate) async fn a_large_reply_goes_to_who_waits_for_it_alone(bed: Arc<Bed>) {
    const LARGE: usize = 200_000;

    let (queue, replies) = (bed.queue_name(), bed.queue_name());
    bed.declare(&replies, &[]).await;
    let (seen, mut handled) = seen();
    let handlers = adding_seen(seen).register("blow-up", move || async move {
        seen.note("done");
        Reply("x".repeat(LARGE))
    });
    let app = bed.start(&queue, handlers).await;
    let asked = asking(&replies).with_header(KEY, "blow-up").unwrap();
    bed.publish(&queue, asked).await;
    assert_eq!(handled.next_note().await, "done");
    bed.publish(&queue, asking(&replies)).await;
    assert_eq!(bed.next(&replies).await.body, b"5");
    let client = RpcClient::connect(bed.url()).await.unwrap();
    let client = client.key(KeySource::header(KEY));
    let large: String = client.call(&queue, "blow-up", &()).await.unwrap();
    assert_eq!(large.len(), LARGE);
    client.close().await;
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&replies).await);
    assert!(bed.is_empty(&queue).await);
}

pub(crate) async fn a_queue_says_which_replies_it_sends(bed: Arc<Bed>) {
    let fail = || async { Err::<(), _>(anyhow::anyhow!("no luck")) };
    for (replies, answered) in [(Replies::Values, 1), (Replies::None, 0)] {
        let (queue, answers) = (bed.queue_name(), bed.queue_name());
        bed.declare(&answers, &[]).await;
        let set_up = Queue::new(&queue)
            .key(KeySource::header(KEY))
            .replies(replies);
        let (seen, mut handled) = seen();
        let handlers = adding_seen(seen).register("fail", fail);
        let app = bed.start_queue(set_up, handlers).await;
        let asked = asking(&answers).with_header(KEY, "fail").unwrap();
        bed.publish(&queue, asked).await;
        bed.dead_letter(&queue).await;
        bed.publish(&queue, asking(&answers)).await;
        assert_eq!(handled.next_note().await, "done");
        app.shut_down().await.unwrap();
        assert!(bed.is_empty(&queue).await);
        let found = bed.take_all(&answers).await;
        assert_eq!(found.len(), answered, "{replies:?}");
        assert!(found.iter().all(|reply| reply.body == b"5"));
    }
}

pub(crate) async fn an_outcome_sends_no_reply(bed: Arc<Bed>) {
    let (queue, replies) = (bed.queue_name(), bed.queue_name());
    bed.declare(&replies, &[]).await;
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("work", move || async move {
        seen.note("done");
        Outcome::Ack
    });
    let app = bed.start(&queue, handlers).await;
    let asked = request("work", "");
    let properties = asked.properties().clone().with_reply_to(&replies).unwrap();
    bed.publish(&queue, asked.with_properties(properties)).await;
    assert_eq!(handled.next_note().await, "done");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&replies).await);
}

/// What an error reply holds.
fn error_of(reply: &Received) -> serde_json::Value {
    assert_eq!(reply.text("ploomby-reply"), "error");
    assert_eq!(reply.correlation_id.as_deref(), Some("42"));
    serde_json::from_slice(&reply.body).unwrap()
}

pub(crate) async fn who_asked_is_told_of_a_failure_which_is_dead_lettered(bed: Arc<Bed>) {
    let fail = || async { Err::<(), _>(anyhow::anyhow!("no luck").context("cannot charge")) };
    let handlers = HandlerRegistry::new().register("charge", fail);
    let reply = reply_to(&bed, handlers, request("charge", "")).await;
    let told = serde_json::json!({"code": "handler-error", "message": "the handler failed"});
    assert_eq!(error_of(&reply), told);
}

/// Errors hold addresses and passwords, and whoever may publish may ask.
pub(crate) async fn the_text_of_an_error_is_told_only_where_the_program_says_so(bed: Arc<Bed>) {
    const SECRET: &str = "postgres://admin:hunter2@db";

    let handlers = || {
        let fail = || async { Err::<(), _>(anyhow::anyhow!("no route to {SECRET}")) };
        let panic = || async {
            let nothing: Option<()> = std::hint::black_box(None);
            nothing.expect(SECRET);
        };
        let reject = || async { Err::<(), _>(ploomby::Permanent::msg(SECRET)) };
        let registry = HandlerRegistry::new().register("fail", fail);
        registry.register("panic", panic).register("reject", reject)
    };
    let (queue, replies) = (bed.queue_name(), bed.queue_name());
    bed.declare(&replies, &[]).await;
    for (exposes, detail) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut set_up = Queue::new(&queue).key(KeySource::header(KEY));
        if exposes {
            set_up = set_up.expose_errors();
        }
        if detail {
            set_up = set_up.python_replies();
        }
        let app = bed.start_queue(set_up, handlers()).await;
        for key in ["fail", "panic", "reject"] {
            bed.publish(&queue, asking(&replies).with_header(KEY, key).unwrap())
                .await;
            let told = bed.next(&replies).await;
            let told = String::from_utf8_lossy(&told.body).into_owned();
            assert_eq!(told.contains(SECRET), exposes, "{key}: {told}");
            // it is in the letter, for those who may read it
            let letter = bed.dead_letter(&queue).await;
            assert!(letter.text("ploomby-error").contains(SECRET));
        }
        app.shut_down().await.unwrap();
    }
}

pub(crate) async fn who_asked_is_told_which_field_does_not_decode(bed: Arc<Bed>) {
    let reply = reply_to(&bed, adding(), request("add", r#"[2, "x"]"#)).await;
    let error = error_of(&reply);
    assert_eq!(error["code"], "undecodable");
    assert_eq!(error["fields"][0]["field"], "[1]");
}

pub(crate) async fn an_error_that_is_meant_for_who_asked_is_no_dead_letter(bed: Arc<Bed>) {
    let (queue, replies) = (bed.queue_name(), bed.queue_name());
    bed.declare(&replies, &[]).await;
    let find = || async {
        let error = ErrorReply::new("unknown", "no such user").field("id", "7 is not there");
        Err::<(), _>(anyhow::Error::new(error).context("while looking"))
    };
    let app = bed
        .start(&queue, HandlerRegistry::new().register("find", find))
        .await;
    let asked = request("find", "");
    let properties = asked.properties().clone().with_reply_to(&replies).unwrap();
    bed.publish(&queue, asked.clone().with_properties(properties))
        .await;
    let reply = bed.next(&replies).await;
    let told = serde_json::json!({
        "code": "unknown",
        "message": "no such user",
        "fields": [{"field": "id", "message": "7 is not there"}],
    });
    assert_eq!(error_of(&reply), told);
    // nobody is there to be told: it is a failure like any other
    bed.publish(&queue, asked).await;
    let dead = bed.dead_letter(&queue).await;
    assert_eq!(dead.text("ploomby-reason"), "handler-error");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn who_asked_is_told_once_after_the_last_attempt(bed: Arc<Bed>) {
    let (seen, mut handled) = seen();
    let fail = move || async move {
        seen.note("tried");
        Err::<(), _>(anyhow::anyhow!("no luck"))
    };
    let options = HandlerOptions::new().retry(Retry::fixed(3, Duration::from_millis(50)));
    let handlers = HandlerRegistry::new().register_with("charge", options, fail);
    let reply = reply_to(&bed, handlers, request("charge", "")).await;
    assert_eq!(error_of(&reply)["code"], "handler-error");
    for _ in 0..3 {
        assert_eq!(handled.next_note().await, "tried");
    }
}

pub(crate) async fn replies_may_look_like_those_of_the_python_original(bed: Arc<Bed>) {
    let (queue, replies) = (bed.queue_name(), bed.queue_name());
    bed.declare(&replies, &[]).await;
    let fail = || async { Err::<(), _>(anyhow::anyhow!("no luck")) };
    let set_up = Queue::new(&queue)
        .key(KeySource::header(KEY))
        .python_replies()
        .expose_errors();
    let app = bed
        .start_queue(set_up, adding().register("fail", fail))
        .await;
    for (key, body, reply) in [
        ("add", "[2, 3]", r#"{"detail":"5"}"#),
        ("fail", "", r#"{"detail":"no luck"}"#),
    ] {
        let asked = request(key, body);
        let properties = asked.properties().clone().with_reply_to(&replies).unwrap();
        bed.publish(&queue, asked.with_properties(properties)).await;
        let got = bed.next(&replies).await;
        assert_eq!(String::from_utf8_lossy(&got.body), reply);
    }
    app.shut_down().await.unwrap();
}
