use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    hash::BuildHasher,
};

use foldhash::fast::RandomState;

/// Which unconfirmed messages a returned one may be: it comes back without its number, and is known by its
/// address and its message id.
///
/// Each message costs the same, however many are unconfirmed.
#[derive(Debug, Default)]
pub(super) struct Returns {
    hasher: RandomState,
    /// By what stands for the address and the id.
    numbers: HashMap<u64, Numbers, RandomState>,
}

/// The messages of one address and id: one, unless the program gives several the same id, or none.
#[derive(Debug)]
enum Numbers {
    One(u64),
    /// In order.
    Several(VecDeque<u64>),
}

impl Returns {
    /// What stands for an address and an id.
    pub(super) fn identity(
        &self,
        exchange: &str,
        routing_key: &str,
        message_id: Option<&str>,
    ) -> u64 {
        self.hasher.hash_one((exchange, routing_key, message_id))
    }

    /// A message of this identity is published, with this number.
    pub(super) fn expect(&mut self, identity: u64, number: u64) {
        match self.numbers.entry(identity) {
            Entry::Vacant(vacant) => {
                vacant.insert(Numbers::One(number));
            }
            Entry::Occupied(mut occupied) => match occupied.get_mut() {
                Numbers::One(first) => {
                    let both = VecDeque::from([*first, number]);
                    occupied.insert(Numbers::Several(both));
                }
                Numbers::Several(numbers) => numbers.push_back(number),
            },
        }
    }

    /// The message is confirmed. `is_waiting` says which others are not.
    pub(super) fn settle(&mut self, identity: u64, is_waiting: impl Fn(u64) -> bool) {
        let Entry::Occupied(mut occupied) = self.numbers.entry(identity) else {
            return;
        };
        let is_empty = match occupied.get_mut() {
            Numbers::One(number) => !is_waiting(*number),
            Numbers::Several(numbers) => {
                while numbers.front().is_some_and(|number| !is_waiting(*number)) {
                    numbers.pop_front();
                }
                numbers.is_empty()
            }
        };
        if is_empty {
            occupied.remove();
        }
    }

    /// The numbers of the messages that a returned one may be, the last one first.
    pub(super) fn of(&self, identity: u64) -> impl Iterator<Item = u64> {
        let (one, several) = match self.numbers.get(&identity) {
            Some(Numbers::One(number)) => (Some(*number), None),
            Some(Numbers::Several(numbers)) => (None, Some(numbers.iter().rev().copied())),
            None => (None, None),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.numbers.clear();
    }
}
