use std::collections::{HashSet, VecDeque};

/// Which deliveries of a channel are settled, and of which the broker was not told yet.
///
/// Tags count up from 1 on each channel. What is settled without a gap is acknowledged with one
/// frame (`multiple`); what lies behind a handler that still runs goes one by one.
///
/// Each tag is touched a fixed number of times, in whichever order handlers are done:
///
/// ```text
///              done        next
/// 1 2 3 4 5 6 7 8 9 10 11 12
/// settled ──────┘ └─ entries ─┘
/// ```
#[derive(Debug)]
pub(super) struct Window {
    /// All tags up to this one are settled, but for the stragglers.
    done: u64,
    /// The tags behind `done`, up to the last one that was seen. The first one is open.
    entries: VecDeque<State>,
    /// How many entries are open.
    open: usize,
    /// Open tags that so much has passed by that they are not kept as entries any more.
    stragglers: HashSet<u64>,
    /// What one frame can acknowledge.
    prefix: Option<Prefix>,
    /// The same, of a frame that is being sent.
    sending: Option<Prefix>,
    /// What was settled out of order, which goes one by one unless a frame reaches over it by then.
    singles: VecDeque<u64>,
    /// How many acknowledgements the broker was not told of.
    unsent: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// With its handler.
    Open,
    /// Acknowledged here, and the broker may not know yet.
    Acked,
    /// Rejected or given back: the broker knows, and no range may end here.
    Rejected,
}

#[derive(Clone, Copy, Debug)]
struct Prefix {
    /// The last tag.
    tag: u64,
    /// How many acknowledgements it stands for that are not among the singles.
    len: usize,
}

/// What to tell the broker.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unsent {
    /// Acknowledge all up to this tag.
    pub(super) up_to: Option<u64>,
    /// Then acknowledge each of these.
    pub(super) singles: Vec<u64>,
}

/// How many settled entries may lie behind an open one, and for each open one, before it becomes a
/// straggler. No range is acknowledged as long as there is one, so this is more than a burst.
const ENTRIES_PER_OPEN: usize = 4;
const FEWEST_ENTRIES: usize = 1024;

/// No broker delivers so far ahead of what was seen: a prefetch has 16 bits.
const FARTHEST: usize = 1 << 16;

impl Window {
    pub(super) fn new() -> Self {
        Self {
            done: 0,
            entries: VecDeque::new(),
            open: 0,
            stragglers: HashSet::new(),
            prefix: None,
            sending: None,
            singles: VecDeque::new(),
            unsent: 0,
        }
    }

    /// Notes an acknowledgement and returns how many the broker does not know of.
    #[inline]
    pub(super) fn ack(&mut self, tag: u64) -> usize {
        // as a rule they come in order
        if tag == self.done + 1 && self.entries.is_empty() && self.stragglers.is_empty() {
            self.done = tag;
            self.lengthen_prefix(tag);
            self.unsent += 1;
        } else if self.settle(tag, State::Acked) {
            self.unsent += 1;
        }
        self.unsent
    }

    /// How many acknowledgements the broker does not know of.
    pub(super) fn len_unsent(&self) -> usize {
        self.unsent
    }

    /// Whether none up to this tag is open.
    pub(super) fn has_settled_all_up_to(&self, tag: u64) -> bool {
        self.done >= tag && self.entries.is_empty() && self.stragglers.is_empty()
    }

    /// What the broker does not know of. It counts as sent once [`sent_up_to`](Self::sent_up_to) or
    /// [`sent`](Self::sent) says so.
    pub(super) fn unsent(&mut self) -> Unsent {
        if self.unsent == 0 {
            return Unsent::default();
        }
        // a range that was not sent goes with the next; what was settled out of order lengthens it, once
        // nothing open is before that
        let is_done = |tag: &u64| self.stragglers.is_empty() && *tag <= self.done;
        let caught_up = self.singles.iter().copied().filter(is_done).max();
        let [old, new] = [self.sending, self.prefix.take()];
        let tag_of = |range: Option<Prefix>| range.map(|range| range.tag);
        let len_of = |range: Option<Prefix>| range.map_or(0, |range| range.len);
        let up_to = tag_of(old).max(tag_of(new)).max(caught_up);
        self.sending = up_to.map(|tag| Prefix {
            tag,
            len: len_of(old) + len_of(new),
        });
        let is_behind = |tag: &u64| up_to.is_none_or(|end| *tag > end);
        Unsent {
            up_to,
            singles: self.singles.iter().copied().filter(is_behind).collect(),
        }
    }

