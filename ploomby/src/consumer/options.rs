use std::time::Duration;

use thiserror::Error;

use super::{
    companions::{Companions, DeadLetters, LONGEST_WAIT},
    declare::Declare,
};
use crate::{
    delivery::Returns,
    handler::{QueuePolicy, policy::PolicyError},
    message::Value,
    topology::{Binding, Exchange, Wiring, WiringError},
};

/// How many unsettled messages the broker may send ahead where nothing else is said.
const DEFAULT_PREFETCH: u16 = 64;

/// What can be chosen for each queue, on whichever broker.
#[derive(Clone, Debug)]
pub(crate) struct QueueOptions {
    pub(crate) prefetch: u16,
    /// The program says how many: then it is not fitted to the concurrency.
    pub(crate) is_prefetch_chosen: bool,
    /// Among all consumers of the queue, if the program says so.
    pub(crate) consumer_priority: Option<i32>,
    pub(crate) policy: QueuePolicy,
    pub(crate) arguments: Vec<(String, Value)>,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) declare: Option<Declare>,
    pub(crate) bindings: Vec<(Exchange, Binding)>,
    /// Those that the program needs, whether or not the queue gets messages from them.
    pub(crate) exchanges: Vec<Exchange>,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            prefetch: DEFAULT_PREFETCH,
            is_prefetch_chosen: false,
            consumer_priority: None,
            policy: QueuePolicy::default(),
            arguments: Vec::new(),
            dead_letters: DeadLetters::default(),
            declare: None,
            bindings: Vec::new(),
            exchanges: Vec::new(),
        }
    }
}

impl QueueOptions {
    /// The policy, with what depends on the number of consumers.
    pub(crate) fn policy(&self, consumers_count: usize) -> QueuePolicy {
        let mut policy = self.policy.clone();
        policy.dead_lettering = self.dead_letters.dead_lettering();
        policy.returns = Returns::ThroughRetryQueues;
        policy.dead_letter_queue = self.dead_letters.name().map(str::to_owned);
        policy.default_concurrency = Some(consumers_count.saturating_mul(self.prefetch.into()));
        policy
    }

    /// Whether the program asks for a queue of which one consumer at a time is served.
    pub(crate) fn has_single_active(&self) -> bool {
        let single_active = ("x-single-active-consumer".to_owned(), Value::Bool(true));
        self.arguments.contains(&single_active)
    }

    /// The exchanges and bindings that the queue's messages come by.
    pub(crate) fn wiring(&self) -> Result<Wiring, OptionError> {
        Ok(Wiring::new(&self.bindings, &self.exchanges)?)
    }

    /// The queues beside the consumed one, once all that was chosen can be served.
    pub(crate) fn companions(&self, queue: &str) -> Result<Companions, OptionError> {
        if self.prefetch == 0 {
            return Err(OptionError::Prefetch);
        }
        self.policy.check()?;
        check_name(queue)?;
        let is_stream = ("x-queue-type".to_owned(), Value::from("stream"));
        if self.arguments.contains(&is_stream) {
            return Err(OptionError::Stream(queue.to_owned()));
        }
        let companions = Companions::new(queue, &self.arguments, &self.dead_letters);
        if self.dead_letters.longest_kept() > Some(LONGEST_WAIT) {
            return Err(OptionError::DeadLetterTtl);
        }
        if let Some(dead_letters) = &companions.dead_letters {
            check_name(&dead_letters.name)?;
            if dead_letters.name == queue {
                return Err(OptionError::OwnDeadLetters);
            }
        }
        Ok(companions)
    }
}

pub(crate) fn check_name(queue: &str) -> Result<(), OptionError> {
    match queue.len() {
        1..=255 => Ok(()),
        _ => Err(OptionError::Name(queue.to_owned())),
    }
}

/// Options that no broker can serve.
#[derive(Debug, Error)]
pub(crate) enum OptionError {
    #[error("a prefetch of 0 would be no limit at all: choose one of 1 or more")]
    Prefetch,
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("`{0}` cannot name a queue: a name has 1 to 255 bytes")]
    Name(String),
    #[error(
        "a message cannot wait for {0:?} between two attempts: the longest that RabbitMQ counts is ten years, so \
         choose a shorter delay with `retry`"
    )]
    RetryDelay(Duration),
    #[error(
        "dead letters cannot be kept for longer than ten years, which is the longest that RabbitMQ counts: leave \
         their `ttl` out to keep them for ever"
    )]
    DeadLetterTtl,
    #[error(
        "queue `{0}` is to be a stream: its messages stay after they were handled, cannot be given back, and would be read \
         from the next one on, without those that are there. Choose a classic or a quorum queue"
    )]
    Stream(String),
    #[error(transparent)]
    Wiring(#[from] WiringError),
    #[error("a queue cannot be its own dead-letter queue: choose another name")]
    OwnDeadLetters,
}

