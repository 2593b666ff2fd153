use std::{sync::Arc, time::Duration};

use thiserror::Error;

use super::{OrderBy, Rate};
use crate::{
    brake::Settings,
    codec::Decoding,
    delivery::{ReplyRules, ReplyStyle, Returns},
    layer::Layers,
    settle::{DeadLettering, Retry},
    stage::Stage,
    trace::Trace,
};

/// The setters of a type that has a [`QueuePolicy`] at `$policy`.
macro_rules! policy_setters {
    ($self:ident => $policy:expr) => {
        /// How many handlers of the queue may run at the same time in this program (default: as
        /// many as messages can be there, prefetch times consumers; zero is refused). With one
        /// consumer, 1 keeps the order of the queue.
        #[must_use]
        pub fn concurrency(mut $self, handlers: usize) -> Self {
            $policy.concurrency = Some(handlers);
            $self
        }

        /// How many messages each handler of the queue may work at in the same moment, in this
        /// program, unless it says so itself (default: as many as the queue allows; zero is
        /// refused). For a handler of a [`Batch`](crate::extract::Batch) it counts batches.
        #[must_use]
        pub fn handler_concurrency(mut $self, messages: usize) -> Self {
            $policy.handler_concurrency = Some(messages);
            $self
        }

        /// How many messages all handlers of the queue together begin within a time, in this program (default: as
        /// many as they can; zero is refused). A handler with a rate of its own is apart. See [`Rate`](crate::Rate) for
        /// what becomes of the messages that are above it.
        #[must_use]
        pub fn rate(mut $self, rate: $crate::Rate) -> Self {
            $policy.rate = Some(rate);
            $self
        }

        /// How often, and after which pauses, a message is tried that failed (default:
        /// [`Retry::none`](crate::Retry::none)). A number means so many attempts in all, with
        /// exponential delays.
        #[must_use]
        pub fn retry(mut $self, retry: impl Into<$crate::Retry>) -> Self {
            $policy.retry = retry.into();
            $self
        }

        /// Which errors of handlers say that something they need is away, beside those that are marked as
        /// [`Unavailable`](crate::Unavailable) (default: none). Such an error is not the message's fault: see there for
        /// what becomes of it. What a handler's own option says goes before.
        ///
        /// ```
        /// use ploomby::{Queue, Unavailable};
        ///
        /// let queue = Queue::new("billing").unavailable_if(|error| {
        ///     Unavailable::is_io(error) || error.to_string().contains("too many connections")
        /// });
        /// ```
        #[must_use]
        pub fn unavailable_if(
            mut $self,
            is_unavailable: impl Fn(&anyhow::Error) -> bool + Send + Sync + 'static,
        ) -> Self {
            $policy.braking.is_unavailable = Some(std::sync::Arc::new(is_unavailable));
            $self
        }

        /// After how many failures in a row a handler gets one message a second until one succeeds (default:
        /// [`Brake::none`](crate::Brake::none)). A number means [`Brake::after`](crate::Brake::after) so many.
        #[must_use]
        pub fn brake(mut $self, brake: impl Into<$crate::Brake>) -> Self {
            $policy.braking.brake = Some(brake.into());
            $self
        }

        /// Needs what a check of the program looks after: while it fails, no message goes to the handlers of the queue.
        /// See [`App::check`](crate::App::check). Each call adds one.
        #[must_use]
        pub fn needs(mut $self, check: impl Into<String>) -> Self {
            $policy.braking.needs.push(check.into());
            $self
        }

        /// How long a handler may take (default: as long as it likes). One that is not done by then
        /// is dropped where it waits, and its message is retried or dead-lettered; one that computes
        /// without waiting cannot be dropped.
        ///
        /// RabbitMQ closes the channel of a consumer that holds a message for [30
        /// minutes](https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout).
        #[must_use]
        pub fn timeout(mut $self, timeout: std::time::Duration) -> Self {
            $policy.timeout = Some(timeout);
            $self
        }

        /// Runs the messages with the same value here one after another, all handlers of the queue
        /// together (default: as they come, all at the same time). A handler that is ordered by
        /// itself is so apart from the others.
        ///
        /// The queue must have one consumer in this program: more are an error at startup.
        #[must_use]
        pub fn ordered_by(mut $self, value: $crate::OrderBy) -> Self {
            $policy.ordered_by = Some(value);
            $self
        }

        /// How many messages a handler of a [`Batch`](crate::extract::Batch) takes at once, at most
        /// (default: 32, or what can be here at the same time, if that is less).
        #[must_use]
        pub fn batch_size(mut $self, messages: usize) -> Self {
            $policy.batch_size = Some(messages);
            $self
        }

        /// How long the first message of a [`Batch`](crate::extract::Batch) waits for others, at
        /// most (default: 100 ms).
        #[must_use]
        pub fn batch_wait(mut $self, wait: std::time::Duration) -> Self {
            $policy.batch_wait = Some(wait);
            $self
        }

        /// How often a handler may give a message back, by [`Outcome::Requeue`](crate::Outcome::Requeue), before the
        /// message is dead-lettered with the reason `too-many-deliveries` (default: 16 times; `None` for no limit).
        ///
        /// Nothing else counts: neither a shutdown, nor a lost connection, nor what the broker counts. The first time
        /// the message goes back to its place. From the second time on a copy counts, which waits for a second and
        /// goes to the end of the queue. So where the order is kept, by a [`concurrency`](Self::concurrency) of 1 or
        /// by [`ordered_by`](Self::ordered_by), it is counted only if a limit is set here.
        #[must_use]
        pub fn max_deliveries(mut $self, deliveries: impl Into<Option<u32>>) -> Self {
            $policy.max_deliveries = match deliveries.into() {
                Some(most) => $crate::handler::policy::MaxDeliveries::At(most),
                None => $crate::handler::policy::MaxDeliveries::Unlimited,
            };
            $self
        }

        /// How often the process may die over a message before the message is dead-lettered with the reason
        /// `crashes-the-process` (default: 5 times; `None` for no limit).
        ///
        /// Only what is handled alone counts: a message that came back again and again is taken to the queue
        /// `<queue>_suspects` first, where one message is handled at a time. There a good one is handled as well, so
        /// that neither deploys nor lost connections nor its neighbours condemn it. A queue whose name has more than
        /// 246 bytes has no such queue, and its messages no limit.
        #[must_use]
        pub fn max_crashes(mut $self, crashes: impl Into<Option<u32>>) -> Self {
            $policy.max_crashes = match crashes.into() {
                Some(most) => $crate::handler::policy::MaxCrashes::At(most),
                None => $crate::handler::policy::MaxCrashes::Unlimited,
            };
            $self
        }

        /// The largest body, in bytes, that is given to a handler (default: what the broker takes).
        /// A message with a larger one is dead-lettered.
        #[must_use]
        pub fn max_body(mut $self, bytes: usize) -> Self {
            $policy.max_body = Some(bytes);
            $self
        }

        /// How payloads are decoded where a message does not say it by its content type (default:
        /// JSON).
        #[must_use]
        pub fn codec(mut $self, codec: $crate::Codec) -> Self {
            $policy.decoding.codec = codec;
            $self
        }

        /// How large a compressed body may become, in bytes (default: 16 MiB). A message whose
        /// body would become larger goes to the dead-letter queue.
        #[must_use]
        pub fn max_decompressed_size(mut $self, bytes: usize) -> Self {
            $policy.decoding.max_decompressed_size = bytes;
            $self
        }

        /// Whether the messages of the queue, and what its handlers send, have spans, and whether these belong to the traces of
        /// who sent the messages (default: [`Trace::Auto`](crate::trace::Trace::Auto) once a
        /// [`Bridge`](crate::trace::Bridge) is set, else [`Trace::Off`](crate::trace::Trace::Off)).
        #[must_use]
        pub fn trace(mut $self, trace: $crate::trace::Trace) -> Self {
            $policy.trace = Some(trace);
            $self
        }

        /// Replies as the Python original does, for clients of its handlers: with `{"detail": …}`,
        /// a text that holds the value as JSON, or the text of the error.
        #[must_use]
        pub fn python_replies(mut $self) -> Self {
            $policy.reply_style = $crate::delivery::ReplyStyle::Python;
            $self
        }

        /// Which replies are sent to who asks by `reply_to` (default: all).
        #[must_use]
        pub fn replies(mut $self, replies: $crate::Replies) -> Self {
            $policy.reply.replies = replies;
            $self
        }

        /// Tells who asks the texts of errors, with all their causes (default: the
        /// [`Reason`](crate::Reason) and which fields are at fault, and the whole of an
        /// [`ErrorReply`](crate::ErrorReply) that a handler returns).
        ///
        /// Whoever may publish to the queue may ask, so turn it on where none of them must not see what an
        /// error says: addresses, file names, queries.
        #[must_use]
        pub fn expose_errors(mut $self) -> Self {
            $policy.reply.exposes_errors = true;
            $self
        }

        /// Where replies may go, besides `amq.rabbitmq.reply-to.…`, which is no queue: addresses in which `*` stands
        /// for any text, such as `replies` or `amq.gen-*`, and `exchange/key`, such as `amq.direct/replies.*`, for
        /// those that go through an exchange (default: to any queue, and through no exchange).
        ///
        /// No reply goes to a queue that the program consumes or keeps dead letters in, or whose name is one that
        /// ploomby gives to queues beside another (`…_dlq`, `…_retry_1000ms`, `…_delay_1000ms`): whoever may publish
        /// to this queue would write there with the rights of this program. A message whose reply may not go where
        /// it says is handled as one without `reply_to`.
        #[must_use]
        pub fn reply_addresses(
            mut $self,
            addresses: impl IntoIterator<Item = impl Into<String>>,
        ) -> Self {
            let addresses = addresses.into_iter().map(|address| $crate::delivery::Pattern::new(address.into()));
            $policy.reply.addresses = Some(addresses.collect());
            $self
        }

        /// How large a reply to a queue may be, in bytes (default: 1 MiB, and no more than a hundred times its
        /// request or 64 KiB). It does not hold for direct reply-to, nor for what
        /// [`reply_addresses`](Self::reply_addresses) names. A larger reply is dropped.
        #[must_use]
        pub fn max_reply(mut $self, bytes: usize) -> Self {
            $policy.reply.max_len = bytes;
            $self
        }

        /// How long the broker may take to take a reply (default: 1 s). It is tried once, then the message is settled
        /// as its handler decided, with the reply or without.
        #[must_use]
        pub fn reply_within(mut $self, time: std::time::Duration) -> Self {
            $policy.reply.within = time;
            $self
        }

        /// Puts a `tower::Layer` around the handlers of the queue, all together, and around those
        /// layers that are there already. A limit of the layer's counts for the queue.
        #[must_use]
        pub fn layer(mut $self, layer: impl $crate::HandlerLayer) -> Self {
            $policy.layers.push(layer);
            $self
        }

        /// How many bytes of bodies the handlers that run at the same time may hold, all together
        /// (default: no limit). A single larger message runs alone. What compressed bodies become is counted by
        /// itself, with the same limit, and 32 MiB for all queues together that have none; a message waits until
        /// there is room for it. How large each may become, [`max_decompressed_size`](Self::max_decompressed_size)
        /// says.
        ///
        /// What waits for its handler is bounded by the prefetch alone: RabbitMQ has no limit in
        /// bytes, so choose a small prefetch for large messages.
        #[must_use]
        pub fn max_in_flight_bytes(mut $self, bytes: usize) -> Self {
            $policy.max_in_flight_bytes = Some(bytes);
            $self
        }
    };
}

