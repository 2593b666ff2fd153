/// The delivery tags of a channel, as far as they have come.
///
/// The broker counts deliveries up from 1, and holds no more of them to be here than the prefetch. Tags that say
/// otherwise are not its own, and memory would be kept for all between.
#[derive(Debug)]
pub(super) struct Tags {
    last: u64,
    /// How many were left out: the client lost what they name, which the broker holds to be here.
    missing: u64,
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
            missing: 0,
            prefetch,
        }
    }

    /// The last that came.
    #[inline]
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// A delivery has come that was left out.
    pub(super) fn found(&mut self) {
        self.missing = self.missing.saturating_sub(1);
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
        let missing = tag
            .checked_sub(self.last)
            .and_then(|ahead| ahead.checked_sub(1))
            .and_then(|left_out| self.missing.checked_add(left_out))
            .filter(|missing| *missing <= u64::from(self.prefetch) && tag < u64::MAX);
        let Some(missing) = missing else {
            return Err(OddTag {
                tag,
                last: self.last,
                prefetch: self.prefetch,
            });
        };
        (self.last, self.missing) = (tag, missing);
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
    fn what_the_client_lost_is_no_more_than_the_prefetch() {
        let mut tags = Tags::new(4);
        for tag in [2, 3, 5, 8] {
            assert!(tags.note(tag).is_ok());
        }
        assert!(tags.note(10).is_err());
        assert!(tags.note(9).is_ok());
    }
}