/// The setters of a type that has a field `options`.
macro_rules! queue_option_setters {
    () => {
        /// How many unsettled messages the broker may send ahead to each consumer (default: 64; with a lower
        /// [`concurrency`](Self::concurrency), so many and a few that are at hand: what waits here is not handled
        /// elsewhere, and may wait for longer than the broker allows). This bounds the memory that a queue takes. Zero, which means no limit to RabbitMQ, is
        /// refused.
        ///
        /// Source: [consumer prefetch](https://www.rabbitmq.com/docs/consumer-prefetch).
        #[must_use]
        pub fn prefetch(mut self, messages: u16) -> Self {
            self.options.prefetch = messages;
            self.options.is_prefetch_chosen = true;
            self
        }

        /// Which consumers of the queue are served first: those with the highest priority that take more, whatever
        /// program they are in (default: 0). The others get what those have no room for. A program that is to wait as a
        /// spare has a negative one.
        ///
        /// Source: [consumer priorities](https://www.rabbitmq.com/docs/consumer-priority).
        #[must_use]
        pub fn consumer_priority(mut self, priority: i32) -> Self {
            self.options.consumer_priority = Some(priority);
            self
        }

        $crate::handler::policy::policy_setters!(self => self.options.policy);

        /// An argument for declaring the queue, such as `x-queue-type`, in the place of one of the same name. A queue
        /// that exists is used as it is.
        ///
        /// Source: [optional queue
        /// arguments](https://www.rabbitmq.com/docs/queues#optional-arguments).
        #[must_use]
        pub fn queue_argument(
            self,
            name: impl Into<String>,
            value: impl Into<$crate::message::Value>,
        ) -> Self {
            self.with_argument(&name.into(), value.into())
        }

        /// Declares the queue as a quorum queue, of which each message is on several nodes. A queue that exists is used
        /// as it is.
        ///
        /// Source: [quorum queues](https://www.rabbitmq.com/docs/quorum-queues).
        #[must_use]
        pub fn quorum(self) -> Self {
            self.with_argument("x-queue-type", "quorum".into())
        }

        /// Declares the queue as a classic queue, as is the default whatever the default of the virtual host is.
        #[must_use]
        pub fn classic(self) -> Self {
            self.with_argument("x-queue-type", "classic".into())
        }

        /// Declares the queue so that one consumer at a time is served, and the next one only when that is gone: the
        /// order is kept between several programs.
        ///
        /// Source: [single active consumer](https://www.rabbitmq.com/docs/consumers#single-active-consumer).
        #[must_use]
        pub fn single_active_consumer(self) -> Self {
            self.with_argument("x-single-active-consumer", true.into())
        }

        /// Declares the queue with priorities up to this one, which RabbitMQ advises to be below 10. Messages of a higher
        /// [priority](crate::Outgoing::priority) come first. A quorum queue has none.
        ///
        /// Source: [priority queues](https://www.rabbitmq.com/docs/priority).
        #[must_use]
        pub fn max_priority(self, most: u8) -> Self {
            self.with_argument("x-max-priority", i32::from(most).into())
        }

        /// In the place of one of the same name.
        fn with_argument(mut self, name: &str, value: $crate::message::Value) -> Self {
            let arguments = &mut self.options.arguments;
            arguments.retain(|(known, _)| known != name);
            arguments.push((name.to_owned(), value));
            self
        }

        /// Brings messages of an exchange to the queue: those of a routing key, or those that a
        /// [`Binding`](crate::Binding) says. A queue may have several bindings. Exchange and binding are declared when
        /// the program starts and after a lost connection, as [`declare`](Self::declare) says.
        ///
        /// ```
        /// use ploomby::{Exchange, Queue};
        ///
        /// let events = Exchange::topic("shop.events");
        /// let queue = Queue::new("billing")
        ///     .bind(&events, "order.*.placed")
        ///     .bind(&events, "order.*.cancelled");
        /// ```
        #[must_use]
        pub fn bind(
            mut self,
            exchange: &$crate::Exchange,
            binding: impl Into<$crate::Binding>,
        ) -> Self {
            let bound = (exchange.clone(), binding.into());
            self.options.bindings.push(bound);
            self
        }

        /// Whether the queue is declared, and those beside it (default: those that are missing).
        #[must_use]
        pub fn declare(mut self, declare: $crate::Declare) -> Self {
            self.options.declare = Some(declare);
            self
        }

        /// Where messages go that cannot be handled, by name alone (default: the queue's name with
        /// `_dlq`). [`dead_letters`](Self::dead_letters) says more.
        #[must_use]
        pub fn dead_letter_queue(self, name: impl Into<String>) -> Self {
            self.dead_letters($crate::DeadLetters::to(name))
        }

        /// Where messages go that cannot be handled (default: to the queue's name with `_dlq`, as
        /// copies that tell the reason, to stay there).
        #[must_use]
        pub fn dead_letters(mut self, dead_letters: $crate::DeadLetters) -> Self {
            self.options.dead_letters = dead_letters;
            self
        }
    };
}

pub(crate) use queue_option_setters;
