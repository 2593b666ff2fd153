use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::Director;
use crate::{
    delivery::Delivery,
    testing::{
        journal::What,
        simulation::{Happens, Plan},
    },
};

pin_project! {
    /// A handler that may end between any two of its steps, or wait while others go on.
    pub(in crate::testing) struct Stepping<W> {
        #[pin]
        work: W,
        director: Director,
        name: String,
        slow: u32,
        has_crashed: bool,
    }
}

impl<W> Stepping<W> {
    pub(in crate::testing) fn new(work: W, director: &Director, delivery: &Delivery) -> Self {
        let key = delivery.key();
        Self {
            work,
            director: director.clone(),
            name: format!("`{}` of `{}`", key.unwrap_or_default(), delivery.queue()),
            slow: 0,
            has_crashed: false,
        }
    }
}

impl<W: Future> Future for Stepping<W> {
    type Output = W::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<W::Output> {
        let this = self.project();
        if *this.has_crashed {
            return Poll::Pending;
        }
        if *this.slow == 0 {
            match this.director.step(this.name) {
                Step::GoesOn => return this.work.poll(cx),
                Step::Crash => {
                    *this.has_crashed = true;
                    return Poll::Pending;
                }
                Step::Slow(turns) => *this.slow = turns,
            }
        }
        *this.slow -= 1;
        if *this.slow == 0 {
            return this.work.poll(cx);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// What becomes of a handler at its next step.
enum Step {
    GoesOn,
    Crash,
    /// Others go first, so often.
    Slow(u32),
}

impl Director {
    /// What becomes of a handler that is about to go on.
    fn step(&self, name: &str) -> Step {
        let mut state = self.lock();
        if state.is_dead(self.instance) {
            return Step::Crash;
        }
        match state.happens(Plan::STEPS) {
            Some(Happens::Crash) => {
                state.instances[self.instance].is_dead = true;
                state.version += 1;
                drop(state);
                self.shared.changed.notify_one();
                Step::Crash
            }
            Some(Happens::Slow(turns)) => {
                state.note(What::Fault(format!("the handler {name} is slow")));
                Step::Slow(turns)
            }
            _ => Step::GoesOn,
        }
    }
}
