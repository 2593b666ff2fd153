use super::{Acknowledger, ConsumerError, Settled};
use crate::message::{Message, PropertyError};

/// What became of the copy of a message.
pub(super) enum Kept {
    Safe,
    /// The message itself is at fault: no copy of it is ever kept there.
    Never(ConsumerError),
    /// The original goes back, or is gone.
    GivenUp,
}

impl<A: Acknowledger> Settled<'_, A> {
    /// Keeps the copy of a message whose handler is done, however long it takes.
    ///
    /// Nobody may be able to keep it for a while: the right to write is taken away, the broker is short of memory,
    /// there is no connection. The message is not at fault, and its handler must not run again for it. So what was
    /// decided is remembered, the broker goes on holding the message for this program, and its handler's slot is
    /// given to others while the copy waits for the next try.
    ///
    /// It ends without a copy when shutdown begins, when the source has given the message back, and where `is_vain`
    /// says of an error that the next try would end with it, too.
    pub(super) async fn keep_at_last<F>(
        &self,
        copy: Result<Message, PropertyError>,
        keep: impl Fn(Message) -> F,
        is_vain: impl Fn(&ConsumerError) -> bool,
        slot: &mut Option<impl Send>,
    ) -> Kept
    where
        F: Future<Output = Result<(), ConsumerError>>,
    {
        let settling = self.settling;
        let copy = match copy {
            Ok(copy) => copy,
            Err(error) => {
                *slot = None;
                let pause = settling.next_pause();
                self.log_not_kept(
                    &ConsumerError::new(error),
                    format_args!("requeueing the message in {pause:?}"),
                );
                settling.wait(pause).await;
                return Kept::GivenUp;
            }
        };
        loop {
            let error = match self.keep(Ok(copy.clone()), &keep).await {
                Ok(()) => {
                    settling.pause.reset();
                    return Kept::Safe;
                }
                Err(error) if is_vain(&error) => return Kept::Never(error),
                Err(error) => error,
            };
            *slot = None;
            let pause = settling.next_pause();
            self.log_not_kept(&error, format_args!("trying again in {pause:?}"));
            // cancel safety: all of them can be dropped
            tokio::select! {
                biased;
                () = self.acknowledger.lost() => return Kept::GivenUp,
                is_over = settling.wait(pause) => {
                    if is_over.is_none() {
                        return Kept::GivenUp;
                    }
                }
            }
        }
    }
}
