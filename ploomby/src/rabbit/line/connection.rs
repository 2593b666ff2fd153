use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::rabbit::{connection::SharedConnection, url::RabbitUrl};

/// A connection that several lines publish over, each on channels of its own: what the broker does to the
/// channel of one does not touch the others. It is opened by the first, and closed with the last.
///
/// It carries no deliveries: RabbitMQ stops reading from connections that publish while it is short of memory or
/// disk, and acknowledgements must not wait behind that.
#[derive(Debug)]
pub(crate) struct LineConnection {
    shared: SharedConnection,
    lines: AtomicUsize,
}

impl LineConnection {
    /// `purpose` tells connections of one program apart in the broker's lists.
    pub(crate) fn new(url: RabbitUrl, purpose: &'static str) -> Self {
        Self {
            shared: SharedConnection::new(url, purpose),
            lines: AtomicUsize::new(0),
        }
    }

    pub(in crate::rabbit) fn shared(&self) -> &SharedConnection {
        &self.shared
    }

    /// Whether the broker takes no messages over it at the moment.
    #[cfg(feature = "metrics")]
    pub(crate) fn is_blocked(&self) -> bool {
        self.shared.blocked().is_some()
    }

    /// One more line uses it.
    pub(super) fn join(&self) {
        self.lines.fetch_add(1, SeqCst);
    }

    /// A line is over.
    pub(super) async fn leave(&self) {
        if self.lines.fetch_sub(1, SeqCst) == 1 {
            self.shared.close().await;
        }
    }

    /// Closes it where no line does: it may have been used without one.
    pub(in crate::rabbit) async fn close_unless_used(&self) {
        if self.lines.load(SeqCst) == 0 {
            self.shared.close().await;
        }
    }
}
