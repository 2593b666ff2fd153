use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::frames::Method;

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the broker.
    ToBroker,
    /// From the broker to the client.
    ToClient,
    /// Both ways.
    Both,
}

impl Direction {
    pub(super) fn covers(self, other: Self) -> bool {
        self == Self::Both || self == other
    }
}

/// When to cut, or to let nothing through, to the byte.
#[derive(Clone, Copy, Debug)]
#[must_use = "give it to `Proxy::cut_when` or `Proxy::swallow_when`"]
pub struct Cut {
    direction: Direction,
    trigger: Trigger,
    fault: Fault,
}

/// What to do there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    CutAll,
    CutOne,
    Swallow,
}

#[derive(Clone, Copy, Debug)]
enum Trigger {
    /// After so many bytes more.
    Bytes(usize),
    /// When this method comes for the `left`-th time: its numbers are let through, and nothing behind.
    Within(Method, usize),
    /// The same, with the whole frame let through.
    Behind(Method, usize),
}

impl Cut {
    /// When so many bytes more have been let through, in this direction of all connections together.
    pub fn after(direction: Direction, bytes: usize) -> Self {
        Self::new(direction, Trigger::Bytes(bytes))
    }

    /// In the middle of the frame, when this method comes by: the other side never gets it.
    pub fn within(direction: Direction, method: Method) -> Self {
        Self::new(direction, Trigger::Within(method, 1))
    }

    /// Right behind the frame, when this method comes by: the other side gets it.
    pub fn behind(direction: Direction, method: Method) -> Self {
        Self::new(direction, Trigger::Behind(method, 1))
    }

    fn new(direction: Direction, trigger: Trigger) -> Self {
        Self {
            direction,
            trigger,
            fault: Fault::CutAll,
        }
    }

    /// When it comes by for the nth time.
    pub fn nth(mut self, nth: usize) -> Self {
        if let Trigger::Within(_, left) | Trigger::Behind(_, left) = &mut self.trigger {
            *left = nth;
        }
        self
    }

    /// Cuts the connection that it comes by on, and lets the others be.
    pub fn only_that_one(mut self) -> Self {
        self.fault = Fault::CutOne;
        self
    }

    /// Cuts nothing, and has nothing go on from there.
    pub(super) fn swallow(mut self) -> Self {
        self.fault = Fault::Swallow;
        self
    }
}

/// What the proxy does to all connections.
#[derive(Debug, Default)]
pub(super) struct Rules {
    refusing: AtomicBool,
    swallowing: AtomicBool,
    /// Bytes a second; none where 0.
    throttle: AtomicU32,
    /// Only what goes to the broker is slow.
    throttles_one_way: AtomicBool,
    armed: Mutex<Vec<(Cut, oneshot::Sender<()>)>>,
}

/// A cut that is due.
pub(super) struct Due {
    /// So many bytes are let through before.
    pub(super) at: usize,
    pub(super) fault: Fault,
    pub(super) done: oneshot::Sender<()>,
}

impl Rules {
    pub(super) fn arm(&self, cut: Cut) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.armed().push((cut, sender));
        receiver
    }

    /// Whether to cut in a piece of so many bytes, with these methods, and where.
    pub(super) fn due(
        &self,
        direction: Direction,
        len: usize,
        methods: &[(Method, usize, usize)],
    ) -> Option<Due> {
        let mut armed = self.armed();
        for index in 0..armed.len() {
            let (cut, _) = &mut armed[index];
            if !cut.direction.covers(direction) {
                continue;
            }
            let fault = cut.fault;
            if let Some(at) = cut.trigger.place(len, methods) {
                let (_, done) = armed.swap_remove(index);
                return Some(Due { at, fault, done });
            }
        }
        None
    }

    pub(super) fn refuses(&self) -> bool {
        self.refusing.load(Ordering::Relaxed)
    }

    pub(super) fn set_refusing(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::Relaxed);
    }

    pub(super) fn swallows(&self) -> bool {
        self.swallowing.load(Ordering::Relaxed)
    }

    pub(super) fn set_swallowing(&self, swallowing: bool) {
        self.swallowing.store(swallowing, Ordering::Relaxed);
    }

    pub(super) fn throttle(&self, direction: Direction) -> Option<u32> {
        let throttle = self.throttle.load(Ordering::Relaxed);
        let one_way = self.throttles_one_way.load(Ordering::Relaxed);
        let is_slow = !one_way || direction == Direction::ToBroker;
        (is_slow && throttle > 0).then_some(throttle)
    }

    /// Which direction is slow, if not both are.
    pub(super) fn set_throttled(&self, direction: Direction) {
        let one_way = direction == Direction::ToBroker;
        self.throttles_one_way.store(one_way, Ordering::Relaxed);
    }

    pub(super) fn set_throttle(&self, bytes_per_second: Option<u32>) {
        let throttle = bytes_per_second.unwrap_or(0);
        self.throttle.store(throttle, Ordering::Relaxed);
    }

    fn armed(&self) -> MutexGuard<'_, Vec<(Cut, oneshot::Sender<()>)>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trigger {
    fn place(&mut self, len: usize, methods: &[(Method, usize, usize)]) -> Option<usize> {
        let (wanted, left, is_behind) = match self {
            Self::Bytes(left) if *left <= len => return Some(*left),
            Self::Bytes(left) => {
                *left -= len;
                return None;
            }
            Self::Within(method, left) => (*method, left, false),
            Self::Behind(method, left) => (*method, left, true),
        };
        for (_, numbers, end) in methods.iter().filter(|(method, ..)| *method == wanted) {
            *left -= 1;
            if *left > 0 {
                continue;
            }
            if !is_behind {
                return Some(*numbers);
            }
            if *end <= len {
                return Some(*end);
            }
            // the rest of the frame is still to come
            *self = Self::Bytes(end - len);
            return None;
        }
        None
    }
}
