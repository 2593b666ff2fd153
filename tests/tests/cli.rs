//! The command line of a program, as a process of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ploomby::{Message, Properties, Publisher, Value};
use ploomby_tests::{Bed, DEADLINE, RawClient, eventually, rabbit};

const QUEUE: &str = "billing";
const DEAD: &str = "billing_dlq";

/// A bank that is `down`, or is well.
const DOWN: &str = "down";
const WELL: &str = "well";

fn shop(url: &str, bank: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command
        .args(arguments)
        .env("SHOP_AMQP", url)
        .env("SHOP_BANK", bank);
    command
        .env("NO_COLOR", "1")
        .env_remove("COLUMNS")
        .stdin(Stdio::null());
    command
}

fn run(url: &str, bank: &str, arguments: &[&str]) -> Output {
    shop(url, bank, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What it wrote, once it ended so.
#[track_caller]
fn ended(code: i32, output: &Output) -> String {
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    out
}

/// The program as it handles messages, and the lines that it writes.
struct Shop(Child, mpsc::Receiver<String>);

impl Shop {
    fn start(url: &str, bank: &str) -> Self {
        Self::start_with(url, bank, "64")
    }

    /// With so many orders at a time.
    fn start_with(url: &str, bank: &str, at_once: &str) -> Self {
        let mut child = shop(url, bank, &["run"])
            .env("SHOP_AT_ONCE", at_once)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .all(|line| sender.send(line).is_ok())
        });
        Self(child, receiver)
    }

    fn next_line(&self) -> String {
        self.1.recv_timeout(DEADLINE).unwrap()
    }

    fn stop(self) {
        drop(self);
    }
}

