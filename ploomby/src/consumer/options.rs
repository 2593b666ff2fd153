use thiserror::Error;

use crate::{codec::Decoding, message::Value};

/// How many unsettled messages the broker may send ahead where nothing else is said.
const DEFAULT_PREFETCH: u16 = 64;

/// What can be chosen for each queue, on whichever broker.
#[derive(Clone, Debug)]
pub(crate) struct QueueOptions {
    pub(crate) prefetch: u16,
    pub(crate) concurrency: Option<usize>,
    pub(crate) arguments: Vec<(String, Value)>,
    pub(crate) dead_letter_queue: Option<String>,
    pub(crate) decoding: Decoding,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            prefetch: DEFAULT_PREFETCH,
            concurrency: None,
            arguments: Vec::new(),
            dead_letter_queue: None,
            decoding: Decoding::new(),
        }
    }
}

impl QueueOptions {
    pub(crate) fn concurrency(&self, consumers_count: usize) -> usize {
        self.concurrency
            .unwrap_or_else(|| consumers_count.saturating_mul(self.prefetch.into()))
    }

    /// The name of the dead-letter queue, once all that was chosen can be served.
    pub(crate) fn check(&self, queue: &str) -> Result<String, OptionError> {
        if self.prefetch == 0 {
            return Err(OptionError::Prefetch);
        }
        if self.concurrency == Some(0) {
            return Err(OptionError::Concurrency);
        }
        let dead_letter_queue = match &self.dead_letter_queue {
            Some(name) => name.clone(),
            None => format!("{queue}_dlq"),
        };
        for name in [queue, &dead_letter_queue] {
            if name.is_empty() || name.len() > 255 {
                return Err(OptionError::Name(name.to_owned()));
            }
        }
        if dead_letter_queue == queue {
            return Err(OptionError::OwnDeadLetters);
        }
        Ok(dead_letter_queue)
    }
}

/// Options that no broker can serve.
#[derive(Debug, Error)]
pub(crate) enum OptionError {
    #[error("a prefetch of 0 would be no limit at all: choose one of 1 or more")]
    Prefetch,
    #[error("a concurrency of 0 would let no handler run: choose one of 1 or more")]
    Concurrency,
    #[error("`{0}` cannot name a queue: a name has 1 to 255 bytes")]
    Name(String),
    #[error("a queue cannot be its own dead-letter queue: choose another name")]
    OwnDeadLetters,
}

/// The setters of a type that has a field `options`.
macro_rules! queue_option_setters {
    () => {
        /// How many unsettled messages the broker may send ahead to each consumer (default: 64).
        /// This bounds the memory that a queue takes. Zero, which means no limit to RabbitMQ, is
        /// refused.
        ///
        /// Source: [consumer prefetch](https://www.rabbitmq.com/docs/consumer-prefetch).
        #[must_use]
        pub fn prefetch(mut self, messages: u16) -> Self {
            self.options.prefetch = messages;
            self
        }

        /// How many handlers of the queue may run at the same time in this program (default: as
        /// many as messages can be there, prefetch times consumers; zero is refused). With one
        /// consumer, 1 keeps the order of the queue.
        #[must_use]
        pub fn concurrency(mut self, handlers: usize) -> Self {
            self.options.concurrency = Some(handlers);
            self
        }

        /// An argument for declaring the queue, such as `x-queue-type`. A queue that exists is
        /// used as it is.
        ///
        /// Source: [optional queue
        /// arguments](https://www.rabbitmq.com/docs/queues#optional-arguments).
        #[must_use]
        pub fn queue_argument(
            mut self,
            name: impl Into<String>,
            value: impl Into<$crate::message::Value>,
        ) -> Self {
            self.options.arguments.push((name.into(), value.into()));
            self
        }

        /// Where messages go that cannot be handled (default: the queue's name with `_dlq`).
        #[must_use]
        pub fn dead_letter_queue(mut self, name: impl Into<String>) -> Self {
            self.options.dead_letter_queue = Some(name.into());
            self
        }

        /// How payloads are decoded where a message does not say it by its content type (default:
        /// JSON).
        #[must_use]
        pub fn codec(mut self, codec: $crate::Codec) -> Self {
            self.options.decoding = self.options.decoding.codec(codec);
            self
        }

        /// How large a compressed body may become, in bytes (default: 16 MiB). A message whose
        /// body would become larger goes to the dead-letter queue.
        #[must_use]
        pub fn max_decompressed_size(mut self, bytes: usize) -> Self {
            self.options.decoding = self.options.decoding.max_decompressed_size(bytes);
            self
        }
    };
}

pub(crate) use queue_option_setters;
