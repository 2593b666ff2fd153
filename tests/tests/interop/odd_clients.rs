//! Clients whose texts are not always UTF-8: what they send is handled, and comes back as it was, byte for byte.

use std::path::Path;
use std::time::Duration;

use ploomby::extract::Attempt;
use ploomby::{HandlerRegistry, KeySource, Queue, Retry};
use ploomby_tests::{
    Bed, DEADLINE, KEY, OwnRabbit, Rabbit, RawClient, eventually_some, rabbit, seen,
};
use tokio::process::Command;

use crate::python::run_python;

/// The member of a table that stands in these properties under this name, where its content has a length.
fn member<'a>(properties: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let name = [&[u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
    let at = properties
        .windows(name.len())
        .position(|window| window == name)?;
    let (kind, rest) = properties[at + name.len()..].split_first()?;
    let len: [u8; 4] = *rest.first_chunk()?;
    let len = usize::try_from(u32::from_be_bytes(len)).unwrap();
    let end = at + name.len() + 5 + len;
    b"SxAF".contains(kind).then(|| properties.get(at..end))?
}

/// Exchanges that each broker has: the queue of the handlers is bound to one by its keys, and one without a consumer
/// to the other.
const HANDLED: &str = "amq.direct";
const UNTOUCHED: &str = "amq.topic";

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Has a client send a message for a handler that takes it, one for a handler that fails once, and one for a handler
/// that always fails. `publish` sends through an exchange, with a key and a body; these headers come back as they were sent.
async fn handles_and_keeps(
    bed: &Bed,
    broker: &Rabbit,
    key: KeySource,
    publish: impl AsyncFn(&str, &str, &str),
    headers: &[&str],
) {
    let queue = bed.queue_name();
    let (untouched, dead) = (bed.queue_name(), format!("{queue}_dlq"));
    bed.declare(&untouched, &[]).await;
    bed.remove_later(&format!("{queue}_retry_50ms"));
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new()
        .register("work", move |number: u32| async move {
            seen.note(format!("work {number}"));
        })
        .register(
            "once",
            move |Attempt(attempt): Attempt, number: u32| async move {
                seen.note(format!("once {number}, attempt {attempt}"));
                anyhow::ensure!(attempt == 2, "not yet");
                Ok(())
            },
        )
        .register("fail", || async {
            Err::<(), _>(anyhow::anyhow!("no luck"))
        });
    let set_up = Queue::new(&queue)
        .key(key)
        .retry(Retry::fixed(2, Duration::from_millis(50)));
    let app = bed.start_queue(set_up, handlers).await;
    let mut raw = RawClient::connect(broker);
    for key in ["work", "once", "fail"] {
        raw.bind(&queue, HANDLED, key);
    }
    raw.bind(&untouched, UNTOUCHED, "#");
    publish(HANDLED, "work", "1").await;
    assert_eq!(handled.next_note().await, "work 1");
    publish(HANDLED, "once", "2").await;
    assert_eq!(handled.next_note().await, "once 2, attempt 1");
    assert_eq!(handled.next_note().await, "once 2, attempt 2");
    publish(UNTOUCHED, "fail", "3").await;
    publish(HANDLED, "fail", "3").await;
    let sent = eventually_some(DEADLINE, async || raw.get(&untouched)).await;
    let letter = eventually_some(DEADLINE, async || raw.get(&dead)).await;
    app.shut_down().await.unwrap();
    assert_eq!(letter.body, sent.body);
    let mut compared = 0;
    for member in headers
        .iter()
        .filter_map(|name| member(&sent.properties, name))
    {
        let letter = &letter.properties;
        assert!(
            contains(letter, member),
            "{} is not in {}",
            member.escape_ascii(),
            letter.escape_ascii()
        );
        compared += 1;
    }
    assert!(compared >= 2, "{}", sent.properties.escape_ascii());
    assert!(bed.is_empty(&queue).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_amqp_1_0_are_handled_and_kept() {
    let broker = OwnRabbit::with_plugins(&["rabbitmq_amqp1_0"]).await;
    Bed::on(&broker)
        .await
        .run(async |bed| {
            let url = format!("amqp://guest:guest@{}:{}", broker.host(), broker.port());
            let publish = async |exchange: &str, key: &str, body: &str| {
                let address = format!("/exchange/{exchange}/{key}");
                run_python("publish_amqp_1_0.py", &[&url, &address, body]).await;
            };
            // 3.x keeps AMQP 1.0's own encoding in texts, 4.x translates
            let headers = [
                "x-amqp-1.0-properties",
                "x-amqp-1.0-app-properties",
                "x-amqp-1.0-message-annotations",
                "name",
                "bytes",
                "x-opt-bytes",
            ];
            handles_and_keeps(&bed, &broker, KeySource::RoutingKey, publish, &headers).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_php_program_in_latin_1_are_handled_and_kept() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let broker = rabbit().await;
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/publish.php");
            let publish = async |exchange: &str, key: &str, body: &str| {
                let port = broker.port().to_string();
                let sent = Command::new("php")
                    .arg(&script)
                    .args([broker.host(), &port, exchange, key, body])
                    .output()
                    .await
                    .expect("php is there: ./scripts/test installs it");
                assert!(sent.status.success(), "{sent:?}");
            };
            handles_and_keeps(
                &bed,
                broker,
                KeySource::header(KEY),
                publish,
                &["name", "list", "table"],
            )
            .await;
        })
        .await;
}
