use std::time::Duration;

/// How often the broker is asked about the queue of a consumer to which nothing comes.
pub(super) const LOOK: Duration = Duration::from_secs(15);

/// How long nothing comes before a consumer subscribes anew that the broker may have lost in silence, and up to
/// twice as long. Each time that nothing has come since the last, it waits twice as long.
pub(super) const STALE: Duration = Duration::from_secs(15);

/// A queue that is idle for hours costs the broker no more than this. It is lost only where it is deleted and
/// declared again in the same moment.
pub(super) const LONGEST_STALE: Duration = Duration::from_secs(8 * 60);

/// How long the session waits for a message that comes after one that waited as long.
pub(super) fn next_stale(before: Duration, something_came: bool) -> Duration {
    match something_came {
        true => STALE,
        false => (before * 2).min(LONGEST_STALE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_stays_idle_is_subscribed_to_anew_ever_more_seldom() {
        let mut stale = STALE;
        let mut renewals = 0;
        let mut quiet = Duration::ZERO;
        while quiet < Duration::from_secs(24 * 60 * 60) {
            quiet += stale;
            stale = next_stale(stale, false);
            renewals += 1;
        }
        assert!(renewals < 190, "{renewals} in a day");
        assert_eq!(stale, LONGEST_STALE);
        assert_eq!(next_stale(stale, true), STALE);
    }
}
