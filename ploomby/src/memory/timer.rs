use std::sync::{Arc, Weak};

use tokio::{runtime::Handle, task::AbortHandle, time::Instant};

use super::state::Shared;
use crate::stage::Stage;

/// The one task that expires messages when nobody uses their queue. It ends when no head of a queue
/// can expire.
#[derive(Debug)]
pub(super) struct Timer {
    shared: Weak<Shared>,
    /// How many queues have a head that can expire.
    waiting: usize,
    started: u64,
    task: Option<Task>,
    /// Its clock is moved by somebody else, who then looks for what expires.
    is_of_test: bool,
}

#[derive(Debug)]
struct Task {
    number: u64,
    /// Never later than the first head expires.
    wakes_at: Instant,
    runtime: Handle,
    abort: AbortHandle,
}

impl Timer {
    pub(super) fn new(shared: Weak<Shared>, stage: &Stage) -> Self {
        Self {
            shared,
            waiting: 0,
            started: 0,
            task: None,
            is_of_test: stage.watch().is_some(),
        }
    }

    /// Takes note of what became of a queue's head.
    pub(super) fn head_changed(&mut self, old: Option<Instant>, new: Option<Instant>) {
        self.waiting += usize::from(new.is_some());
        self.waiting -= usize::from(old.is_some());
        if self.waiting == 0 {
            self.stop();
        }
    }

    /// Whether a task is alive that wakes in time. One whose runtime has ended is not.
    pub(super) fn wakes_by(&self, due: Instant) -> bool {
        self.task
            .as_ref()
            .is_some_and(|task| task.wakes_at <= due && !task.abort.is_finished())
    }

    /// Starts a task that wakes then, in place of the one that there is, on the runtime of the
    /// caller or else on that of the old task. Where there is neither, messages expire as soon as
    /// somebody looks.
    pub(super) fn start(&mut self, first_due: Option<Instant>) {
        if self.is_of_test {
            return;
        }
        let old = self.stop();
        let (Some(wakes_at), Some(shared)) = (first_due, self.shared.upgrade()) else {
            return;
        };
        let Some(runtime) = Handle::try_current().ok().or(old.map(|task| task.runtime)) else {
            return;
        };
        self.started += 1;
        let number = self.started;
        let abort = runtime.spawn(run(shared, number, wakes_at)).abort_handle();
        self.task = Some(Task {
            number,
            wakes_at,
            runtime,
            abort,
        });
    }

    fn stop(&mut self) -> Option<Task> {
        let task = self.task.take()?;
        task.abort.abort();
        Some(task)
    }

    fn task(&mut self, number: u64) -> Option<&mut Task> {
        self.task.as_mut().filter(|task| task.number == number)
    }
}

async fn run(shared: Arc<Shared>, number: u64, mut wakes_at: Instant) {
    loop {
        tokio::time::sleep_until(wakes_at).await;
        let mut state = shared.lock();
        if state.timer.task(number).is_none() {
            return;
        }
        state.pump_all();
        let due = state.first_due();
        let (Some(task), Some(due)) = (state.timer.task(number), due) else {
            return;
        };
        task.wakes_at = due;
        wakes_at = due;
    }
}