/// It would go on to handle what other tests send.
impl Drop for Shop {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A RabbitMQ without the queues of the shop, which are gone afterwards, too. One test at a time has them.
async fn with_queues<Fut: Future<Output = ()>>(
    test: impl FnOnce(std::sync::Arc<Bed>, String) -> Fut,
) {
    static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    let _one = ONE.lock().await;
    let url = rabbit().await.url().to_owned();
    let bed = Bed::rabbit().await;
    for queue in [
        QUEUE,
        DEAD,
        "billing_suspects",
        "billing_crashes",
        "billing_retry_1000ms",
    ] {
        bed.delete(queue).await;
        bed.remove_later(queue);
    }
    bed.run(async |bed| test(bed, url).await).await;
}

/// Has so many orders fail, of three kinds.
async fn fail(bed: &Bed, url: &str, orders: u32) {
    // few of them in their order
    let at_once = if orders < 100 { "1" } else { "64" };
    let running = Shop::start_with(url, DOWN, at_once);
    bed.until_exists(QUEUE).await;
    bed.until_exists(DEAD).await;
    let publisher = Publisher::connect(url).await.unwrap();
    let body = |id: u32| match id % 10 {
        0 => format!(r#"{{"id":{id},"cents":"many"}}"#),
        1 => format!(r#"{{"id":{id},"cents":0}}"#),
        _ => format!(r#"{{"id":{id},"cents":100}}"#),
    };
    let messages = (0..orders).map(|id| publisher.to(QUEUE).key("charge").body(body(id)));
    publisher.send_all(messages).await.unwrap();
    publisher.close().await;
    eventually(DEADLINE * 4, async || bed.ready_count(DEAD).await == orders).await;
    running.stop();
}

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
        one.contains("timeout     10s") && one.contains("bin/shop.rs:"),
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_moved_where_nobody_can_answer() {
    with_queues(async |bed, url| {
        fail(&bed, &url, 5).await;
        let file =
            std::env::temp_dir().join(format!("{}.ndjson", ploomby_tests::unique_name("letters")));
        let file = file.to_str().unwrap();
        for arguments in [
            &["dlq", "replay"][..],
            &["dlq", "discard"],
            &["dlq", "import", "/dev/null"],
        ] {
            let output = run(&url, WELL, arguments);
            ended(2, &output);
            assert!(
                text(&output.stderr).contains("--yes"),
                "{}",
                text(&output.stderr)
            );
        }
        assert_eq!(bed.ready_count(DEAD).await, 5);
        let dry = ended(
            0,
            &run(&url, WELL, &["dlq", "replay", "--dry-run", "--limit", "2"]),
        );
        assert_eq!(dry.lines().last(), Some("2 letters would be replayed"));
        let json = [
            "dlq", "discard", "--yes", "--json", "--limit", "2", "--to", file,
        ];
        let discarded = ended(0, &run(&url, WELL, &json));
        let lines: Vec<serde_json::Value> = discarded
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!((lines.len(), &lines[2]["done"]), (3, &serde_json::json!(2)));
        assert_eq!(bed.ready_count(DEAD).await, 3);
        ended(0, &run(&url, WELL, &["dlq", "import", "--yes", file]));
        assert_eq!(bed.ready_count(DEAD).await, 5);
        let exported = ended(0, &run(&url, WELL, &["dlq", "export"]));
        assert_eq!(exported.lines().count(), 5);
        fs::remove_file(file).unwrap();
        // a queue that is gone takes nothing
        bed.delete(QUEUE).await;
        ended(1, &run(&url, WELL, &["dlq", "replay", "--yes"]));
        assert_eq!(bed.ready_count(DEAD).await, 5);
    })
    .await;
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_that_closes_is_no_panic() {
    with_queues(async |bed, url| {
        fail(&bed, &url, 1_000).await;
        for arguments in [
            &["dlq", "export"][..],
            &["dlq", "list", "--json", "--limit", "1000"],
        ] {
            let mut child = shop(&url, WELL, arguments);
            let mut child = child
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut first = [0; 10];
            let mut out = child.stdout.take().unwrap();
            out.read_exact(&mut first).unwrap();
            drop(out);
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
            assert!(!text(&output.stderr).contains("panicked"));
        }
        eventually(DEADLINE, async || bed.ready_count(DEAD).await == 1_000).await;
    })
    .await;
}

/// Killed in the middle, no letter is lost, and each is handled once, but for the one that was on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_letters_are_grouped_checked_and_replayed() {
    const LETTERS: u32 = 10_000;

    with_queues(async |bed, url| {
        fail(&bed, &url, LETTERS).await;
        let begun = Instant::now();
        let groups = ended(0, &run(&url, WELL, &["dlq", "groups", "--json"]));
        let took = begun.elapsed();
        println!("10,000 letters grouped in {took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        let counts: Vec<_> = groups
            .lines()
            .map(|line| {
                let group: serde_json::Value = serde_json::from_str(line).unwrap();
                group["count"].as_u64().unwrap()
            })
            .collect();
        assert_eq!(counts, [8_000, 1_000, 1_000], "{groups}");
        let output = run(&url, WELL, &["dlq", "check"]);
        println!("{}", text(&output.stderr));
        let checked = ended(4, &output);
        assert!(
            checked.contains("9000   would be taken") && checked.contains("1000   undecodable"),
            "{checked}"
        );

        let running = Shop::start(&url, WELL);
        let error = "cannot reach the bank";
        let replay = [
            "dlq",
            "replay",
            "--yes",
            "--error",
            error,
            "--canary",
            "5",
            "--canary-wait",
            "1s",
            "--rate",
            "2000/s",
        ];
        let mut killed = shop(&url, WELL, &replay).spawn().unwrap();
        let mut charged: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..1_000 {
            *charged.entry(running.next_line()).or_default() += 1;
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
        // the broker takes back what it held
        thread::sleep(Duration::from_secs(1));
        let replayed = ended(0, &run(&url, WELL, &replay));
        println!("{}", replayed.trim());
        while charged.len() < 8_000 {
            *charged.entry(running.next_line()).or_default() += 1;
        }
        while let Ok(line) = running.1.recv_timeout(Duration::from_secs(2)) {
            *charged.entry(line).or_default() += 1;
        }
        let again: usize = charged.values().map(|times| times - 1).sum();
        println!("{again} handled twice");
        assert_eq!(charged.len(), 8_000);
        assert!(again <= 1, "{again}");
        assert_eq!(bed.ready_count(DEAD).await, 2_000);
        running.stop();
    })
    .await;
}

/// The chapter has real output: each command of its consoles is run, in their order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chapter_about_operations_is_true() {
    with_queues(async |bed, url| {
        let chapter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
        let chapter = fs::read_to_string(chapter).unwrap();
        let folder = std::env::temp_dir().join(ploomby_tests::unique_name("chapter"));
        fs::create_dir(&folder).unwrap();
        fail(&bed, &url, 40).await;
        let mut consoles = 0;
        let mut wrong = Vec::new();
        for console in chapter.split("```console\n").skip(1) {
            let (console, _) = console.split_once("```").unwrap();
            consoles += 1;
            for command in console.split("$ shop").skip(1) {
                let (command, expected) = command.split_once('\n').unwrap();
                let listed = ended(
                    0,
                    &run(&url, WELL, &["dlq", "list", "--json", "--limit", "1"]),
                );
                let first = listed.lines().next().map(|line| {
                    let letter: serde_json::Value = serde_json::from_str(line).unwrap();
                    letter["id"].as_str().unwrap().to_owned()
                });
                let first = first.unwrap_or_default();
                let words = words(command).into_iter();
                let arguments: Vec<_> = words
                    .map(|word| {
                        if word.starts_with("…") {
                            first.clone()
                        } else {
                            word
                        }
                    })
                    .collect();
                let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
                let running = (arguments.first() == Some(&"dlq") && arguments.contains(&"--yes"))
                    .then(|| Shop::start(&url, WELL));
                let output = shop(&url, WELL, &arguments)
                    .current_dir(&folder)
                    .output()
                    .unwrap();
                let (found, expected) = (told(&text(&output.stdout)), told(expected));
                if found != expected {
                    let (out, errors) = (text(&output.stdout), text(&output.stderr));
                    wrong.push(format!("$ shop{command}\n{out}{errors}"));
                }
                if let Some(running) = running {
                    running.stop();
                }
            }
        }
        fs::remove_dir_all(&folder).unwrap();
        assert!(consoles > 4, "{consoles}");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    })
    .await;
}

/// The words of a command, some of them in quotes.
fn words(command: &str) -> Vec<String> {
    let parts = command.split('"').enumerate();
    let words = parts.flat_map(|(at, part)| match at % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    words.collect()
}

/// What is the same each time: without names, times and numbers of lines.
fn told(output: &str) -> Vec<String> {
    let word = |word: &str| {
        let is_id = word.len() >= 12
            && word
                .chars()
                .all(|character| character.is_ascii_hexdigit() || character == '-');
        let is_time = word.len() >= 8
            && word
                .chars()
                .all(|character| character.is_ascii_digit() || ":-TZ".contains(character));
        match word.split_once(".rs:") {
            _ if is_id || is_time => "#".to_owned(),
            Some((file, _)) => format!("{file}.rs:#"),
            None => word.to_owned(),
        }
    };
    let lines = output.lines().map(|line| {
        let words: Vec<_> = line.split_whitespace().map(word).collect();
        let mut line = words.join(" ");
        for ago in [" s ago", " min ago"] {
            if let Some((before, after)) = line.split_once(ago) {
                let before = before.trim_end_matches(|character: char| character.is_ascii_digit());
                line = format!("{before}#{after}");
            }
        }
        line
    });
    lines.filter(|line| !line.is_empty()).collect()
}