pub(crate) use policy_setters;

/// How the deliveries of a queue are handled, whatever their source.
///
/// A factory of your own returns one from [`MessageConsumerFactory::policy`]. What a handler's own
/// options say goes before.
///
/// [`MessageConsumerFactory::policy`]: crate::MessageConsumerFactory::policy
#[derive(Clone, Debug, Default)]
pub struct QueuePolicy {
    pub(crate) concurrency: Option<usize>,
    pub(crate) handler_concurrency: Option<usize>,
    pub(crate) rate: Option<Rate>,
    /// Where nothing is chosen.
    pub(crate) default_concurrency: Option<usize>,
    pub(crate) retry: Retry,
    pub(crate) timeout: Option<Duration>,
    pub(crate) braking: Settings,
    pub(crate) ordered_by: Option<OrderBy>,
    pub(crate) batch_size: Option<usize>,
    pub(crate) batch_wait: Option<Duration>,
    pub(crate) max_deliveries: MaxDeliveries,
    pub(crate) max_crashes: MaxCrashes,
    pub(crate) max_body: Option<usize>,
    pub(crate) max_in_flight_bytes: Option<usize>,
    pub(crate) dead_lettering: DeadLettering,
    pub(crate) decoding: Decoding,
    pub(crate) layers: Layers,
    pub(crate) reply_style: ReplyStyle,
    pub(crate) reply: ReplyRules,
    /// How its source brings messages back.
    pub(crate) returns: Returns,
    /// Where its messages are kept that cannot be handled, if it is not the queue's name with `_dlq`.
    pub(crate) dead_letter_queue: Option<String>,
    /// Name and version of the program, which dead letters tell.
    pub(crate) app: Option<Arc<str>>,
    /// How its messages are traced, if the program says so.
    pub(crate) trace: Option<Trace>,
    /// Messages are decoded to see whether they fit, and no handler has them.
    pub(crate) is_trial: bool,
    /// Where its messages are handled.
    pub(crate) stage: Stage,
}

