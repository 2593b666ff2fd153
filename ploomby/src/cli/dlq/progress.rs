//! How far a command has come that moves many letters.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// Between two lines that say so.
const PAUSE: Duration = Duration::from_millis(250);

/// Says on the standard error how far it is, in one line that is written over, where that is a terminal.
pub(super) struct Progress {
    done: usize,
    total: usize,
    since: Instant,
    told: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    /// Of so many letters.
    pub(super) fn of(total: usize) -> Self {
        Self {
            done: 0,
            total,
            since: Instant::now(),
            told: None,
            is_shown: io::stderr().is_terminal(),
        }
    }

    /// One more is done.
    pub(super) fn step(&mut self) {
        self.done += 1;
        let now = Instant::now();
        let is_due = self.told.is_none_or(|told| now >= told + PAUSE);
        if self.is_shown && is_due {
            self.told = Some(now);
            let line = line(self.done, self.total, now - self.since);
            // there may be nobody left to tell
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.told.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(done: usize, total: usize, took: Duration) -> String {
    let rate = done as f64 / took.as_secs_f64().max(f64::EPSILON);
    let left = total.saturating_sub(done) as f64 / rate;
    match took < Duration::from_secs(1) {
        // too early to tell
        true => format!("{done} of {total} letters"),
        false => format!("{done} of {total} letters, {rate:.0}/s, {left:.0} s left"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_told_once_the_rate_is_known() {
        assert_eq!(line(1, 10_000, Duration::ZERO), "1 of 10000 letters");
        let later = line(400, 10_000, Duration::from_secs(2));
        assert_eq!(later, "400 of 10000 letters, 200/s, 48 s left");
        // more than there were as it was counted
        let over = line(12, 10, Duration::from_secs(4));
        assert_eq!(over, "12 of 10 letters, 3/s, 0 s left");
    }
}
