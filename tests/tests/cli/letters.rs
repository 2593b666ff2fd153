//! Letters that are listed, counted, moved and kept, by the process.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use ploomby_tests::{DEADLINE, eventually};

use crate::support::{DEAD, QUEUE, Shop, WELL, ended, fail, run, shop, text, with_queues};

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
        let dry = ["dlq", "replay", "--dry-run", "--json", "--limit", "1"];
        for line in ended(0, &run(&url, WELL, &dry)).lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                (&line["act"], &line["dry_run"]),
                (&"replay".into(), &true.into())
            );
        }
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
