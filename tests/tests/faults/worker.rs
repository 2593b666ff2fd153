use std::collections::BTreeSet;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::LONG;

/// A program of ploomby in a process of its own.
pub(crate) struct Worker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) begun: BTreeSet<u32>,
    pub(crate) done: Vec<u32>,
    /// What was said at which time, in microseconds.
    pub(crate) said: Vec<(u64, Said)>,
}

/// What a worker said of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Begun(u32),
    Done(u32),
}

impl Worker {
    pub(crate) fn start(url: &str, queue: &str, concurrency: u32) -> Self {
        Self::start_with(url, queue, concurrency, &[])
    }

    /// The words say what is not as usual: `fitted` (no prefetch is chosen), `ordered`, `away=FILE` (what `needy` needs is away
    /// while the file is there).
    pub(crate) fn start_with(url: &str, queue: &str, concurrency: u32, words: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_worker"))
            .args([url, queue, &concurrency.to_string()])
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            lines,
            begun: BTreeSet::new(),
            done: Vec::new(),
            said: Vec::new(),
        }
    }

    async fn line(&mut self) -> Option<String> {
        let line = timeout(LONG, self.lines.next_line()).await;
        line.expect("the worker says something").unwrap()
    }

    /// Notes what the worker says next; whether it said anything.
    pub(crate) async fn listen(&mut self) -> bool {
        let Some(line) = self.line().await else {
            return false;
        };
        let mut words = line.split(' ');
        let mut next = || words.next().unwrap();
        let (what, number, at) = (next(), next().parse().unwrap(), next().parse().unwrap());
        match what {
            "begun" => {
                self.begun.insert(number);
                self.said.push((at, Said::Begun(number)));
            }
            _ => {
                self.done.push(number);
                self.said.push((at, Said::Done(number)));
            }
        }
        true
    }

    pub(crate) async fn signal(&self, signal: &str) {
        let pid = self.child.id().unwrap().to_string();
        let status = Command::new("kill").args([signal, &pid]).status().await;
        assert!(status.unwrap().success());
    }

    /// Waits for the end of the process and returns its status.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        while self.listen().await {}
        timeout(LONG, self.child.wait()).await.unwrap().unwrap()
    }
}
