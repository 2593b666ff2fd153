use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use crate::stage::{ParkedInLine, Stage};

/// The value that the messages of a lane share; none for those without.
pub(super) type Lane = Option<Box<[u8]>>;

/// Lanes in which a message is at work, each with those that wait behind it.
#[derive(Default)]
pub(super) struct Lanes {
    busy: Mutex<HashMap<Lane, VecDeque<Next>>>,
    stage: Stage,
}

/// One that waits. It may be for one that waits for the clock.
type Next = (ParkedInLine, oneshot::Sender<Turn>);

/// How a message comes into its lane.
pub(crate) enum Entered {
    /// Nothing is before it.
    AtOnce(Turn),
    Behind(Waiting),
}

/// The right to run, which goes to the next in the lane when it is dropped.
pub(crate) struct Turn(Option<(Arc<Lanes>, Lane)>);

/// A place in a lane. Dropped, it leaves the lane.
pub(crate) struct Waiting {
    turn: oneshot::Receiver<Turn>,
    parked: ParkedInLine,
}

impl Lanes {
    pub(super) fn on(stage: &Stage) -> Self {
        Self {
            stage: stage.clone(),
            ..Self::default()
        }
    }

    pub(super) fn enter(self: &Arc<Self>, lane: Lane) -> Entered {
        match self.lock().entry(lane) {
            Entry::Occupied(mut busy) => {
                let (sender, receiver) = oneshot::channel();
                let parked = self.stage.park_in_line();
                busy.get_mut().push_back((parked.clone(), sender));
                Entered::Behind(Waiting {
                    turn: receiver,
                    parked,
                })
            }
            Entry::Vacant(free) => {
                let lane = free.key().clone();
                free.insert(VecDeque::new());
                Entered::AtOnce(Turn(Some((self.clone(), lane))))
            }
        }
    }

    /// Gives the turn to the next that still waits; a lane in which there is none is dropped.
    fn pass_on(self: Arc<Self>, mut lane: Lane) {
        let mut lanes = self;
        loop {
            let (parked, next) = {
                let mut busy = lanes.lock();
                match busy.get_mut(&lane).and_then(VecDeque::pop_front) {
                    Some(next) => next,
                    None => {
                        busy.remove(&lane);
                        return;
                    }
                }
            };
            parked.over();
            // in a loop, since one that left would pass it on by being dropped, and so would all
            match next.send(Turn(Some((lanes, lane)))) {
                Ok(()) => return,
                Err(Turn(None)) => return,
                Err(Turn(ref mut held)) => match held.take() {
                    Some(held) => (lanes, lane) = held,
                    None => return,
                },
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Lane, VecDeque<Next>>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((lanes, lane)) = self.0.take() {
            lanes.pass_on(lane);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // its place in the line is left when the line comes to it
        self.parked.over();
    }
}

impl Future for Waiting {
    type Output = Turn;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Turn> {
        let turn = Pin::new(&mut self.turn).poll(cx);
        turn.map(|turn| turn.expect("a turn is passed on as long as one waits for it"))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn lane(value: &str) -> Lane {
        Some(value.as_bytes().into())
    }

    fn at_once(entered: Entered) -> Turn {
        match entered {
            Entered::AtOnce(turn) => turn,
            Entered::Behind(_) => panic!("something is before it"),
        }
    }

    fn behind(entered: Entered) -> Waiting {
        match entered {
            Entered::Behind(waiting) => waiting,
            Entered::AtOnce(_) => panic!("nothing is before it"),
        }
    }

    #[test]
    fn one_value_is_one_lane_and_none_is_another() {
        let lanes = Arc::new(Lanes::default());
        let first = at_once(lanes.enter(lane("a")));
        let _other = at_once(lanes.enter(lane("b")));
        let _without = at_once(lanes.enter(None));
        let mut second = behind(lanes.enter(lane("a")));
        let mut third = behind(lanes.enter(lane("a")));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert!((&mut third).now_or_never().is_none());
        let turn = (&mut second).now_or_never().expect("its turn");
        drop(turn);
        assert!((&mut third).now_or_never().is_some());
    }

    #[test]
    fn who_left_is_passed_over_also_where_it_had_its_turn() {
        let lanes = Arc::new(Lanes::default());
        let first = at_once(lanes.enter(lane("a")));
        let second = behind(lanes.enter(lane("a")));
        let third = behind(lanes.enter(lane("a")));
        let mut fourth = behind(lanes.enter(lane("a")));
        drop(second);
        drop(first);
        assert!((&mut fourth).now_or_never().is_none());
        drop(third);
        assert!((&mut fourth).now_or_never().is_some());
    }

    #[test]
    fn a_hundred_thousand_that_left_are_passed_over() {
        let lanes = Arc::new(Lanes::default());
        let first = at_once(lanes.enter(None));
        for _ in 0..100_000 {
            drop(lanes.enter(None));
        }
        let mut last = behind(lanes.enter(None));
        drop(first);
        assert!((&mut last).now_or_never().is_some());
    }

    #[test]
    fn lanes_are_not_kept() {
        let lanes = Arc::new(Lanes::default());
        for number in 0..1_000 {
            let value = number.to_string();
            let turn = at_once(lanes.enter(lane(&value)));
            let mut waiting = behind(lanes.enter(lane(&value)));
            drop(turn);
            drop((&mut waiting).now_or_never().expect("its turn"));
        }
        assert!(lanes.lock().is_empty());
        assert_eq!(Arc::strong_count(&lanes), 1);
    }
}
