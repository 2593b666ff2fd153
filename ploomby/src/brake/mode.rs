use std::sync::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Acquire},
};

/// Whether messages of a queue can be handled without a further look: the shutdown has not begun, and no brake wants
/// to see them.
#[derive(Debug, Default)]
pub(crate) struct Mode(AtomicU32);

/// Set once shutdown has begun. Below it stands how many brakes want to see messages.
const STOPPED: u32 = 1 << 31;

impl Mode {
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.0.load(Acquire) == 0
    }

    /// The same, where whoever looks has taken something that must not be missed by who stops.
    pub(crate) fn is_plain_for_all(&self) -> bool {
        self.settled() == 0
    }

    /// Whether shutdown has begun.
    pub(crate) fn is_stopped(&self) -> bool {
        self.settled() & STOPPED != 0
    }

    fn settled(&self) -> u32 {
        // not just read, so that whoever drains, after this, sees what was taken before
        self.0.fetch_or(0, AcqRel)
    }

    pub(crate) fn stop(&self) {
        self.0.fetch_or(STOPPED, AcqRel);
    }

    /// One more brake, or one less, wants to see messages.
    pub(super) fn watch(&self, is_watched: bool) {
        if is_watched {
            self.0.fetch_add(1, AcqRel);
        } else {
            self.0.fetch_sub(1, AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_stays_whatever_brakes_do() {
        let mode = Mode::default();
        assert!(mode.is_plain());
        mode.watch(true);
        assert!(!mode.is_plain() && !mode.is_stopped());
        mode.stop();
        mode.stop();
        mode.watch(false);
        assert!(!mode.is_plain() && mode.is_stopped());
    }
}
