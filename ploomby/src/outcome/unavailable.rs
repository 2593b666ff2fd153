use std::{error::Error, fmt, io, time::Duration};

use super::cause;

/// An error that is not the message's fault: what the handler needs is away, such as its database.
///
/// The message takes no attempt and is never dead-lettered for it. It waits in the broker, and the brake of its
/// handler goes on: from then on the handler gets one message at a time, after pauses that grow from one second to
/// thirty, until a message succeeds. The other handlers of the queue go on. See
/// [`Brake`](crate::Brake) for errors that do not say so.
///
/// It may stand anywhere in the chain of causes. If the chain also holds a
/// [`Rejection`](crate::extract::Rejection), the message becomes what the rejection says.
///
/// ```
/// use ploomby::{OrUnavailable, Unavailable};
/// use tokio::net::TcpStream;
///
/// #[ploomby::handler("charge")]
/// async fn charge(cents: u64) -> anyhow::Result<()> {
///     let bank = TcpStream::connect("bank.example:443").await.or_unavailable()?;
///     if bank.peer_addr()?.is_ipv4() && cents == 0 {
///         return Err(Unavailable::msg("the bank asks to come again later").into());
///     }
///     Ok(())
/// }
/// ```
pub struct Unavailable {
    error: anyhow::Error,
    retry_after: Option<Duration>,
}

impl Unavailable {
    /// Marks an error as one of what the handler needs.
    pub fn new(error: impl Into<anyhow::Error>) -> Self {
        Self {
            error: error.into(),
            retry_after: None,
        }
    }

    /// Marks a text as such an error.
    pub fn msg(text: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Self {
        Self::new(anyhow::Error::msg(text))
    }

    /// How long the handler gets no message, as HTTP's `Retry-After` says it (default: one second at first, and then
    /// twice as long each time, up to thirty seconds). An hour is the most that is believed.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    pub(crate) fn pause(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The error that it marks.
    #[must_use]
    pub fn into_inner(self) -> anyhow::Error {
        self.error
    }

    /// Whether an error, or one of its causes, is an [`io::Error`] of a kind that says that the other side is not there:
    /// a connection that is refused, reset, aborted or not made, a host or network that cannot be reached, a broken
    /// pipe, a time that is over. For [`unavailable_if`](crate::Queue::unavailable_if).
    ///
    /// A missing file or right is none of these: it concerns the message or the program.
    #[must_use]
    pub fn is_io(error: &anyhow::Error) -> bool {
        use io::ErrorKind::{
            AddrNotAvailable, BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset,
            HostUnreachable, NetworkDown, NetworkUnreachable, NotConnected, TimedOut,
        };

        let mut causes = error.chain().filter_map(<dyn Error>::downcast_ref);
        causes.any(|error: &io::Error| {
            matches!(
                error.kind(),
                ConnectionRefused
                    | ConnectionReset
                    | ConnectionAborted
                    | NotConnected
                    | AddrNotAvailable
                    | BrokenPipe
                    | HostUnreachable
                    | NetworkDown
                    | NetworkUnreachable
                    | TimedOut
            )
        })
    }

    /// Whether an error, or one of its causes, is that of `tokio::time::timeout`. For
    /// [`unavailable_if`](crate::Queue::unavailable_if).
    #[must_use]
    pub fn is_elapsed(error: &anyhow::Error) -> bool {
        cause::<tokio::time::error::Elapsed>(error).is_some()
    }
}

/// Marks the error of a `Result` as [`Unavailable`].
///
/// ```
/// use ploomby::OrUnavailable;
///
/// let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
/// let marked = Err::<(), _>(refused).or_unavailable();
/// assert_eq!(marked.unwrap_err().to_string(), "connection refused");
/// ```
pub trait OrUnavailable<T> {
    /// The value, or its error marked.
    ///
    /// # Errors
    ///
    /// The error that was there.
    fn or_unavailable(self) -> Result<T, Unavailable>;
}

impl<T, E: Into<anyhow::Error>> OrUnavailable<T> for Result<T, E> {
    fn or_unavailable(self) -> Result<T, Unavailable> {
        self.map_err(Unavailable::new)
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl fmt::Debug for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl Error for Unavailable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_io_error_is_found_anywhere_in_the_chain_by_its_kind() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let deep = anyhow::Error::new(Unavailable::new(refused())).context("cannot charge");
        assert!(Unavailable::is_io(&refused().into()));
        let inside = anyhow::Error::new(refused())
            .context("no bank")
            .context("cannot charge");
        assert!(Unavailable::is_io(&inside));
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied] {
            assert!(!Unavailable::is_io(&io::Error::from(kind).into()));
        }
        assert!(cause::<Unavailable>(&deep).is_some());
    }

    #[tokio::test]
    async fn the_end_of_a_time_is_found() {
        let over = tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()).await;
        let over = anyhow::Error::new(over.unwrap_err()).context("no answer");
        assert!(Unavailable::is_elapsed(&over));
        assert!(!Unavailable::is_elapsed(&anyhow::anyhow!("no answer")));
    }
}