    /// Notes that the broker was told of all up to this tag.
    pub(super) fn sent_up_to(&mut self, tag: u64) {
        if let Some(sent) = self.sending.take_if(|sending| sending.tag == tag) {
            self.unsent -= sent.len;
        }
        let before = self.singles.len();
        self.singles.retain(|single| *single > tag);
        self.unsent -= before - self.singles.len();
    }

    /// Notes that the broker was told of this acknowledgement alone. They are sent in order.
    pub(super) fn sent(&mut self, tag: u64) {
        if self.singles.front() == Some(&tag) {
            self.singles.pop_front();
            self.unsent -= 1;
        }
    }

    /// Notes that the broker took this delivery back.
    pub(super) fn rejected(&mut self, tag: u64) {
        self.settle(tag, State::Rejected);
    }

    /// Notes what became of an open delivery. Says whether it was one.
    fn settle(&mut self, tag: u64, state: State) -> bool {
        if tag <= self.done {
            let was_open = self.stragglers.remove(&tag);
            if was_open && state == State::Acked {
                self.singles.push_back(tag);
            }
            return was_open;
        }
        let at = match usize::try_from(tag - self.done - 1) {
            Ok(at) if at < self.entries.len() + FARTHEST => at,
            _ => return false,
        };
        while self.entries.len() <= at {
            self.entries.push_back(State::Open);
            self.open += 1;
        }
        let entry = &mut self.entries[at];
        if *entry != State::Open {
            return false;
        }
        *entry = state;
        self.open -= 1;
        if at > 0 || !self.stragglers.is_empty() {
            if state == State::Acked {
                self.singles.push_back(tag);
            }
        } else if state == State::Acked {
            self.lengthen_prefix(tag);
        }
        self.advance();
        self.set_stragglers_apart();
        true
    }

    /// Takes out the entries that nothing open is before.
    fn advance(&mut self) {
        while self
            .entries
            .front()
            .is_some_and(|state| *state != State::Open)
        {
            self.entries.pop_front();
            self.done += 1;
        }
    }

    /// A handler that never returns must not make the window grow.
    fn set_stragglers_apart(&mut self) {
        while self.entries.len() > FEWEST_ENTRIES.max(ENTRIES_PER_OPEN * self.open) {
            self.entries.pop_front();
            self.done += 1;
            self.open -= 1;
            self.stragglers.insert(self.done);
            self.advance();
        }
    }

