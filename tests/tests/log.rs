//! What of a message reaches the log.

use std::sync::Arc;

use garde::Validate;
use ploomby::admin::{Access, Role};
use ploomby::extract::{Header, Protobuf, Valid};
use ploomby::trace::Trace;
use ploomby::{App, HandlerRegistry, KeySource, Message, Properties, Queue};
use ploomby_tests::{Bed, DEADLINE, KEY, Logged, eventually, http};
use serde::{Deserialize, Serialize};

const SECRET: &str = "correct horse";

#[derive(Deserialize)]
struct Number {
    #[serde(rename = "number")]
    _number: u32,
}

#[derive(Serialize)]
struct Text {
    number: &'static str,
}

#[derive(prost::Message)]
struct ProtoNumber {
    #[prost(uint32, tag = "1")]
    number: u32,
}

#[derive(Deserialize, Validate)]
struct Password {
    #[garde(custom(quoting))]
    password: String,
}

fn quoting(password: &str, (): &()) -> garde::Result {
    Err(garde::Error::new(format!("{password} is too weak")))
}

// one thread, of which the log is kept
#[tokio::test]
async fn what_is_refused_is_not_quoted_in_the_log() {
    let (log, _guard) = Logged::begin();

    let text = Text { number: SECRET };
    let password = format!(r#"{{"password": "{SECRET}"}}"#);
    let proto = [&[0x0a, 13], SECRET.as_bytes()].concat();
    for (key, content_type, body) in [
        ("number", "application/json", serde_json::to_vec(&text)),
        (
            "number",
            "application/msgpack",
            Ok(rmp_serde::to_vec_named(&text).unwrap()),
        ),
        (
            "number",
            "application/cbor",
            Ok(serde_cbor_2::to_vec(&text).unwrap()),
        ),
        ("protobuf", "application/protobuf", Ok(proto)),
        ("password", "application/json", Ok(password.into_bytes())),
        ("header", "application/json", Ok(Vec::new())),
    ] {
        let body = body.unwrap();
        Bed::memory()
            .await
            .run(async |bed: Arc<Bed>| {
                let handlers = HandlerRegistry::new()
                    .register("number", |_: Number| async {})
                    .register("header", |_: Header<Number>| async {})
                    .register("protobuf", |_: Protobuf<ProtoNumber>| async {})
                    .register("password", |_: Valid<Password>| async {});
                let queue = bed.queue_name();
                let app = bed.start(&queue, handlers).await;
                let properties = Properties::new().with_content_type(content_type).unwrap();
                let message = Message::new(body)
                    .with_properties(properties)
                    .with_header(KEY, key)
                    .unwrap()
                    .with_header("number", SECRET)
                    .unwrap();
                bed.publish(&queue, message).await;
                bed.dead_letter(&queue).await;
                app.shut_down().await.unwrap();
            })
            .await;
    }
    let log = log.text();
    assert_eq!(log.matches("dead-lettered").count(), 6, "{log}");
    assert!(log.contains("breaks 1 of its rules"), "{log}");
    assert!(log.contains("the header `number` does not fit"), "{log}");
    assert!(!log.contains(SECRET), "{log}");
}

// one thread, of which the log is kept
#[tokio::test]
async fn each_message_has_a_line_at_debug_level() {
    let (log, _guard) = Logged::down_to(tracing::Level::DEBUG);
    Bed::memory()
        .await
        .run(async |bed: Arc<Bed>| {
            let greet = async |name: String| {
                tokio::task::yield_now().await;
                anyhow::ensure!(name == "Ada", "only Ada");
                anyhow::Ok(())
            };
            let queue = bed.queue_name();
            let handlers = HandlerRegistry::new()
                .register("greet", greet)
                .register("nothing", async || {});
            let app = bed.start(&queue, handlers).await;
            for (key, name, id) in [
                ("greet", "Ada", "1"),
                ("greet", "Eve", "2"),
                ("nothing", "", "3"),
                ("unheard", "of", "4"),
            ] {
                let properties = Properties::new().with_message_id(id).unwrap();
                let message = Message::new(format!("\"{name}\"")).with_properties(properties);
                let message = message.with_header(KEY, key).unwrap();
                bed.publish(&queue, message).await;
            }
            bed.dead_letter(&queue).await;
            bed.dead_letter(&queue).await;
            app.shut_down().await.unwrap();
        })
        .await;
    let settled = log.lines_with("settled");
    for (id, outcome) in [
        ("1", "ack"),
        ("2", "dead_letter"),
        ("3", "ack"),
        ("4", "dead_letter"),
    ] {
        let id = format!("message_id=\"{id}\"");
        let mut lines = settled.iter().filter(|line| line.contains(&id));
        let (Some(line), None) = (lines.next(), lines.next()) else {
            panic!("not one line of {id} in {settled:#?}");
        };
        let outcome = format!("outcome=\"{outcome}\"");
        for part in ["ploomby::message", "attempt=1", "duration=", &outcome] {
            assert!(line.contains(part), "no {part} in {line}");
        }
    }
    let warnings = log.lines_with(" WARN ");
    let of_failure =
        |line: &&String| line.contains("only Ada") && line.contains("message_id=\"2\"");
    assert!(
        warnings.iter().any(|line| of_failure(&line)),
        "{warnings:#?}"
    );
}

#[tokio::test]
async fn a_line_of_a_message_says_its_trace_and_is_in_its_span_if_there_is_one() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    for trace in [None, Some(Trace::Auto)] {
        let (log, _guard) = Logged::begin();
        Bed::memory()
            .await
            .run(async |bed: Arc<Bed>| {
                let fail = async || {
                    tracing::info!("said within");
                    Err::<(), _>(anyhow::anyhow!("no luck"))
                };
                let name = bed.queue_name();
                let mut queue = Queue::new(&name).key(KeySource::header(KEY));
                if let Some(trace) = trace {
                    queue = queue.trace(trace);
                }
                let handlers = HandlerRegistry::new().register("fail", fail);
                let app = bed.start_queue(queue, handlers).await;
                let properties = Properties::new().with_message_id("17").unwrap();
                let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
                let message = Message::new("").with_properties(properties);
                let message = message.with_header(KEY, "fail").unwrap();
                let message = message.with_header("traceparent", parent).unwrap();
                bed.publish(&name, message).await;
                bed.dead_letter(&name).await;
                app.shut_down().await.unwrap();
            })
            .await;
        let warnings = log.lines_with("dead-lettered");
        let [warning] = &warnings[..] else {
            panic!("{warnings:#?}");
        };
        let id = format!("trace_id={TRACE}");
        for part in [id.as_str(), "message_id=\"17\"", "attempt=1"] {
            assert!(warning.contains(part), "no {part} in {warning}");
        }
        let in_span = ["process{otel.name=", "messaging.message.id=\"17\"", &id];
        for line in [warning, &log.lines_with("said within")[0]] {
            let is_in_span = in_span.iter().all(|part| line.contains(part));
            assert_eq!(is_in_span, trace.is_some(), "{line}");
        }
    }
}

