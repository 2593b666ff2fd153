use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::DEADLINE;

/// What handlers note, and the test waits for.
///
/// The handlers' side lives as long as the process, so that closures can copy it.
pub fn seen() -> (&'static Seen, Handled) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Box::leak(Box::new(Seen(sender))), Handled(receiver))
}

/// The handlers' side of [`seen`].
#[derive(Debug)]
pub struct Seen(mpsc::UnboundedSender<String>);

impl Seen {
    /// Notes something.
    pub fn note(&self, text: impl Into<String>) {
        // the test may have what it wanted, and be over
        let _ = self.0.send(text.into());
    }
}

/// The test's side of [`seen`].
#[derive(Debug)]
pub struct Handled(mpsc::UnboundedReceiver<String>);

impl Handled {
    /// Waits for the next note.
    ///
    /// # Panics
    ///
    /// Where none comes within the deadline.
    #[track_caller]
    pub fn next_note(&mut self) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        async move {
            match timeout(DEADLINE, self.0.recv()).await {
                Ok(Some(text)) => text,
                _ => panic!("nothing was handled that {caller} waits for"),
            }
        }
    }

    /// What was noted and not waited for, one by one.
    pub fn now(&mut self) -> Option<String> {
        self.0.try_recv().ok()
    }

    /// Whether there is nothing more for now.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
