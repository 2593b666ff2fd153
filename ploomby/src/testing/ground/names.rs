use std::collections::BTreeSet;

use crate::stage::Made;

/// What a test makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::testing) struct Names {
    pub(in crate::testing) queues: BTreeSet<String>,
    pub(in crate::testing) exchanges: BTreeSet<String>,
}

impl Names {
    pub(in crate::testing) fn of(what: Made<'_>) -> Self {
        let mut names = Self::default();
        match what {
            Made::Queue(name) => names.queues.insert(name.to_owned()),
            Made::Exchange(name) => names.exchanges.insert(name.to_owned()),
        };
        names
    }

    pub(in crate::testing) fn contains(&self, what: Made<'_>) -> bool {
        match what {
            Made::Queue(name) => self.queues.contains(name),
            Made::Exchange(name) => self.exchanges.contains(name),
        }
    }

    pub(in crate::testing) fn extend(&mut self, names: Self) {
        self.queues.extend(names.queues);
        self.exchanges.extend(names.exchanges);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.exchanges.is_empty()
    }

    /// What is in the one and not in the other.
    pub(super) fn without(mut self, others: &Self) -> Self {
        self.queues.retain(|name| !others.queues.contains(name));
        self.exchanges
            .retain(|name| !others.exchanges.contains(name));
        self
    }

    /// As they are written down.
    pub(super) fn lines(&self) -> String {
        let queues = self.queues.iter().map(|name| format!("queue {name}"));
        let exchanges = self.exchanges.iter();
        let exchanges = exchanges.map(|name| format!("exchange {name}"));
        queues.chain(exchanges).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn read(&mut self, lines: &str) {
        for line in lines.lines() {
            match line.split_once(' ') {
                Some(("queue", name)) => self.queues.insert(name.to_owned()),
                Some(("exchange", name)) => self.exchanges.insert(name.to_owned()),
                _ => continue,
            };
        }
    }
}

/// Why a test does not use what is there. `with` says what is in it.
pub(in crate::testing) fn of_no_test(what: Made<'_>, with: &str) -> String {
    format!(
        "{what} is on the broker already{with}, and no test has made it. A test does not touch what is not its own: \
         delete it if it means nothing, or give the tests a virtual host of their own, as `rabbitmqctl add_vhost` makes it"
    )
}
