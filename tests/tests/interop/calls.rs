use ploomby::{ErrorReply, HandlerRegistry, Reply};
use ploomby_tests::Bed;
use serde_json::{Value, json};

use crate::python::ask_python;

fn handlers() -> HandlerRegistry {
    HandlerRegistry::new()
        .register("add", |(a, b): (u32, u32)| async move { Reply(a + b) })
        .register("work", || async {})
        .register("charge", || async {
            Err::<(), _>(anyhow::anyhow!("no luck").context("cannot charge"))
        })
        .register("find", |id: u32| async move {
            let error = ErrorReply::new("gone", "it is not there");
            Err::<(), _>(error.field("id", format!("{id} is unknown")))
        })
}

/// What Python sees of the replies to these calls, which it makes all at once.
async fn replies(bed: &Bed, reply_to: &str) -> Vec<Value> {
    let queue = bed.queue_name();
    let app = bed.start(&queue, handlers()).await;
    let calls = [
        ("add", "[2, 3]"),
        ("add", "[20, 30]"),
        ("work", ""),
        ("charge", ""),
        ("find", "7"),
        ("add", r#"[2, "x"]"#),
        ("nobody", "7"),
    ];
    let mut arguments = vec![bed.url(), &queue, reply_to];
    arguments.extend(calls.iter().flat_map(|(key, body)| [key, body]));
    let replies = ask_python("call.py", &arguments).await;
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    // an error that is meant for who asked is an answer; the others are failures
    let dead_letters = bed.take_all(&format!("{queue}_dlq")).await;
    assert_eq!(dead_letters.len(), 3);
    replies
}

fn value(body: Value) -> Value {
    json!({"is_error": false, "content_type": "application/json", "body": body})
}

fn error(body: Value) -> Value {
    json!({"is_error": true, "content_type": "application/json", "body": body})
}

fn expected() -> Vec<Value> {
    let wrong = r#"invalid type: string "x", expected u32 at line 1 column 7"#;
    vec![
        value(json!(5)),
        value(json!(50)),
        value(json!(null)),
        error(json!({"code": "handler-error", "message": "the handler failed"})),
        error(json!({
            "code": "gone",
            "message": "it is not there",
            "fields": [{"field": "id", "message": "7 is unknown"}],
        })),
        error(json!({
            "code": "undecodable",
            "message": "the body does not fit the payload",
            "fields": [{"field": "[1]", "message": wrong}],
        })),
        error(json!({
            "code": "unknown-key",
            "message": "there is no handler of this key",
        })),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_program_calls_over_a_queue_of_its_own() {
    Bed::rabbit()
        .await
        .run(async |bed| assert_eq!(replies(&bed, "exclusive").await, expected()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_program_calls_by_direct_reply_to() {
    Bed::rabbit()
        .await
        .run(async |bed| assert_eq!(replies(&bed, "amq.rabbitmq.reply-to").await, expected()))
        .await;
}