/// How often a handler may give a message back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MaxDeliveries {
    #[default]
    Default,
    Unlimited,
    At(u32),
}

/// How many handlers run at the same time where nothing is known of the source.
const DEFAULT_CONCURRENCY: usize = 64;

const MAX_DELIVERIES: u32 = 16;

const MAX_CRASHES: u32 = 5;

/// How often the process may die over a message that is alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MaxCrashes {
    #[default]
    Default,
    Unlimited,
    At(u32),
}

impl QueuePolicy {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    policy_setters!(self => self);

    /// # Errors
    ///
    /// A limit that would let nothing be handled, whatever the source.
    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        if self.concurrency == Some(0) || self.handler_concurrency == Some(0) {
            return Err(PolicyError::Concurrency);
        }
        if self.rate.is_some_and(Rate::is_zero) {
            return Err(PolicyError::Rate);
        }
        if self.batch_size == Some(0) {
            return Err(PolicyError::BatchSize);
        }
        if self.timeout == Some(Duration::ZERO) {
            return Err(PolicyError::Timeout);
        }
        Ok(())
    }

    /// Which messages are believed to have been tried before. Some go straight back: those without a delay, and
    /// those of a queue whose name leaves no room for that of another beside it.
    pub(crate) fn returns(&self, queue: &str, has_no_delay: bool) -> Returns {
        const LONGEST_NAME: usize = 255;

        let is_long = queue.len() + "_retry_1000ms".len() > LONGEST_NAME;
        match self.returns {
            Returns::ThroughRetryQueues if has_no_delay || is_long => Returns::Straight,
            returns => returns,
        }
    }

    /// How many handlers run at the same time where nothing is chosen.
    pub(crate) fn default_concurrency(&self) -> usize {
        self.default_concurrency.unwrap_or(DEFAULT_CONCURRENCY)
    }

    /// How many messages can be with handlers in the same moment.
    pub(crate) fn most_in_flight(&self) -> usize {
        match (self.concurrency, self.default_concurrency) {
            (Some(chosen), Some(there)) => chosen.min(there),
            (Some(chosen), None) => chosen,
            (None, _) => self.default_concurrency(),
        }
    }

    /// How often a handler may give a message back. Each time from the second on takes the message to the end of the
    /// queue, as a copy that counts: so nothing counts where the order of the queue is kept, unless asked for.
    pub(crate) fn most_requeues(&self, is_ordered: bool) -> Option<u32> {
        match self.max_deliveries {
            MaxDeliveries::Default => {
                (!is_ordered && self.concurrency != Some(1)).then_some(MAX_DELIVERIES)
            }
            MaxDeliveries::Unlimited => None,
            MaxDeliveries::At(most) => Some(most),
        }
    }

    /// How often the process may die over a message that is alone.
    pub(crate) fn most_crashes(&self) -> Option<u32> {
        match self.max_crashes {
            MaxCrashes::Default => Some(MAX_CRASHES),
            MaxCrashes::Unlimited => None,
            MaxCrashes::At(most) => Some(most),
        }
    }
}

/// A policy by which no message would be handled.
#[derive(Debug, Error)]
pub(crate) enum PolicyError {
    #[error("a concurrency of 0 would let no handler run: choose one of 1 or more")]
    Concurrency,
    #[error("a rate of 0 would let no message be handled: choose one of 1 or more")]
    Rate,
    #[error("a batch size of 0 would let no message be handled: choose one of 1 or more")]
    BatchSize,
    #[error("a timeout of 0 would let no handler finish: choose a longer one")]
    Timeout,
}