#[tokio::test]
async fn what_is_done_by_the_page_is_told_with_who_and_what() {
    let (log, _guard) = Logged::begin();
    Bed::memory()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let fail = async || Err::<(), _>(anyhow::anyhow!("no luck"));
            let app = App::new(bed.url())
                .handlers(HandlerRegistry::new().register("charge", fail))
                .queue(Queue::new(&queue).key(KeySource::header(KEY)))
                .admin("0")
                .admin_access(Access::token("0123456789abcdef", Role::Admin));
            let running = app.start().await.unwrap();
            let address = running.admin_address().unwrap();
            bed.send(&queue, "charge", "the body").await;
            let dead = format!("{queue}_dlq");
            eventually(DEADLINE, async || bed.ready_count(&dead).await == 1).await;

            // the name `ada` and the token
            let ada = ("authorization", "Basic YWRhOjAxMjM0NTY3ODlhYmNkZWY=");
            let page = http::get(address, "/queues", &[ada]).await.body;
            let (_, token) = page.split_once("name=\"token\" value=\"").unwrap();
            let token = token.split('"').next().unwrap();
            let same = ("sec-fetch-site", "same-origin");
            for path in ["/pause", "/resume", "/discard"] {
                let form = format!("token={token}&queue={queue}");
                let done = http::try_request(address, "POST", path, &[ada, same], &form).await;
                assert_eq!(done.unwrap().status, 303, "{path}");
            }
            eventually(DEADLINE, async || log.lines_with("ploomby::ops").len() == 3).await;
            let acts = [("pause", 0), ("resume", 0), ("discard", 1)];
            for (line, (act, count)) in log.lines_with("ploomby::ops").iter().zip(acts) {
                let told = format!(
                    r#"who="ada" user="guest" act="{act}" queue="{queue}" count={count} ids=""#
                );
                assert!(line.contains(&told), "{line}");
            }
            running.shut_down().await.unwrap();
        })
        .await;
    let log = log.text();
    assert!(
        !log.contains("0123456789abcdef") && !log.contains("the body"),
        "{log}"
    );
}
