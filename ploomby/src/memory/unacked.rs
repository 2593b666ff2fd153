use std::collections::VecDeque;

use super::queue::Entry;

/// The deliveries of one consumer that are not settled, by tag.
///
/// Most are settled in order, so a settled one only leaves a gap that is closed when it comes to
/// the front, or when gaps prevail: one that is never settled does not make it grow.
#[derive(Debug, Default)]
pub(super) struct Unacked {
    slots: VecDeque<(u64, Option<Entry>)>,
    len: usize,
    last_tag: u64,
    /// The last delivery that the consumer has fetched.
    fetched: u64,
}

impl Unacked {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Gives the entry the next tag. Tags start at 1, as AMQP's do.
    pub(super) fn push(&mut self, entry: Entry) {
        self.last_tag += 1;
        self.len += 1;
        self.slots.push_back((self.last_tag, Some(entry)));
    }

    pub(super) fn unfetched(&self) -> u64 {
        self.last_tag - self.fetched
    }

    /// The deliveries that were not fetched yet, in order. They then count as fetched.
    pub(super) fn fetch(&mut self) -> impl Iterator<Item = (u64, &Entry)> {
        let first = self.position(self.fetched + 1);
        self.fetched = self.last_tag;
        self.slots
            .range(first..)
            .filter_map(|(tag, entry)| Some((*tag, entry.as_ref()?)))
    }

    pub(super) fn remove(&mut self, tag: u64) -> Option<Entry> {
        let entry = match self.slots.front() {
            Some((first, _)) if *first == tag => self.slots.pop_front()?.1,
            _ => {
                let at = self.position(tag);
                let (_, entry) = self.slots.get_mut(at).filter(|(found, _)| *found == tag)?;
                entry.take()
            }
        }?;
        self.len -= 1;
        while let Some((_, None)) = self.slots.front() {
            self.slots.pop_front();
        }
        if self.slots.len() > 2 * self.len + 64 {
            self.slots.retain(|(_, entry)| entry.is_some());
        }
        Some(entry)
    }

    pub(super) fn into_entries(self) -> impl DoubleEndedIterator<Item = Entry> {
        self.slots.into_iter().filter_map(|(_, entry)| entry)
    }

    fn position(&self, tag: u64) -> usize {
        let Some((first, _)) = self.slots.front() else {
            return 0;
        };
        // without gaps that were closed, a tag tells its place
        let guess = usize::try_from(tag.saturating_sub(*first)).unwrap_or(usize::MAX);
        match self.slots.get(guess) {
            Some((found, _)) if *found == tag => guess,
            _ => self.slots.partition_point(|(slot, _)| *slot < tag),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{memory::stored::Stored, message::Message};

    fn entry(sequence: u64) -> Entry {
        let stored = Stored::through("", "q", Message::default()).unwrap();
        Entry::new(sequence, None, Arc::new(stored))
    }

    #[test]
    fn a_delivery_is_fetched_once_and_settled_once() {
        let mut unacked = Unacked::default();
        unacked.push(entry(0));
        unacked.push(entry(1));
        let tags: Vec<u64> = unacked.fetch().map(|(tag, _)| tag).collect();
        assert_eq!(tags, [1, 2]);
        assert_eq!(unacked.fetch().count(), 0);
        assert!(unacked.remove(2).is_some());
        assert!(unacked.remove(2).is_none());
        assert!(unacked.remove(3).is_none());
        assert_eq!(unacked.len(), 1);
    }

    #[test]
    fn one_that_is_never_settled_does_not_make_it_grow() {
        let mut unacked = Unacked::default();
        unacked.push(entry(0));
        for tag in 2..10_000 {
            unacked.push(entry(tag));
            assert!(unacked.remove(tag).is_some());
        }
        assert!(unacked.slots.len() < 100);
        assert!(unacked.remove(1).is_some());
        assert_eq!(unacked.len(), 0);
    }
}
