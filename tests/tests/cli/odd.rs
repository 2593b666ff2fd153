//! Letters that are hard to show, and many of them.

use std::fs;
use std::io::Read;
use std::process::{Output, Stdio};

use ploomby::{Message, Properties, Publisher, Value};
use ploomby_tests::{DEADLINE, RawClient, eventually, rabbit};

use crate::support::{DEAD, WELL, ended, run, shop, with_queues};

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
        let nested = format!("{}{}", "[".repeat(32_768), "]".repeat(32_768));
        let letters = [
            letter(vec![0xff, 0xfe, 0x1b, b'[', 0x00], "not-utf-8"),
            letter(vec![b'x'; 10 * 1024 * 1024], "ten-megabytes"),
            many,
            odd,
            letter(nested.into_bytes(), "nested"),
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
        eventually(DEADLINE, async || bed.ready_count(DEAD).await == 6).await;
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
        for id in [
            "not-utf-8",
            "ten-megabytes",
            "many-headers",
            "odd-headers",
            "nested",
        ] {
            let shown = harmless(&run(&url, WELL, &["dlq", "show", id]));
            assert!(shown.len() < 100_000, "{id}: {}", shown.len());
            let shown = harmless(&run(&url, WELL, &["dlq", "show", "--full", id]));
            assert!(shown.len() < 11_000_000, "{id}: {}", shown.len());
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
        assert_eq!(bed.ready_count(DEAD).await, 6);
    })
    .await;
}

/// However many letters there are, they are looked at one after another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_letters_are_listed_and_grouped_in_little_memory() {
    const MEBIBYTE: usize = 1024 * 1024;

    with_queues(async |bed, url| {
        // `PLOOMBY_TEST_LETTERS=100000` is what is promised
        let chosen = std::env::var("PLOOMBY_TEST_LETTERS").ok();
        let letters: u32 = chosen.map_or(20_000, |number| number.parse().unwrap());
        bed.declare(DEAD, &[("x-queue-type", "classic".into())])
            .await;
        let publisher = Publisher::connect(&url).await.unwrap();
        let letter = |number: u32| {
            let error = format!(
                "cannot reach 10.0.0.{}: timed out after {number} ms",
                number % 250
            );
            let kind = ["timed out", "order is closed", "no luck"][number as usize % 3];
            publisher
                .to(DEAD)
                .body(format!(
                    "{{\"id\":{number},\"text\":\"{}\"}}",
                    "x".repeat(500)
                ))
                .header("ploomby-dead-letter-id", format!("letter-{number:08}"))
                .header("ploomby-error", format!("{kind}: {error}"))
                .header("ploomby-key", "charge")
        };
        publisher.send_all((0..letters).map(letter)).await.unwrap();
        publisher.close().await;
        let limit = letters.to_string();
        for arguments in [
            &["dlq", "groups"][..],
            &["dlq", "list", "--limit", &limit],
            &["dlq", "list", "--json", "--limit", &limit],
        ] {
            let mut child = shop(&url, WELL, arguments)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut out = child.stdout.take().unwrap();
            let (mut most, mut lines, mut bytes) = (0, 0, vec![0; 64 * 1024]);
            loop {
                // as long as it has something to say, it is there
                most = most.max(resident(child.id()).unwrap_or_default());
                match out.read(&mut bytes).unwrap() {
                    0 => break,
                    read => lines += bytes[..read].iter().filter(|byte| **byte == b'\n').count(),
                }
            }
            assert!(child.wait().unwrap().success());
            println!("{arguments:?}: {lines} lines, {} MiB", most / MEBIBYTE);
            assert!(most > 0 && most < 200 * MEBIBYTE, "{arguments:?}: {most}");
            let expected = match arguments[1] {
                "groups" => 4,
                _ => letters as usize,
            };
            assert!(
                (expected..=expected + 1).contains(&lines),
                "{arguments:?}: {lines}"
            );
        }
        eventually(DEADLINE, async || bed.ready_count(DEAD).await == letters).await;
    })
    .await;
}

/// How much memory a process has had at most, in bytes.
fn resident(process: u32) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes = line.split_whitespace().nth(1)?.parse::<usize>().ok()?;
    Some(kilobytes * 1024)
}
