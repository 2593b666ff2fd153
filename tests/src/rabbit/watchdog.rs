use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

/// A shell script that outlives this process and cleans up after it.
///
/// Its standard input ends when the watchdog is dropped or this process ends, be it by SIGKILL: nothing
/// else holds the other end of that pipe. Statics are never dropped and signal handlers miss SIGKILL,
/// so no destructor could do the same.
pub(super) struct Watchdog {
    _shell: Child,
    input: Mutex<ChildStdin>,
}

impl Watchdog {
    pub(super) fn spawn(script: &str, configure: impl FnOnce(&mut Command)) -> Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]);
        configure(&mut shell);
        // one that reads the output of the tests must not wait for the watchdog
        shell
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // a Ctrl-C in the terminal is for the tests alone
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        let mut shell = shell.spawn().context("sh does not start")?;
        let input = shell.stdin.take().context("sh takes no input")?;
        Ok(Self {
            _shell: shell,
            input: Mutex::new(input),
        })
    }

    /// Gives the script a line to read.
    pub(super) fn tell(&self, line: &str) -> Result<()> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(input, "{line}").context("the watchdog is gone")
    }
}
