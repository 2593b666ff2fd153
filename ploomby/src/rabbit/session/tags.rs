use std::mem;

/// The delivery tags of a channel, as far as they have come.
///
/// The broker counts deliveries up from 1, and holds no more of them to be here than the prefetch. Tags that say
/// otherwise are not its own, and memory would be kept for all between.
#[derive(Debug)]
pub(super) struct Tags {
    last: u64,
    /// Those that were left out: the client lost what they name, which the broker holds to be here.
    left_out: Vec<u64>,
    prefetch: u16,
}

/// A tag that cannot be.
#[derive(Debug, thiserror::Error)]
#[error(
    "the broker sent a delivery of the tag {tag} after that of {last}, with a prefetch of {prefetch}: something \
     between it and here garbles frames"
)]
pub(super) struct OddTag {
    tag: u64,
    last: u64,
    prefetch: u16,
}

impl Tags {
    pub(super) fn new(prefetch: u16) -> Self {
        Self {
            last: 0,
            left_out: Vec::new(),
            prefetch,
        }
    }

    /// The last that came.
    #[inline]
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// A delivery has come that was left out.
    pub(super) fn found(&mut self, tag: u64) {
        self.left_out.retain(|left_out| *left_out != tag);
    }

    /// Those that were left out since this was asked last.
    #[inline]
    pub(super) fn left_out(&mut self) -> Option<Vec<u64>> {
        match self.left_out.is_empty() {
            true => None,
            false => Some(mem::take(&mut self.left_out)),
        }
    }

    /// Notes the tag of a delivery.
    #[inline]
    pub(super) fn note(&mut self, tag: u64) -> Result<(), OddTag> {
        match tag.checked_sub(self.last) {
            // there is one more to count to
            Some(1) if tag < u64::MAX => {
                self.last = tag;
                Ok(())
            }
            _ => self.skip_to(tag),
        }
    }

    #[cold]
    fn skip_to(&mut self, tag: u64) -> Result<(), OddTag> {
        // twice: what was on its way to a consumer that was cancelled, and then to the next one, with the one beside each
        let most = 2 * usize::from(self.prefetch) + 2;
        let may_be_missing = most.saturating_sub(self.left_out.len());
        let left_out = self.last.saturating_add(1)..tag;
        let is_odd = tag <= self.last
            || tag == u64::MAX
            || left_out.end - left_out.start > may_be_missing as u64;
        if is_odd {
            return Err(OddTag {
                tag,
                last: self.last,
                prefetch: self.prefetch,
            });
        }
        self.left_out.extend(left_out);
        self.last = tag;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Tags;

    #[test]
    fn tags_that_no_broker_counts_end_the_channel_and_take_no_memory() {
        for odd in [0, 1, 3, 100_000_000, u64::MAX - 1, u64::MAX] {
            let mut tags = Tags::new(64);
            for tag in 1..=3 {
                assert!(tags.note(tag).is_ok());
            }
            assert!(tags.note(odd).is_err(), "{odd}");
            assert_eq!(tags.last(), 3);
        }
    }

    #[test]
    fn what_the_client_lost_is_bounded() {
        let mut tags = Tags::new(4);
        for tag in [2, 3, 5, 8] {
            assert!(tags.note(tag).is_ok());
        }
        assert!(tags.note(16).is_err());
        assert!(tags.note(9).is_ok());
        tags.found(4);
        assert_eq!(tags.left_out(), Some(vec![1, 6, 7]));
        assert_eq!(tags.left_out(), None);
        assert!(tags.note(20).is_ok());
        assert!(tags.note(22).is_err());
    }
}
