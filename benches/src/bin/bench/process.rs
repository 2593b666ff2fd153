use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

const DEADLINE: Duration = Duration::from_secs(120);
const GLANCE: Duration = Duration::from_millis(50);

/// The core of the synthetic broker.
pub(crate) const BROKER_CORE: &str = "0";

/// The core of the consumer.
pub(crate) const CONSUMER_CORE: &str = "1";

/// A program that runs, until this is dropped, and says lines.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    /// Starts it on these cores, or on all.
    pub(crate) fn start(
        cores: Option<&str>,
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> anyhow::Result<Self> {
        let mut command = match cores {
            Some(cores) => {
                let mut command = Command::new("taskset");
                command.args(["-c", cores]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        // where a consumer fails, its error says enough
        command.env("RUST_BACKTRACE", "0");
        let mut child = command
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// The numbers of the next line that begins with this word. Fails when `other` ends meanwhile.
    pub(crate) fn expect(
        &mut self,
        word: &str,
        mut other: Option<&mut Self>,
    ) -> anyhow::Result<Vec<f64>> {
        let start = Instant::now();
        loop {
            match self.lines.recv_timeout(GLANCE) {
                Ok(line) => {
                    let mut words = line.split_whitespace();
                    if words.next() == Some(word) {
                        return words.map(|word| Ok(word.parse()?)).collect();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => bail!("it ended before it said `{word}`"),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(other) = &mut other {
                ensure!(other.child.try_wait()?.is_none(), "the consumer ended");
            }
            ensure!(start.elapsed() < DEADLINE, "it does not say `{word}`");
        }
    }

    /// How long its threads have run.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut nanos = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // a thread may end meanwhile
            let stat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            let time = stat.split_whitespace().next().unwrap_or("0");
            nanos += time.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// How often its threads have gone to sleep, and so been woken.
    pub(crate) fn sleeps(&self) -> anyhow::Result<u64> {
        let mut sleeps = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let status = fs::read_to_string(task?.path().join("status")).unwrap_or_default();
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            sleeps += line.unwrap_or("0").trim().parse::<u64>()?;
        }
        Ok(sleeps)
    }

    /// The most memory that it had until now, in KiB.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.context("the kernel does not say")?;
        Ok(peak.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
