//! Letters that are hard to show.

use std::process::Output;

use ploomby::{Message, Properties, Publisher, Value};
use ploomby_tests::{DEADLINE, RawClient, eventually, rabbit};

use crate::support::{DEAD, WELL, ended, run, with_queues};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_of_any_kind_does_no_harm_to_a_terminal() {
    with_queues(async |bed, url| {
        let nasty = "\x1b]0;owned\x07\x1b[2J\u{202e}\u{9b}31m";
        bed.declare(DEAD, &[("x-queue-type", "classic".into())])
            .await;
        let letter = |body: Vec<u8>, id: &str| {
            let properties = Properties::new().with_message_id(nasty).unwrap();
            let message = Message::new(body).with_properties(properties);
            let named = message.with_header("ploomby-dead-letter-id", id).unwrap();
            named
                .with_header("ploomby-error", format!("{nasty}\r\nno luck"))
                .unwrap()
        };
        let mut many = letter(b"{}".to_vec(), "many-headers");
        for number in 0..1_000 {
            many = many
                .with_header(&format!("{nasty}{number}"), nasty)
                .unwrap();
        }
        let deep = (0..30).fold(Value::Void, |inner, _| Value::Array(vec![inner]));
        let odd = letter(nasty.as_bytes().to_vec(), "odd-headers")
            .with_header("deep", deep)
            .unwrap();
        let odd = odd
            .with_header("bytes", Value::Bytes(vec![0, 0x1b, 0xff]))
            .unwrap();
        let letters = [
            letter(vec![0xff, 0xfe, 0x1b, b'[', 0x00], "not-utf-8"),
            letter(vec![b'x'; 10 * 1024 * 1024], "ten-megabytes"),
            many,
            odd,
        ];
        let publisher = Publisher::connect(&url).await.unwrap();
        for letter in letters {
            publisher.to(DEAD).verbatim(letter).send().await.unwrap();
        }
        publisher.close().await;
        // one that the client library cannot read by itself: a text that is Latin-1, and nothing that names it
        let rabbit = rabbit().await;
        tokio::task::spawn_blocking(|| {
            let mut client = RawClient::connect(rabbit);
            let properties = b"\x20\x00\x00\x00\x00\x0e\x04nameS\x00\x00\x00\x04J\xfcrg";
            client.publish(DEAD, properties, b"\x1b[31mred");
        })
        .await
        .unwrap();
        eventually(DEADLINE, async || bed.ready_count(DEAD).await == 5).await;
        let harmless = |output: &Output| {
            let out = ended(0, output);
            let bad = |character: char| {
                character != '\n' && (character.is_control() || character == '\u{202e}')
            };
            assert!(!out.contains(bad), "{}", out.escape_debug());
            out
        };
        for arguments in [&["dlq", "list"][..], &["dlq", "groups"]] {
            let out = harmless(&run(&url, WELL, arguments));
            assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
        }
        for id in ["not-utf-8", "ten-megabytes", "many-headers", "odd-headers"] {
            let shown = harmless(&run(&url, WELL, &["dlq", "show", id]));
            assert!(shown.len() < 100_000, "{id}: {}", shown.len());
            harmless(&run(&url, WELL, &["dlq", "show", "--full", id]));
        }
        let listed = ended(0, &run(&url, WELL, &["dlq", "list", "--json"]));
        let unnamed: serde_json::Value =
            serde_json::from_str(listed.lines().last().unwrap()).unwrap();
        let shown = harmless(&run(
            &url,
            WELL,
            &["dlq", "show", unnamed["id"].as_str().unwrap()],
        ));
        assert!(
            shown.contains("header      name: 4 bytes: J\\xfcrg"),
            "{shown}"
        );
        assert_eq!(bed.ready_count(DEAD).await, 5);
    })
    .await;
}
