use std::{collections::VecDeque, time::Instant};

use super::deliveries::Deliveries;

/// One channel, with at most one consumer.
#[derive(Debug, Default)]
pub(super) struct Channel {
    pub(super) prefetch: u16,
    pub(super) deliveries: Option<Deliveries>,
    /// How many messages were published over it.
    pub(super) published: u64,
    unsettled: Unsettled,
}

impl Channel {
    /// How many deliveries a consumer may have at the same time.
    pub(super) fn window(&self) -> usize {
        usize::from(match self.prefetch {
            // no limit, so that one is needed
            0 => u16::MAX,
            prefetch => prefetch,
        })
    }

    /// Whether it has a consumer of such a queue.
    pub(super) fn consumes(&self, is_for: impl Fn(&str) -> bool) -> bool {
        let deliveries = self.deliveries.as_ref();
        deliveries.is_some_and(|deliveries| is_for(deliveries.queue()))
    }

    /// How many deliveries the consumer may have beside those it has.
    pub(super) fn room(&self) -> usize {
        match self.deliveries {
            Some(_) => self.window().saturating_sub(self.unsettled.len),
            None => 0,
        }
    }

    /// Notes so many new deliveries, and returns the tag of the first.
    pub(super) fn deliver(&mut self, count: usize, at: Option<Instant>) -> u64 {
        let Unsettled { base, entries, len } = &mut self.unsettled;
        let first = *base + entries.len() as u64;
        *len += count;
        entries.extend(std::iter::repeat_n(Entry { open: true, at }, count));
        first
    }

    /// Settles this delivery, or all up to it. `settled` sees when each of them was delivered.
    pub(super) fn settle(
        &mut self,
        tag: u64,
        is_multiple: bool,
        mut settled: impl FnMut(Option<Instant>),
    ) {
        let Unsettled { base, entries, len } = &mut self.unsettled;
        let Some(at) = tag
            .checked_sub(*base)
            .and_then(|at| usize::try_from(at).ok())
        else {
            return;
        };
        if at >= entries.len() {
            return;
        }
        let from = if is_multiple { 0 } else { at };
        for entry in entries.range_mut(from..=at).filter(|entry| entry.open) {
            entry.open = false;
            *len -= 1;
            settled(entry.at);
        }
        while entries.front().is_some_and(|entry| !entry.open) {
            entries.pop_front();
            *base += 1;
        }
    }
}

/// What is with the consumer, by rising tags.
#[derive(Debug)]
struct Unsettled {
    /// The tag of the first entry.
    base: u64,
    entries: VecDeque<Entry>,
    /// How many are open.
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    open: bool,
    at: Option<Instant>,
}

impl Default for Unsettled {
    fn default() -> Self {
        Self {
            base: 1,
            entries: VecDeque::new(),
            len: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(channel: &mut Channel, tag: u64, is_multiple: bool) -> usize {
        let mut settled = 0;
        channel.settle(tag, is_multiple, |_| settled += 1);
        settled
    }

    #[test]
    fn each_delivery_is_settled_once() {
        let mut channel = Channel::default();
        assert_eq!(channel.deliver(4, None), 1);
        assert_eq!(settle(&mut channel, 2, false), 1);
        assert_eq!(settle(&mut channel, 2, false), 0);
        assert_eq!(settle(&mut channel, 3, true), 2);
        assert_eq!(settle(&mut channel, 3, true), 0);
        assert_eq!(settle(&mut channel, 9, true), 0);
        assert_eq!(channel.deliver(1, None), 5);
        assert_eq!(settle(&mut channel, 5, true), 2);
        assert_eq!(channel.unsettled.len, 0);
    }
}
