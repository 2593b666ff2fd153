use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::oneshot;
use tracing::debug;

use crate::message::Message;

/// The embedded broker has none: each of its calls has an address of its own for the reply.
pub(crate) const NO_CHANNEL: u64 = 0;

/// The calls of a client that wait for their replies.
///
/// Whoever has seen the address of one call's reply can send to it whatever they like, and so can each
/// callee. So a reply counts only if it comes with the id of its call, which nobody can guess; one
/// without an id, only over a channel that carried the request of no other call.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    state: Mutex<State>,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    in_flight: HashMap<u64, InFlight>,
}

#[derive(Debug)]
struct InFlight {
    /// What the correlation id of its reply holds beside its number.
    secret: u128,
    /// A reply with a larger body is none.
    max_reply: usize,
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
    secret: u128,
    reply: oneshot::Receiver<Message>,
}

impl Calls {
    pub(crate) fn begin(self: &Arc<Self>, tag: Tag, max_reply: usize) -> PendingCall {
        let (sender, reply) = oneshot::channel();
        let secret = unguessable();
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        let in_flight = InFlight {
            secret,
            max_reply,
            reply: sender,
            tag,
            channel: None,
        };
        state.in_flight.insert(number, in_flight);
        PendingCall {
            calls: self.clone(),
            number,
            secret,
            reply,
        }
    }

    /// The request is about to be sent over this channel, or is not any more.
    pub(crate) fn sent(&self, call: u64, channel: Option<u64>) {
        if let Some(in_flight) = self.lock().in_flight.get_mut(&call) {
            in_flight.channel = channel;
        }
    }

    /// Whether the reply of this call has no id.
    pub(crate) fn is_alone(&self, call: u64) -> bool {
        let state = self.lock();
        let call = state.in_flight.get(&call);
        call.is_some_and(|call| call.tag == Tag::None)
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

    /// Gives a reply that came over this channel to its call. One that is nobody's is dropped and counted: it
    /// may be late, a second one, made up, or larger than its call takes.
    pub(crate) fn answer(&self, reply: Message, channel: u64) {
        let mut state = self.lock();
        let number = match reply.properties().correlation_id() {
            Some(id) => state.find(id),
            None => state.find_alone(channel),
        };
        let fits = |call: &InFlight| reply.body().len() <= call.max_reply;
        let number = number.filter(|number| state.in_flight.get(number).is_some_and(fits));
        let call = number.and_then(|number| state.in_flight.remove(&number));
        drop(state);
        match call {
            // whoever waited may have given up just now
            Some(call) => drop(call.reply.send(reply)),
            None => {
                self.dropped.fetch_add(1, Relaxed);
                debug!("a reply came that no call waits for");
            }
        }
    }

    /// How many replies came that were no call's.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().in_flight.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The call with this correlation id.
    fn find(&self, id: &str) -> Option<u64> {
        let (secret, number) = id.split_at_checked(SECRET_DIGITS)?;
        let secret = u128::from_str_radix(secret, 16).ok()?;
        let number = number.parse().ok()?;
        let call = self.in_flight.get(&number)?;
        (call.secret == secret).then_some(number)
    }

    /// The call whose reply has no id, if it went over this channel: what comes before the request is sent, or
    /// over another channel, is of an earlier call.
    fn find_alone(&self, channel: u64) -> Option<u64> {
        let mut calls = self.in_flight.iter();
        let found = calls.find(|(_, call)| call.tag == Tag::None && call.channel == Some(channel));
        found.map(|(number, _)| *number)
    }
}

/// A number of 128 bits that nobody can guess.
///
/// # Panics
///
/// Where the operating system gives no random bytes: a number that can be guessed would be worse.
pub(crate) fn unguessable() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    u128::from_ne_bytes(bytes)
}

/// How many hexadecimal digits of a correlation id are the secret; the number of the call follows.
const SECRET_DIGITS: usize = 32;

impl PendingCall {
    /// The correlation id of the request, which only the reply of who received that can have.
    pub(crate) fn correlation_id(&self) -> String {
        let Self { secret, number, .. } = self;
        format!("{secret:0SECRET_DIGITS$x}{number}")
    }

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

    fn begin(calls: &Arc<Calls>, tag: Tag) -> PendingCall {
        calls.begin(tag, 1024)
    }

    #[tokio::test]
    async fn a_reply_reaches_its_call_and_no_other() {
        let calls = Arc::new(Calls::default());
        let mut first = begin(&calls, Tag::CorrelationId);
        let mut second = begin(&calls, Tag::CorrelationId);
        let number_alone = second.number().to_string();
        let of_the_first = first.correlation_id();
        let swapped = format!("{}2", &of_the_first[..SECRET_DIGITS]);
        let nobodys = [
            "",
            "2",
            "x",
            &number_alone,
            &swapped,
            &of_the_first[1..],
            "é",
            "+0000",
        ];
        for nobody in nobodys.into_iter().map(Some).chain([None]) {
            calls.answer(reply(nobody), 7);
        }
        assert_eq!(calls.len(), 2);
        assert_eq!(calls.dropped(), 9);
        let id = second.correlation_id();
        calls.answer(reply(Some(&id)), 7);
        assert!(second.reply().await.is_some());
        assert_eq!(calls.len(), 1);
        // a second reply to the same call
        calls.answer(reply(Some(&id)), 7);
        assert_eq!((calls.len(), calls.dropped()), (1, 10));
        calls.sent(1, Some(7));
        assert!(calls.wait_for(7) && !calls.wait_for(6));
        calls.lost(6);
        assert_eq!(calls.len(), 1);
        calls.lost(7);
        assert!(first.reply().await.is_none());
    }

    #[tokio::test]
    async fn a_reply_that_is_too_large_is_none() {
        let calls = Arc::new(Calls::default());
        let mut call = calls.begin(Tag::CorrelationId, 5);
        let id = call.correlation_id();
        calls.answer(
            Message::new("larger").with_properties(reply(Some(&id)).properties),
            7,
        );
        assert_eq!((calls.len(), calls.dropped()), (1, 1));
        calls.answer(reply(Some(&id)), 7);
        assert!(call.reply().await.is_some());
    }

    #[tokio::test]
    async fn a_reply_without_an_id_is_that_of_the_only_call() {
        let calls = Arc::new(Calls::default());
        let mut call = begin(&calls, Tag::None);
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
        drop(begin(&calls, Tag::CorrelationId));
        assert_eq!(calls.len(), 0);
    }
}