    #[inline]
    fn lengthen_prefix(&mut self, tag: u64) {
        let len = self.prefix.map_or(0, |prefix| prefix.len);
        self.prefix = Some(Prefix { tag, len: len + 1 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsent(up_to: Option<u64>, singles: &[u64]) -> Unsent {
        Unsent {
            up_to,
            singles: singles.to_vec(),
        }
    }

    /// Tells the broker all, as the acknowledger does.
    fn tell(window: &mut Window) -> Unsent {
        let unsent = window.unsent();
        if let Some(tag) = unsent.up_to {
            window.sent_up_to(tag);
        }
        for tag in &unsent.singles {
            window.sent(*tag);
        }
        unsent
    }

    #[test]
    fn what_is_settled_without_a_gap_is_one_frame() {
        let mut window = Window::new();
        for tag in [2, 1, 3] {
            window.ack(tag);
        }
        assert_eq!(tell(&mut window), unsent(Some(3), &[]));
        assert_eq!(tell(&mut window), unsent(None, &[]));
    }

    #[test]
    fn what_lies_behind_an_open_delivery_goes_one_by_one_and_only_once() {
        let mut window = Window::new();
        for tag in [1, 3, 5] {
            window.ack(tag);
        }
        assert_eq!(tell(&mut window), unsent(Some(1), &[3, 5]));
        window.ack(2);
        assert_eq!(tell(&mut window), unsent(Some(2), &[]));
        window.ack(4);
        assert_eq!(tell(&mut window), unsent(Some(4), &[]));
    }

    #[test]
    fn a_rejected_tag_never_ends_a_range() {
        let mut window = Window::new();
        window.ack(1);
        window.rejected(2);
        assert_eq!(tell(&mut window), unsent(Some(1), &[]));
        window.rejected(3);
        assert_eq!(tell(&mut window), unsent(None, &[]));
        window.ack(4);
        assert_eq!(tell(&mut window), unsent(Some(4), &[]));
    }

    #[test]
    fn a_handler_that_never_returns_does_not_make_the_window_grow() {
        let mut window = Window::new();
        for tag in 2..10_000 {
            window.ack(tag);
            assert_eq!(tell(&mut window), unsent(None, &[tag]));
            assert!(window.entries.len() <= FEWEST_ENTRIES);
        }
        assert!(!window.has_settled_all_up_to(9_999));
        // and once it returns, ranges are sent again
        window.ack(1);
        assert_eq!(tell(&mut window), unsent(Some(1), &[]));
        assert!(window.has_settled_all_up_to(9_999));
        window.ack(10_000);
        window.ack(10_001);
        assert_eq!(tell(&mut window), unsent(Some(10_001), &[]));
    }

    #[test]
    fn what_was_not_sent_is_not_told() {
        let mut window = Window::new();
        window.ack(1);
        window.ack(3);
        assert_eq!(window.unsent(), unsent(Some(1), &[3]));
        assert_eq!(window.unsent(), unsent(Some(1), &[3]));
        window.sent_up_to(1);
        assert_eq!(window.unsent(), unsent(None, &[3]));
        window.sent(3);
        assert_eq!(window.unsent(), unsent(None, &[]));
        assert_eq!(window.len_unsent(), 0);
    }

    #[test]
    fn all_are_settled_once_none_is_open() {
        let mut window = Window::new();
        assert!(window.has_settled_all_up_to(0));
        window.ack(2);
        assert!(!window.has_settled_all_up_to(2));
        window.rejected(1);
        assert!(window.has_settled_all_up_to(2));
        assert!(!window.has_settled_all_up_to(3));
    }

    #[test]
    fn a_tag_that_was_settled_is_not_settled_again() {
        let mut window = Window::new();
        assert_eq!(window.ack(1), 1);
        assert_eq!(window.ack(1), 1);
        assert_eq!(tell(&mut window), unsent(Some(1), &[]));
        assert_eq!(window.ack(1), 0);
    }

    #[test]
    fn what_is_settled_while_a_frame_is_sent_goes_with_the_next() {
        let mut window = Window::new();
        for tag in [1, 2, 4] {
            window.ack(tag);
        }
        assert_eq!(window.unsent(), unsent(Some(2), &[4]));
        // the one behind it goes by itself meanwhile
        assert_eq!(window.ack(3), 4);
        window.sent_up_to(2);
        assert_eq!(window.len_unsent(), 2);
        window.sent(4);
        assert_eq!(window.len_unsent(), 1);
        // the broker does not know of 4 any more, so no range may end there
        assert_eq!(tell(&mut window), unsent(Some(3), &[]));
        assert_eq!(window.len_unsent(), 0);
    }

    #[test]
    fn a_tag_that_no_broker_can_have_reached_changes_nothing() {
        let mut window = Window::new();
        assert_eq!(window.ack(u64::MAX), 0);
        assert_eq!(window.ack(0), 0);
        assert!(window.entries.is_empty());
        window.ack(1);
        assert_eq!(tell(&mut window), unsent(Some(1), &[]));
    }

    /// A model that keeps all: what the broker was told, by any order of settling and telling.
    #[test]
    fn each_acknowledgement_is_told_once_whatever_the_order() {
        let mut chance = fastrand::Rng::with_seed(7);
        for prefetch in [1, 2, 7, 64, 3_000] {
            let mut window = Window::new();
            let (mut next, mut open) = (1, Vec::new());
            // what the broker waits for: the tag, and whether it was acknowledged
            let mut outstanding = std::collections::BTreeMap::new();
            for _ in 0..20_000 {
                while open.len() < prefetch && outstanding.len() < 4 * prefetch {
                    open.push(next);
                    outstanding.insert(next, false);
                    next += 1;
                }
                let tag = open.swap_remove(chance.usize(..open.len()));
                if chance.u8(..10) == 0 {
                    outstanding.remove(&tag);
                    window.rejected(tag);
                } else {
                    outstanding.insert(tag, true);
                    window.ack(tag);
                }
                if chance.u8(..8) != 0 && open.len() > 1 {
                    continue;
                }
                let Unsent { up_to, singles } = tell(&mut window);
                if let Some(end) = up_to {
                    assert!(
                        outstanding.contains_key(&end),
                        "{end} is known to the broker"
                    );
                    let behind = outstanding.split_off(&(end + 1));
                    assert!(outstanding.values().all(|acked| *acked), "one is open");
                    outstanding = behind;
                }
                for single in singles {
                    assert_eq!(outstanding.remove(&single), Some(true));
                }
                assert_eq!(window.len_unsent(), 0);
                assert!(
                    outstanding.values().all(|acked| !acked),
                    "one was forgotten"
                );
            }
        }
    }
}
