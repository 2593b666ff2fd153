use std::collections::VecDeque;

/// Which deliveries of a channel are settled, and which of these the broker was told of.
///
/// Tags count up from 1 on each channel. What is settled without a gap is acknowledged with one
/// frame (`multiple`); what lies behind a handler that still runs goes one by one. Entries are
/// kept until the broker knows, so there are never more than the prefetch and what is held back.
#[derive(Debug)]
pub(super) struct Window {
    /// Rising tags.
    entries: VecDeque<(u64, State)>,
    /// The first tag that was not seen yet.
    next: u64,
    /// How many entries are `Acked`.
    untold: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// With its handler.
    Open,
    /// Acknowledged here, and the broker does not know yet.
    Acked,
}

/// What to tell the broker.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Untold {
    /// Acknowledge all up to this tag.
    pub(super) up_to: Option<u64>,
    /// Then acknowledge each of these.
    pub(super) single: Vec<u64>,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            next: 1,
            untold: 0,
        }
    }

    /// Notes an acknowledgement and returns how many the broker does not know of.
    pub(super) fn ack(&mut self, tag: u64) -> usize {
        if tag == self.next {
            self.next += 1;
            self.entries.push_back((tag, State::Acked));
            self.untold += 1;
        } else if let Some(index) = self.find(tag) {
            let (_, state) = &mut self.entries[index];
            if *state == State::Open {
                *state = State::Acked;
                self.untold += 1;
            }
        }
        self.untold
    }

    /// How many acknowledgements the broker does not know of.
    pub(super) fn len_untold(&self) -> usize {
        self.untold
    }

    /// Whether none up to this tag is open.
    pub(super) fn has_settled_all_up_to(&self, tag: u64) -> bool {
        self.next > tag && self.entries.len() == self.untold
    }

    fn find(&mut self, tag: u64) -> Option<usize> {
        while self.next <= tag {
            self.entries.push_back((self.next, State::Open));
            self.next += 1;
        }
        let (first, _) = self.entries.front()?;
        // where all came in order, a tag tells its place
        let place = usize::try_from(tag.checked_sub(*first)?).unwrap_or(usize::MAX);
        match self.entries.get(place) {
            Some((found, _)) if *found == tag => Some(place),
            _ => self
                .entries
                .binary_search_by_key(&tag, |(tag, _)| *tag)
                .ok(),
        }
    }

    /// What the broker does not know of. It counts as told once [`told`](Self::told) says so.
    pub(super) fn untold(&self) -> Untold {
        let mut untold = Untold::default();
        if self.untold == 0 {
            return untold;
        }
        let is_acked = |entry: &&(u64, State)| entry.1 == State::Acked;
        let prefix = self.entries.iter().take_while(is_acked);
        untold.up_to = prefix.last().map(|(tag, _)| *tag);
        let told = untold.up_to.unwrap_or(0);
        let behind = self.entries.iter().filter(is_acked);
        untold.single = behind
            .map(|(tag, _)| *tag)
            .filter(|tag| *tag > told)
            .collect();
        untold
    }

    /// Notes that the broker was told of all up to this tag.
    pub(super) fn told_up_to(&mut self, tag: u64) {
        let told = self.entries.partition_point(|(entry, _)| *entry <= tag);
        self.entries.drain(..told);
        self.untold -= told;
    }

    /// Notes that the broker was told of this tag alone.
    pub(super) fn told(&mut self, tag: u64) {
        if let Some(index) = self.find(tag) {
            if let Some((_, State::Acked)) = self.entries.remove(index) {
                self.untold -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn untold(up_to: Option<u64>, single: &[u64]) -> Untold {
        Untold {
            up_to,
            single: single.to_vec(),
        }
    }

    /// Tells the broker all, as the acknowledger does.
    fn tell(window: &mut Window) -> Untold {
        let untold = window.untold();
        if let Some(tag) = untold.up_to {
            window.told_up_to(tag);
        }
        for tag in &untold.single {
            window.told(*tag);
        }
        untold
    }

    #[test]
    fn what_is_settled_without_a_gap_is_one_frame() {
        let mut window = Window::new();
        for tag in [2, 1, 3] {
            window.ack(tag);
        }
        assert_eq!(tell(&mut window), untold(Some(3), &[]));
        assert_eq!(tell(&mut window), untold(None, &[]));
    }

    #[test]
    fn what_lies_behind_an_open_delivery_goes_one_by_one_and_only_once() {
        let mut window = Window::new();
        for tag in [1, 3, 5] {
            window.ack(tag);
        }
        assert_eq!(tell(&mut window), untold(Some(1), &[3, 5]));
        window.ack(2);
        assert_eq!(tell(&mut window), untold(Some(2), &[]));
        window.ack(4);
        assert_eq!(tell(&mut window), untold(Some(4), &[]));
    }

    #[test]
    fn a_rejected_tag_never_ends_a_range() {
        let mut window = Window::new();
        window.ack(1);
        window.told(2);
        assert_eq!(tell(&mut window), untold(Some(1), &[]));
        window.told(3);
        assert_eq!(tell(&mut window), untold(None, &[]));
        window.ack(4);
        assert_eq!(tell(&mut window), untold(Some(4), &[]));
    }

    #[test]
    fn a_handler_that_never_returns_does_not_make_the_window_grow() {
        let mut window = Window::new();
        for tag in 2..10_000 {
            window.ack(tag);
            assert_eq!(tell(&mut window), untold(None, &[tag]));
        }
        assert_eq!(window.entries.len(), 1);
    }

    #[test]
    fn what_was_not_sent_is_not_told() {
        let mut window = Window::new();
        window.ack(1);
        window.ack(3);
        assert_eq!(window.untold(), untold(Some(1), &[3]));
        window.told_up_to(1);
        assert_eq!(window.untold(), untold(None, &[3]));
        window.told(3);
        assert_eq!(window.untold(), untold(None, &[]));
    }

    #[test]
    fn all_are_settled_once_none_is_open() {
        let mut window = Window::new();
        assert!(window.has_settled_all_up_to(0));
        window.ack(2);
        assert!(!window.has_settled_all_up_to(2));
        window.told(1);
        assert!(window.has_settled_all_up_to(2));
        assert!(!window.has_settled_all_up_to(3));
    }

    #[test]
    fn a_tag_that_was_settled_is_not_settled_again() {
        let mut window = Window::new();
        assert_eq!(window.ack(1), 1);
        assert_eq!(window.ack(1), 1);
        assert_eq!(tell(&mut window), untold(Some(1), &[]));
        assert_eq!(window.ack(1), 0);
    }
}
