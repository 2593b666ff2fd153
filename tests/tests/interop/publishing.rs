use std::collections::BTreeMap;

use ploomby::HandlerRegistry;
use ploomby_tests::{Bed, rabbit, seen};
use serde::Deserialize;

use crate::python::run_python;

#[derive(Deserialize)]
struct User {
    name: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_python_program_reach_their_handlers_or_the_dead_letter_queue() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let (seen, mut handled) = seen();
            let handlers = HandlerRegistry::new()
                .register("create_user", move |user: User| async move {
                    seen.note(format!("create_user {}", user.name));
                })
                .register("add", move |(a, b): (i32, i32)| async move {
                    seen.note(format!("add {a} {b}"));
                })
                .register("42", move |number: i32| async move {
                    seen.note(format!("42 {number}"));
                });
            let app = bed.start(&queue, handlers).await;
            run_python("publish.py", &[rabbit().await.url(), &queue]).await;

            let mut notes = Vec::new();
            for _ in 0..4 {
                notes.push(handled.next_note().await);
            }
            notes.sort();
            assert_eq!(
                notes,
                ["42 7", "add 1 2", "create_user Ada", "create_user Grace"]
            );

            let mut dead_letters = BTreeMap::new();
            for _ in 0..4 {
                let dead_letter = bed.dead_letter(&queue).await;
                let body = String::from_utf8(dead_letter.body.clone()).unwrap();
                dead_letters.insert(body, dead_letter);
            }
            for (body, reason) in [
                (r#"{"name": "#, "undecodable"),
                (r#"{"name": 1}"#, "missing-key"),
                (r#"{"name": 2}"#, "unknown-key"),
                (r#"{"name": 3}"#, "invalid-key"),
            ] {
                assert_eq!(dead_letters[body].text("ploomby-reason"), reason);
            }
            let headers = &dead_letters[r#"{"name": 3}"#].headers;
            for header in ["nested", "when", "price", "bytes", "big", "yes", "none"] {
                assert!(
                    headers.contains_key(header),
                    "{header} is lost: {headers:?}"
                );
            }
            app.shut_down().await.unwrap();
            assert!(bed.is_empty(&queue).await);
        })
        .await;
}
