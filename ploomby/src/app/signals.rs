use std::{io, time::Duration};

use tokio::time::Instant;

/// The signals that ask a process to end: SIGINT and SIGTERM, or Ctrl-C where there are no signals.
pub(super) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

/// Which of them came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Interrupt,
    #[cfg(unix)]
    Terminate,
}

/// A wrapper may send the same signal to the process and to its group: that is one wish.
const ECHO: Duration = Duration::from_secs(1);

impl Signals {
    #[cfg(unix)]
    pub(super) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    #[cfg(not(unix))]
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// # Cancel safety
    ///
    /// A signal that comes between two calls is seen by the next.
    #[cfg(unix)]
    pub(super) async fn next(&mut self) -> Kind {
        tokio::select! {
            _ = self.interrupt.recv() => Kind::Interrupt,
            _ = self.terminate.recv() => Kind::Terminate,
        }
    }

    #[cfg(not(unix))]
    pub(super) async fn next(&mut self) -> Kind {
        // an error means that there is no such signal, and so none to wait for
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Kind::Interrupt
    }

    /// The next signal that is no echo of the `first`, which came just now.
    pub(super) async fn again(&mut self, first: Kind) {
        let came = Instant::now();
        while self.next().await == first && came.elapsed() < ECHO {}
    }
}
