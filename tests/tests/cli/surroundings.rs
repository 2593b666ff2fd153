//! What is around the program: whether all is as it should be, and what it declares.

use std::env;
use std::fs;
use std::process::Output;

use amqprs::channel::QueueDeclareArguments;
use amqprs::connection::{Connection, OpenConnectionArguments};
use ploomby_tests::{rabbit, unique_name};
use serde_json::{Value, json};

use crate::support::{DEAD, QUEUE, WELL, ended, run, text, with_queues};

const NOWHERE: &str = "amqp://127.0.0.1:1";

#[track_caller]
fn told(code: i32, output: &Output, parts: &[&str]) -> String {
    let out = ended(code, output);
    let too_long = out.lines().find(|line| line.chars().count() > 80);
    assert_eq!(too_long, None, "{out}");
    // lines are wrapped anywhere
    let words = out.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        assert!(words.contains(part), "{part}: {out}");
    }
    out
}

#[test]
fn what_needs_no_broker_is_checked_without_one() {
    let check = |url: &str, rest: &[&str]| {
        let arguments = [&["check", "--offline"], rest].concat();
        run(url, "gone", &arguments)
    };
    told(
        0,
        &check(NOWHERE, &[]),
        &["✓ handlers: 2 handlers for 1 queue", "0 ✗, 0 !"],
    );
    told(4, &check("http://rabbit", &[]), &["✗ url", "1 ✗"]);
    let elsewhere = check("amqp://shop:secret@rabbit.example", &[]);
    let out = told(
        0,
        &elsewhere,
        &[
            "! tls",
            "→ write amqps://",
            "user `shop` at rabbit.example:5672",
        ],
    );
    assert!(!out.contains("secret"), "{out}");
    let json = ended(0, &check(NOWHERE, &["--json"]));
    for line in json.lines() {
        let finding: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&finding["v"], &finding["level"]),
            (&json!(1), &json!("good")),
            "{line}"
        );
    }

    let contract = env::temp_dir().join(unique_name("contract"));
    let written = |document: Value| fs::write(&contract, document.to_string()).unwrap();
    let against = || check(NOWHERE, &["--against", contract.to_str().unwrap()]);
    let message = |name: &str| json!({"name": name});
    written(json!({
        "asyncapi": "3.0.0",
        "channels": {
            "billing": {"address": "billing", "messages": {
                "charge": {"$ref": "#/components/messages/charge"},
                "other": message("cancel"),
            }},
            "parcels": {"messages": {}},
        },
        "components": {"messages": {"charge": message("charge")}},
    }));
    told(
        4,
        &against(),
        &["has the key `cancel`", "✗ queue parcels", "2 ✗"],
    );
    written(json!({"asyncapi": "3.0.0", "channels": {"billing": {"messages": {"refund": {}}}}}));
    told(0, &against(), &["a handler for each of 1 keys"]);
    written(json!({"asyncapi": "2.6.0"}));
    ended(2, &against());
    fs::write(&contract, "{").unwrap();
    ended(2, &against());
    fs::remove_file(&contract).unwrap();
    ended(1, &against());

    told(
        4,
        &run(NOWHERE, "gone", &["check"]),
        &["✗ login", "cannot connect to the broker"],
    );
    let topology = ["topology", "--json"];
    let declared: Vec<Value> = ended(0, &run(NOWHERE, "gone", &topology))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(declared[1]["name"], DEAD);
    assert_eq!(declared[1]["purpose"], "dead_letters");
    assert_eq!(declared[1]["arguments"]["x-queue-type"], "classic");
    ended(2, &run(NOWHERE, "gone", &["topology", "--delete-empty"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_and_its_queues_are_checked() {
    with_queues(async |bed, url| {
        let check = |rest: &[&str]| run(&url, "gone", &[&["check"], rest].concat());
        let missing = "! queue billing: is not there";
        told(0, &check(&[]), &["✓ login", "broker: RabbitMQ", "✓ right to write", missing]);
        // a look makes nothing
        let right = r#"{"id":1,"cents":5}"#;
        ended(1, &run(&url, WELL, &["publish", QUEUE, "charge", right]));
        ended(0, &run(&url, "gone", &["topology", "--apply"]));
        assert_eq!(ended(0, &run(&url, "gone", &["topology", "--apply"])), "nothing was missing\n");
        let there = ["✓ queue billing: is there", "✓ queue billing_dlq: keeps dead letters", "0 ✗"];
        told(0, &check(&[]), &there);

        let wrong = url.replace("guest:guest@", "guest:not-this@");
        let out = told(4, &run(&wrong, WELL, &["check"]), &["✗ login", "check user and password"]);
        assert!(!out.contains("not-this"), "{out}");

        ended(0, &run(&url, WELL, &["publish", QUEUE, "charge", right]));
        told(0, &check(&["--sample", "9"]), &["takes each of 1", "! queue billing: 1 message waits"]);
        ended(0, &run(&url, WELL, &["publish", QUEUE, "charge", "{}", "--no-check"]));
        told(4, &check(&["--sample", "9"]), &["takes 1 of 2", "1 undecodable"]);
        assert_eq!(bed.ready_count(QUEUE).await, 2);

        bed.delete(DEAD).await;
        bed.declare(DEAD, &[("x-message-ttl", 86_400_000_i32.into())]).await;
        let drops = "✗ queue billing_dlq: might drop the letters that it is given: `x-message-ttl` is 86400000";
        told(4, &check(&[]), &[drops, "→ move its messages"]);
        bed.delete(DEAD).await;
        bed.declare(DEAD, &[("x-queue-type", "quorum".into())]).await;
        let limited = ["! queue billing_dlq", "`x-queue-type` is quorum", "looked at 20 times", "`delivery-limit`"];
        told(0, &check(&[]), &limited);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_that_are_left_of_retries_are_found_and_deleted_if_empty() {
    with_queues(async |bed, url| {
        let topology =
            |rest: &[&str]| run(&url, "gone", &[&["topology", "--leftovers"], rest].concat());
        ended(0, &run(&url, "gone", &["topology", "--apply"]));
        assert!(ended(0, &topology(&[])).contains("nothing is left"));
        let [full, empty, quorum] = [
            "billing_retry_2000ms",
            "billing_delay_60000ms",
            "billing_retry_8000ms",
        ];
        for (queue, kind) in [(full, "quorum"), (empty, "classic"), (quorum, "quorum")] {
            bed.declare(queue, &[("x-queue-type", kind.into())]).await;
            bed.remove_later(queue);
        }
        ended(
            0,
            &run(&url, WELL, &["publish", full, "charge", "{}", "--no-check"]),
        );
        told(0, &topology(&[]), &[full, empty]);
        let check = run(&url, "gone", &["check"]);
        told(
            0,
            &check,
            &["no handler of this build uses billing_retry_2000ms (1 message)"],
        );
        let refused = topology(&["--delete-empty"]);
        ended(2, &refused);
        assert!(text(&refused.stderr).contains("--yes"));
        // a broker that deletes quorum queues without looking deletes none
        let deleted = topology(&["--delete-empty", "--yes"]);
        let out = ended(3, &deleted);
        assert!(out.contains("deleted  billing_delay_60000ms"), "{out}");
        assert!(text(&deleted.stderr).contains("1 queues are kept"));
        let gone = ["publish", empty, "charge", "{}", "--no-check"];
        ended(1, &run(&url, WELL, &gone));
        assert_eq!(bed.ready_count(full).await, 1);
    })
    .await;
}

/// A consumer that comes and goes would be the last one of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_deletes_itself_outlives_a_check() {
    with_queues(async |bed, url| {
        let rabbit = rabbit().await;
        let to = OpenConnectionArguments::new(rabbit.host(), rabbit.port(), "guest", "guest");
        let connection = Connection::open(&to).await.unwrap();
        let channel = connection.open_channel(None).await.unwrap();
        let mut declare = QueueDeclareArguments::durable_client_named(QUEUE);
        declare.auto_delete(true);
        channel.queue_declare(declare).await.unwrap();
        told(
            0,
            &run(&url, "gone", &["check"]),
            &["! queue billing: is used as it is", "`auto_delete`"],
        );
        let publish = ["publish", QUEUE, "charge", r#"{"id":1,"cents":5}"#];
        ended(0, &run(&url, WELL, &publish));
        assert_eq!(bed.ready_count(QUEUE).await, 1);
        channel.close().await.unwrap();
        connection.close().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_are_missing_are_named() {
    with_queues(async |_bed, url| {
        let rabbit = rabbit().await;
        let Some(_) = rabbit.rabbitmqctl() else {
            panic!("a broker of ours");
        };
        ended(0, &run(&url, "gone", &["topology", "--apply"]));
        let user = unique_name("user");
        let ctl = async |arguments: &[&str]| {
            let mut command = rabbit.rabbitmqctl().unwrap();
            let output = command.args(arguments).output().await.unwrap();
            assert!(output.status.success(), "{arguments:?}: {output:?}");
        };
        ctl(&["add_user", &user, "secret"]).await;
        ctl(&["set_permissions", &user, "", "^$", "^billing_dlq$"]).await;
        let url = format!("amqp://{user}:secret@{}:{}", rabbit.host(), rabbit.port());
        told(
            4,
            &run(&url, "gone", &["check"]),
            &[
                "✗ right to write",
                "`write` on `amq.default`",
                "! queue billing: is there; the user may not declare it",
                "the user may not consume it",
                "`read` for it",
            ],
        );
        ctl(&["delete_user", &user]).await;
    })
    .await;
}
