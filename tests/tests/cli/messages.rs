//! Messages that are written by hand: sent, called with, tried, and letters that are edited.

use std::env;
use std::fs;
use std::process::Output;

use ploomby::Publisher;
use ploomby_tests::{DEADLINE, eventually, unique_name};
use serde_json::{Value, json};

use crate::support::{DEAD, DOWN, QUEUE, Shop, WELL, ended, fail, run, shop, text, with_queues};

const NOWHERE: &str = "amqp://127.0.0.1:1";

#[track_caller]
fn refused(code: i32, output: &Output, told: &[&str]) {
    ended(code, output);
    let errors = text(&output.stderr);
    for part in told {
        assert!(errors.contains(part), "{part}: {errors}");
    }
}

fn read(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn a_mistake_in_a_message_is_told_before_anything_is_connected() {
    let publish = |arguments: &[&str]| {
        let arguments = [&["publish"], arguments].concat();
        run(NOWHERE, "gone", &arguments)
    };
    let order = r#"{"id":1,"cents":5}"#;
    let output = publish(&["biling", "charge", order]);
    refused(
        2,
        &output,
        &["no queue `biling`", "did you mean `billing`?"],
    );
    let output = publish(&["billing", "chrage", order]);
    refused(1, &output, &["did you mean `charge`?"]);
    let output = publish(&["billing", "shutdown", order]);
    refused(1, &output, &["there are charge, refund"]);
    let output = publish(&["billing", "charge", r#"{"id":1}"#]);
    refused(1, &output, &["undecodable", "`cents`", "--no-check"]);
    let output = publish(&["billing", "charge", "hello"]);
    refused(2, &output, &["no JSON", "quotes of its own"]);
    let output = publish(&["billing", "charge", "@missing.json"]);
    refused(1, &output, &["missing.json"]);
    let output = publish(&["billing", "charge", order, "--header", "tenant"]);
    refused(2, &output, &["NAME=VALUE"]);
    let output = publish(&["billing", "refund", "-5"]);
    refused(1, &output, &["undecodable", "-5"]);
    let dry = publish(&[
        "billing",
        "charge",
        order,
        "--dry-run",
        "--json",
        "--id",
        "7",
    ]);
    assert_eq!(
        read(&ended(0, &dry)),
        json!({"v":1,"act":"publish","dry_run":true,"id":"7","queue":"billing","key":"charge"})
    );
    let dry = publish(&["billing", "charge", order, "--dry-run", "--id", "7"]);
    assert_eq!(ended(0, &dry), "7 would be sent to billing\n");
    let output = publish(&["billing", "charge", order]);
    refused(1, &output, &["cannot connect to the broker", "127.0.0.1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_published_and_calls_answered() {
    with_queues(async |_bed, url| {
        let order = r#"{"id":1,"cents":5}"#;
        let publish = ["publish", QUEUE, "charge", order];
        refused(1, &run(&url, WELL, &publish), &["no queue `billing`"]);

        let running = Shop::start(&url, WELL);
        _bed.until_exists(QUEUE).await;
        let file = env::temp_dir().join(unique_name("order"));
        fs::write(&file, r#"{"id":2,"cents":5}"#).unwrap();
        let from_file = format!("@{}", file.display());
        ended(0, &run(&url, WELL, &publish));
        let later = [
            "publish",
            QUEUE,
            "charge",
            &from_file,
            "--delay",
            "100ms",
            "--header",
            "tenant=acme",
            "--id",
            "order-2",
            "--json",
        ];
        let sent = read(&ended(0, &run(&url, WELL, &later)));
        let expected =
            json!({"v":1,"act":"publish","dry_run":false,"id":"order-2","queue":"billing","key":"charge"});
        assert_eq!(sent, expected);
        for id in 1..=2 {
            assert_eq!(running.next_line(), format!("charged {id}"));
        }
        fs::remove_file(&file).unwrap();

        let called = ended(0, &run(&url, WELL, &["call", QUEUE, "refund", "7"]));
        assert_eq!(read(&called), json!({"order": 7}));
        let free = ["call", QUEUE, "charge", r#"{"id":3,"cents":0}"#];
        let output = run(&url, WELL, &free);
        refused(1, &output, &["handler-error"]);
        assert_eq!(text(&output.stdout), "");
        let wrong = ["call", QUEUE, "refund", "\"seven\"", "--no-check"];
        refused(1, &run(&url, WELL, &wrong), &["undecodable"]);
        running.stop();
        let nobody = ["call", QUEUE, "refund", "7", "--timeout", "300ms"];
        refused(
            1,
            &run(&url, WELL, &nobody),
            &["no reply", "nobody consumes"],
        );
    })
    .await;
}

#[test]
fn a_handler_is_tried_without_a_broker() {
    let tried = |bank: &str, arguments: &[&str]| {
        let arguments = [&["try"], arguments].concat();
        run(NOWHERE, bank, &arguments)
    };
    let json = |code: i32, bank: &str, key: &str, payload: &str| {
        let out = ended(code, &tried(bank, &[key, payload, "--json"]));
        // the handler writes, too
        read(out.lines().last().unwrap())
    };
    let refunded = json(0, WELL, "refund", "7");
    assert_eq!(refunded["outcome"], "ack");
    assert_eq!(refunded["handler"], "shop::refund");
    assert_eq!(refunded["reply"]["json"], json!({"order": 7}));
    let [sent] = &refunded["sends"].as_array().unwrap()[..] else {
        panic!("{refunded}");
    };
    assert_eq!(sent["routing_key"], "mail");
    assert_eq!(sent["message"]["json"], 7);
    assert!(refunded["took_ms"].as_f64().unwrap() < 5_000.0);
    let shown = ended(0, &tried(WELL, &["refund", "7"]));
    for line in [
        "outcome     acknowledged",
        "reply       {\"order\":7}",
        "would send  to mail: refunded 7",
        "took  ",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }

    let order = r#"{"id":1,"cents":5}"#;
    let failed = json(1, DOWN, "charge", order);
    assert_eq!(failed["outcome"], "dead_letter");
    assert_eq!(failed["reason"], "handler-error");
    assert!(
        failed["error"]
            .as_str()
            .unwrap()
            .contains("cannot reach the bank")
    );
    let undecodable = json(1, WELL, "charge", "{}");
    assert_eq!(undecodable["reason"], "undecodable");
    refused(
        1,
        &tried(WELL, &["chrage", order]),
        &["did you mean `charge`?"],
    );
    refused(
        1,
        &tried("gone", &["charge", order]),
        &["cannot make the state", "lets nobody in"],
    );
    refused(2, &tried(WELL, &["charge"]), &["<PAYLOAD>"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_is_tried_and_stays_where_it_is() {
    with_queues(async |bed, url| {
        fail(&bed, &url, 3).await;
        let ids: Vec<_> = ended(0, &run(&url, WELL, &["dlq", "list", "--json"]))
            .lines()
            .map(|line| read(line)["id"].as_str().unwrap().to_owned())
            .collect();
        let tried = |code: i32, bank: &str, id: &str| {
            let out = ended(code, &run(&url, bank, &["try", "--dead", id, "--json"]));
            read(out.lines().last().unwrap())
        };
        assert_eq!(tried(1, WELL, &ids[0])["reason"], "undecodable");
        assert_eq!(tried(1, DOWN, &ids[2])["outcome"], "dead_letter");
        assert_eq!(tried(0, WELL, &ids[2])["outcome"], "ack");
        refused(
            1,
            &run(&url, WELL, &["try", "--dead", "no-such-letter"]),
            &["no letter"],
        );
        assert_eq!(bed.ready_count(DEAD).await, 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_is_edited_until_this_build_takes_it() {
    with_queues(async |bed, url| {
        fail(&bed, &url, 1).await;
        let listed = ended(0, &run(&url, WELL, &["dlq", "list", "--json"]));
        let id = read(&listed)["id"].as_str().unwrap().to_owned();
        let by_editor = |script: &str, rest: &[&str]| {
            let arguments = [&["dlq", "edit", &id], rest].concat();
            let mut command = shop(&url, WELL, &arguments);
            command
                .env("VISUAL", format!("{script} #"))
                .output()
                .unwrap()
        };
        let by_editor = |script: &str, rest: &[&str]| {
            by_editor(&format!("f() {{ {script}; }}; f \"$1\""), rest)
        };
        refused(1, &by_editor("true", &[]), &["nothing was changed"]);
        refused(
            1,
            &by_editor("false", &[]),
            &["the editor", "nothing is sent"],
        );
        let still_wrong = by_editor("sed -i s/many/few/ \"$1\"", &["--yes"]);
        refused(
            1,
            &still_wrong,
            &["undecodable", "what you wrote is in", "--file"],
        );
        let errors = text(&still_wrong.stderr);
        let file = errors
            .split("is in ")
            .nth(1)
            .unwrap()
            .split(": go on")
            .next()
            .unwrap();
        let written = fs::read_to_string(file).unwrap();
        assert!(written.contains("\"cents\": \"few\""), "{written}");
        fs::write(file, written.replace("\"few\"", "12")).unwrap();
        refused(
            2,
            &run(&url, WELL, &["dlq", "edit", &id, "--file", file]),
            &["--yes"],
        );
        let dry = run(
            &url,
            WELL,
            &["dlq", "edit", &id, "--file", file, "--dry-run"],
        );
        assert!(ended(0, &dry).contains("would be taken"));
        fs::remove_file(file).unwrap();
        let garbage = by_editor("echo oops > \"$1\"", &["--yes"]);
        refused(1, &garbage, &["line 1 is no header", "is in"]);
        let errors = text(&garbage.stderr);
        fs::remove_file(
            errors
                .split("is in ")
                .nth(1)
                .unwrap()
                .split(": go on")
                .next()
                .unwrap(),
        )
        .unwrap();
        assert_eq!(bed.ready_count(DEAD).await, 1);

        let body = r#"{"id":0,"cents":12}"#;
        let edit = [
            "dlq", "edit", &id, "--body", body, "--header", "by=hand", "--yes", "--json",
        ];
        let edited = read(&ended(0, &run(&url, WELL, &edit)));
        assert_eq!(
            edited,
            json!({"v":1,"act":"edit","dry_run":false,"id":id,"queue":"billing"})
        );
        let message = bed.next(QUEUE).await;
        assert_eq!(message.body, body.as_bytes());
        assert_eq!(message.text("ploomby-edited-from"), id);
        assert_eq!(message.text("by"), "hand");
        assert_eq!(bed.ready_count(DEAD).await, 0);
    })
    .await;
}

/// Headers that begin with `x-` are the sender's, but for those that the broker adds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_keeps_what_the_sender_wrote() {
    with_queues(async |bed, url| {
        bed.declare(QUEUE, &[("x-queue-type", "classic".into())])
            .await;
        bed.declare(DEAD, &[("x-queue-type", "classic".into())])
            .await;
        let nasty = "\x1b[2Jname";
        let publisher = Publisher::connect(&url).await.unwrap();
        let letter = publisher
            .to(DEAD)
            .key("charge")
            .body(r#"{"id":1,"cents":5}"#)
            .header("x-request-id", "r-1")
            .header("x-first-death-queue", "somewhere");
        let letter = letter.header("ploomby-dead-letter-id", nasty);
        letter.send().await.unwrap();
        publisher.close().await;
        eventually(DEADLINE, async || bed.ready_count(DEAD).await == 1).await;

        let edit = ["dlq", "edit", nasty, "--header", "a=b"];
        let asked = run(&url, WELL, &edit);
        refused(2, &asked, &["send letter", "--yes"]);
        let errors = text(&asked.stderr);
        assert!(!errors.contains('\x1b'), "{}", errors.escape_debug());
        ended(0, &run(&url, WELL, &[&edit[..], &["--yes"]].concat()));
        let message = bed.next(QUEUE).await;
        assert_eq!(message.text("x-request-id"), "r-1");
        assert_eq!(message.text("a"), "b");
        assert!(bed.is_empty(DEAD).await);
    })
    .await;
}
