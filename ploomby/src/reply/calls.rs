use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;
use tracing::debug;

use crate::message::Message;

/// The embedded broker has none: each of its calls has an address of its own for the reply.
pub(crate) const NO_CHANNEL: u64 = 0;

/// The calls of a client that wait for their replies.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: u64,
    in_flight: HashMap<u64, InFlight>,
}

#[derive(Debug)]
struct InFlight {
    reply: oneshot::Sender<Message>,
    tag: Tag,
    /// The channel that the request went over, once it did.
    channel: Option<u64>,
}

/// Whether a reply says whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    CorrelationId,
    /// It is that of the only call.
    None,
}

/// A call. Dropped, it does not wait any more.
#[derive(Debug)]
pub(crate) struct PendingCall {
    calls: Arc<Calls>,
    number: u64,
    reply: oneshot::Receiver<Message>,
}

impl Calls {
    pub(crate) fn begin(self: &Arc<Self>, tag: Tag) -> PendingCall {
        let (sender, reply) = oneshot::channel();
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        let in_flight = InFlight {
            reply: sender,
            tag,
            channel: None,
        };
        state.in_flight.insert(number, in_flight);
        PendingCall {
            calls: self.clone(),
            number,
            reply,
        }
    }

    /// The request is about to be sent over this channel, or is not any more.
    pub(crate) fn sent(&self, call: u64, channel: Option<u64>) {
        if let Some(in_flight) = self.lock().in_flight.get_mut(&call) {
            in_flight.channel = channel;
        }
    }

    /// Nothing more comes over this channel.
    pub(crate) fn lost(&self, channel: u64) {
        self.lock()
            .in_flight
            .retain(|_, call| call.channel != Some(channel));
    }

    /// Whether there are calls whose replies come over this channel.
    pub(crate) fn wait_for(&self, channel: u64) -> bool {
        let state = self.lock();
        state
            .in_flight
            .values()
            .any(|call| call.channel == Some(channel))
    }

    /// Nothing more comes at all.
    pub(crate) fn lost_all(&self) {
        self.lock().in_flight.clear();
    }

    /// Gives a reply that came over this channel to its call, which may not wait any more.
    pub(crate) fn answer(&self, reply: Message, channel: u64) {
        let mut state = self.lock();
        let number = match reply.properties().correlation_id() {
            Some(id) => id.parse().ok(),
            None => {
                let mut untagged = state
                    .in_flight
                    .iter()
                    // what comes before the request is sent, or over another channel, is of an earlier one
                    .filter(|(_, call)| call.tag == Tag::None && call.channel == Some(channel));
                untagged.next().map(|(number, _)| *number)
            }
        };
        let call = number.and_then(|number| state.in_flight.remove(&number));
        drop(state);
        match call {
            // whoever waited may have given up just now
            Some(call) => drop(call.reply.send(reply)),
            None => debug!("a reply came that nobody waits for any more"),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().in_flight.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingCall {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The reply; none where the channel was lost that it would have come over.
    pub(crate) async fn reply(&mut self) -> Option<Message> {
        (&mut self.reply).await.ok()
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        self.calls.lock().in_flight.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Properties;

    fn reply(correlation_id: Option<&str>) -> Message {
        let properties = correlation_id.map_or(Ok(Properties::new()), |id| {
            Properties::new().with_correlation_id(id)
        });
        Message::new("reply").with_properties(properties.expect("it is short"))
    }

    #[tokio::test]
    async fn a_reply_reaches_its_call_and_no_other() {
        let calls = Arc::new(Calls::default());
        let (mut first, mut second) = (
            calls.begin(Tag::CorrelationId),
            calls.begin(Tag::CorrelationId),
        );
        for nobody in [None, Some("3"), Some("x")] {
            calls.answer(reply(nobody), 7);
        }
        assert_eq!(calls.len(), 2);
        calls.answer(reply(Some("2")), 7);
        assert!(second.reply().await.is_some());
        assert_eq!(calls.len(), 1);
        calls.sent(1, Some(7));
        assert!(calls.wait_for(7) && !calls.wait_for(6));
        calls.lost(6);
        assert_eq!(calls.len(), 1);
        calls.lost(7);
        assert!(first.reply().await.is_none());
    }

    #[tokio::test]
    async fn a_reply_without_an_id_is_that_of_the_only_call() {
        let calls = Arc::new(Calls::default());
        let mut call = calls.begin(Tag::None);
        // that of a call before, which gave up
        calls.answer(reply(None), 2);
        assert_eq!(calls.len(), 1);
        calls.sent(call.number(), Some(2));
        calls.answer(reply(None), 1);
        assert_eq!(calls.len(), 1);
        calls.answer(reply(None), 2);
        assert!(call.reply().await.is_some());
    }

    #[test]
    fn a_dropped_call_leaves_nothing_behind() {
        let calls = Arc::new(Calls::default());
        drop(calls.begin(Tag::CorrelationId));
        assert_eq!(calls.len(), 0);
    }
}
