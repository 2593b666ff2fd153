use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Something that handlers need, and that may be away. All clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Dependency(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_away: AtomicBool,
    asked_in_vain: AtomicUsize,
}

impl Dependency {
    /// One that is away from the beginning.
    pub fn away() -> Self {
        let dependency = Self::default();
        dependency.goes_away();
        dependency
    }

    /// From here on, whoever asks is refused.
    pub fn goes_away(&self) {
        self.0.is_away.store(true, SeqCst);
    }

    /// From here on, whoever asks has an answer.
    pub fn comes_back(&self) {
        self.0.is_away.store(false, SeqCst);
    }

    /// Whether it is away, without asking.
    pub fn is_away(&self) -> bool {
        self.0.is_away.load(SeqCst)
    }

    /// How often it was asked while it was away.
    pub fn asked_in_vain(&self) -> usize {
        self.0.asked_in_vain.load(SeqCst)
    }

    /// Asks it.
    ///
    /// # Errors
    ///
    /// While it is away.
    pub fn ask(&self) -> io::Result<()> {
        if self.is_away() {
            self.0.asked_in_vain.fetch_add(1, SeqCst);
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(())
    }
}
