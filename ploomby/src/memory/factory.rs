use super::{
    arguments::QueueArguments, broker::MemoryBroker, consumer::MemoryConsumer, error::MemoryError,
    options::MemoryOptions,
};
use crate::{consumer::MessageConsumerFactory, handler::QueuePolicy, settle::ConsumerError};

/// Makes consumers of a memory broker.
///
/// ```
/// use ploomby::memory::MemoryConsumerFactory;
///
/// let factory = MemoryConsumerFactory::new("memory://shop")?;
/// assert_eq!(factory.broker().name(), "shop");
/// assert!(MemoryConsumerFactory::new("memory://").is_err());
/// # Ok::<(), ploomby::memory::MemoryError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryConsumerFactory {
    broker: MemoryBroker,
}

impl MemoryConsumerFactory {
    /// A factory for the broker that a URL `memory://name` means.
    ///
    /// # Errors
    ///
    /// [`MemoryError::InvalidUrl`]: another scheme, no name, or more than a name of letters,
    /// digits, `-`, `_` and `.`.
    pub fn new(url: &str) -> Result<Self, MemoryError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        match url.strip_prefix("memory://") {
            Some(name) if !name.is_empty() && name.bytes().all(is_allowed) => {
                Ok(Self::of(MemoryBroker::named(name)))
            }
            _ => Err(MemoryError::InvalidUrl),
        }
    }

    /// A factory for this broker.
    pub(crate) fn of(broker: MemoryBroker) -> Self {
        Self { broker }
    }

    /// The broker that the consumers are of.
    #[must_use]
    pub fn broker(&self) -> &MemoryBroker {
        &self.broker
    }
}

impl MessageConsumerFactory for MemoryConsumerFactory {
    type Consumer = MemoryConsumer;
    type Options = MemoryOptions;

    fn create(
        &self,
        listen_for: &str,
        options: &MemoryOptions,
    ) -> Result<MemoryConsumer, ConsumerError> {
        let options = &options.options;
        let companions = options.companions(listen_for).map_err(ConsumerError::new)?;
        let wiring = options.wiring().map_err(ConsumerError::new)?;
        if let Some(dead_letters) = &companions.dead_letters {
            QueueArguments::of(dead_letters).map_err(ConsumerError::new)?;
        }
        let arguments = QueueArguments::new(listen_for, options.arguments.iter().cloned())
            .map_err(ConsumerError::new)?;
        Ok(MemoryConsumer::new(
            self.broker.shared.clone(),
            listen_for,
            arguments,
            (companions, wiring),
            options,
        ))
    }

    fn policy(&self, options: &MemoryOptions, consumers_count: usize) -> QueuePolicy {
        options.options.policy(consumers_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_not_a_memory_brokers_is_refused_and_not_repeated() {
        for url in [
            "",
            "shop",
            "memory://",
            "memory://a/b",
            "amqp://u:secret@host",
        ] {
            let error = MemoryConsumerFactory::new(url).unwrap_err().to_string();
            assert!(error.contains("write `memory://name`"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn options_that_cannot_be_served_are_refused() {
        let factory = MemoryConsumerFactory::new("memory://refused-options").unwrap();
        let refused = [
            MemoryOptions::new().prefetch(0),
            MemoryOptions::new().concurrency(0),
            MemoryOptions::new().dead_letter_queue("q"),
            MemoryOptions::new().dead_letter_queue(""),
            MemoryOptions::new().queue_argument("x-expires", 0),
        ];
        for options in refused {
            assert!(factory.create("q", &options).is_err(), "{options:?}");
        }
        assert!(
            factory
                .create(&"q".repeat(253), &MemoryOptions::new())
                .is_err()
        );
    }

    #[test]
    fn as_many_handlers_run_as_the_consumers_prefetch_unless_told_otherwise() {
        let factory = MemoryConsumerFactory::new("memory://concurrency").unwrap();
        let policy = |options| factory.policy(&options, 3);
        assert_eq!(policy(MemoryOptions::new()).default_concurrency, Some(192));
        assert_eq!(
            policy(MemoryOptions::new().concurrency(5)).concurrency,
            Some(5)
        );
    }
}
