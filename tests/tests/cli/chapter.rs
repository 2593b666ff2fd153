//! `docs/operations.md`, whose consoles are run.

use std::fs;
use std::path::Path;

use crate::support::{Shop, WELL, ended, fail, run, shop, text, with_queues};

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
                let is_moved = arguments.contains(&"--yes");
                let is_said = ["publish", "call"].contains(&arguments[0]);
                let running = (is_moved || is_said).then(|| Shop::start(&url, WELL));
                let output = shop(&url, WELL, &arguments)
                    .current_dir(&folder)
                    .output()
                    .unwrap();
                let errors = text(&output.stderr);
                let errors = errors.lines().filter(|line| line.starts_with("error: "));
                let found = errors.fold(text(&output.stdout), |out, line| out + line + "\n");
                let (found, expected) = (told(&found), told(expected));
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
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for character in command.chars().chain([' ']) {
        match (character, quote) {
            (character, Some(end)) if character == end => quote = None,
            ('"' | '\'', None) => quote = Some(character),
            (' ', None) => {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()))
            }
            (character, _) => word.push(character),
        }
    }
    words
}

/// JSON with another place in the file.
fn without_line(json: &str) -> String {
    let (before, after) = json.split_once("\"line\":").unwrap();
    let after = after.trim_start_matches(|character: char| character.is_ascii_digit());
    format!("{before}\"line\":#{after}")
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
        let units = word
            .trim_start_matches(|character: char| character.is_ascii_digit() || character == '.');
        let is_address = word.starts_with("127.0.0.1:") || word.starts_with("localhost:");
        let is_duration = units.len() < word.len() && ["s", "ms", "µs"].contains(&units);
        match word.split_once(".rs:") {
            _ if is_id || is_time || is_duration || is_address => "#".to_owned(),
            Some((file, _)) => format!("{file}.rs:#"),
            None if word.contains("\"line\":") => without_line(word),
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
