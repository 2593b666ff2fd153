//! What is known of the program without a broker.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::{WELL, ended, run, shop, with_queues};

#[test]
fn what_is_about_the_program_needs_neither_a_broker_nor_state() {
    let nowhere = "amqp://127.0.0.1:1";
    let table = ended(0, &run(nowhere, "gone", &["handlers"]));
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("KEY"), "{table}");
    assert!(
        lines[1].starts_with("charge") && lines[1].contains("Order"),
        "{table}"
    );
    assert!(
        lines.iter().all(|line| line.chars().count() <= 80),
        "{table}"
    );
    let one = ended(0, &run(nowhere, "gone", &["handlers", "charge"]));
    assert!(
        one.contains("timeout     10s")
            && one.contains("rate        as its queue says")
            && one.contains("bin/shop.rs:"),
        "{one}"
    );
    let json = ended(0, &run(nowhere, "gone", &["handlers", "--json"]));
    let handlers: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(handlers[0]["keys"], serde_json::json!(["charge"]));
    assert_eq!(handlers[0]["v"], 1);
    assert_eq!(handlers[1]["payload"], "u32");
    ended(1, &run(nowhere, "gone", &["handlers", "unknown"]));
    assert!(ended(0, &run(nowhere, "gone", &["--version"])).contains("shop 1.4.0"));
    ended(0, &run(nowhere, "gone", &["dlq", "replay", "--help"]));
    ended(2, &run(nowhere, "gone", &["handler"]));
    ended(
        2,
        &run(nowhere, "gone", &["dlq", "list", "--queue", "mail"]),
    );
    ended(
        2,
        &run(nowhere, "gone", &["dlq", "list", "--since", "soon"]),
    );
    ended(1, &run(nowhere, "gone", &["queues"]));
    // a program that runs needs both
    ended(1, &run(nowhere, "gone", &[]));
}

#[test]
fn a_shell_completes_commands_and_options() {
    let nowhere = "amqp://127.0.0.1:1";
    for shell in ["bash", "zsh", "fish"] {
        let script = ended(0, &run(nowhere, "gone", &["completions", shell]));
        for word in ["shop", "replay", "canary", "completions"] {
            assert!(script.contains(word), "{shell}: {word}\n{script}");
        }
    }
    ended(2, &run(nowhere, "gone", &["completions", "ksh"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_are_watched_until_nobody_reads_on() {
    with_queues(async |_bed, url| {
        let mut child = shop(&url, WELL, &["queues", "--watch", "50ms"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = || lines.next().unwrap().unwrap();
        let first = next();
        assert!(first.starts_with("QUEUE"), "{first}");
        // no terminal: the tables stand one behind the other
        while !next().is_empty() {}
        assert_eq!(next(), first);
        drop(lines);
        assert!(child.wait().unwrap().success());
    })
    .await;
}
