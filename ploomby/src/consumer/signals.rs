use std::{io, time::Duration};

use tokio::time::Instant;
use tracing::{error, info};

use super::RunError;

/// The signals that ask a process to end: SIGINT and SIGTERM, or Ctrl-C where there are no signals.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

/// Which of them came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Interrupt,
    #[cfg(unix)]
    Terminate,
}

/// A wrapper may send the same signal to the process and to its group: that is one wish.
const ECHO: Duration = Duration::from_secs(1);

impl Signals {
    /// # Errors
    ///
    /// [`RunError::Signals`].
    pub(crate) fn listen() -> Result<Self, RunError> {
        Self::new().map_err(RunError::Signals)
    }

    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// What comes of the work, unless a signal tells the process to end before: then it is dropped, and which signal
    /// came.
    pub(crate) async fn unless_told<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Kind> {
        // cancel safety: a signal that comes while the work ends is seen by the next call
        tokio::select! {
            done = work => Ok(done),
            kind = self.next() => {
                info!("told to stop, waiting for running handlers");
                Err(kind)
            }
        }
    }

    /// What comes of the work, unless the process is told again to end, after it was `told` to just now: then it is
    /// dropped.
    ///
    /// # Errors
    ///
    /// [`RunError::Interrupted`].
    pub(crate) async fn unless_told_again<T>(
        &mut self,
        told: Option<Kind>,
        work: impl Future<Output = T>,
    ) -> Result<T, RunError> {
        let again = async {
            match told {
                Some(first) => self.again(first).await,
                None => _ = self.next().await,
            }
        };
        // cancel safety: the consumers are dropped, and with them what they hold
        tokio::select! {
            done = work => Ok(done),
            () = again => {
                error!("told to stop again, ending at once");
                Err(RunError::Interrupted)
            }
        }
    }

    /// # Cancel safety
    ///
    /// A signal that comes between two calls is seen by the next.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) -> Kind {
        tokio::select! {
            _ = self.interrupt.recv() => Kind::Interrupt,
            _ = self.terminate.recv() => Kind::Terminate,
        }
    }

    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) -> Kind {
        // an error means that there is no such signal, and so none to wait for
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Kind::Interrupt
    }

    /// The next signal that is no echo of the `first`, which came just now.
    async fn again(&mut self, first: Kind) {
        let came = Instant::now();
        while self.next().await == first && came.elapsed() < ECHO {}
    }
}
