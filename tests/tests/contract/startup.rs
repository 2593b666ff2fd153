use std::sync::Arc;

use ploomby::memory::{MemoryConsumerFactory, MemoryOptions};
use ploomby::rabbit::{RabbitConsumerFactory, RabbitOptions};
use ploomby::{
    App, HandlerOptions, HandlerRegistry, KeySource, MessageConsumerFactory,
    MessageConsumerRegistry, Queue, RegisterError,
};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually, seen};

async fn nothing() {}

async fn start_error(bed: &Bed, queue: Queue, handlers: HandlerRegistry) -> String {
    App::new(bed.url())
        .handlers(handlers)
        .queue(queue)
        .start()
        .await
        .expect_err("it cannot start")
        .to_string()
}

pub(crate) async fn duplicate_keys_are_one_error_that_names_all_functions(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let first = line!() + 2;
    let handlers = HandlerRegistry::new()
        .register("one", nothing)
        .register("one", nothing)
        .register("two", nothing)
        .register("two", nothing)
        .register("three", nothing);
    let error = start_error(&bed, Queue::new(queue), handlers).await;
    for part in ["\"one\"", "\"two\""] {
        assert!(error.contains(part), "{error}");
    }
    for line in first..first + 4 {
        assert!(
            error.contains(&format!("startup.rs:{line}")),
            "{line}: {error}"
        );
    }
    assert!(!error.contains("three"), "{error}");
}

pub(crate) async fn no_handler_is_an_error(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let error = start_error(&bed, Queue::new(queue), HandlerRegistry::new()).await;
    assert!(error.contains("#[ploomby::handler"), "{error}");
}

pub(crate) async fn an_unlimited_prefetch_is_an_error(bed: Arc<Bed>) {
    let queue = Queue::new(bed.queue_name()).prefetch(0);
    let handlers = HandlerRegistry::new().register("nothing", nothing);
    let error = start_error(&bed, queue, handlers).await;
    assert!(error.contains("prefetch"), "{error}");
}

pub(crate) async fn a_queue_cannot_be_its_own_dead_letter_queue(bed: Arc<Bed>) {
    let name = bed.queue_name();
    let queue = Queue::new(&name).dead_letter_queue(&name);
    let handlers = HandlerRegistry::new().register("nothing", nothing);
    let error = start_error(&bed, queue, handlers).await;
    assert!(error.contains("its own dead-letter queue"), "{error}");
}

pub(crate) async fn no_concurrency_is_an_error(bed: Arc<Bed>) {
    let queue = Queue::new(bed.queue_name()).concurrency(0);
    let handlers = HandlerRegistry::new().register("nothing", nothing);
    let error = start_error(&bed, queue, handlers).await;
    assert!(error.contains("concurrency"), "{error}");
}

pub(crate) async fn no_consumers_are_an_error(bed: Arc<Bed>) {
    let queue = Queue::new(bed.queue_name()).consumers(0);
    let handlers = HandlerRegistry::new().register("nothing", nothing);
    let error = start_error(&bed, queue, handlers).await;
    assert!(error.contains("at least one"), "{error}");
}

pub(crate) async fn a_queue_is_registered_once(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    if bed.is_memory() {
        let factory = MemoryConsumerFactory::new(bed.url()).unwrap();
        registers_once(factory, MemoryOptions::new, &queue).await;
    } else {
        let factory = RabbitConsumerFactory::new(bed.url()).unwrap();
        registers_once(factory, RabbitOptions::new, &queue).await;
    }
}

async fn registers_once<F: MessageConsumerFactory>(
    factory: F,
    options: fn() -> F::Options,
    queue: &str,
) {
    let handlers = HandlerRegistry::new().register("nothing", nothing);
    let mut consumers = MessageConsumerRegistry::new(handlers, factory);
    let key = KeySource::MessageType;
    consumers
        .register(queue, key.clone(), 1, options())
        .await
        .unwrap();
    let error = consumers.register(queue, key, 1, options()).await;
    assert!(
        matches!(&error, Err(RegisterError::AlreadyRegistered(name)) if name == queue),
        "{error:?}"
    );
    consumers.disconnect_consumers().await.unwrap();
}

pub(crate) async fn a_queue_without_a_handler_is_an_error(bed: Arc<Bed>) {
    let (handled, forgotten) = (bed.queue_name(), bed.queue_name());
    let options = || HandlerOptions::new().queue(&*handled);
    let handlers = HandlerRegistry::new().register_with("nothing", options(), nothing);
    let app = App::new(bed.url())
        .handlers(handlers)
        .queue(Queue::new(&handled))
        .queue(Queue::new(&forgotten));
    let error = app.start().await.unwrap_err().to_string();
    assert!(error.contains(&format!("`{forgotten}`")), "{error}");
    assert!(!error.contains(&format!("`{handled}`")), "{error}");
}

/// It would handle messages, and be stopped again.
pub(crate) async fn no_queue_is_consumed_before_all_can_be(bed: Arc<Bed>) {
    let (good, bad) = (bed.queue_name(), bed.queue_name());
    bed.declare(&good, &[]).await;
    bed.send(&good, "work", "1").await;
    let unsafe_queue = format!("{bad}_dlq");
    bed.remove_later(&unsafe_queue);
    let ttl = ("x-message-ttl", ploomby::Value::I32(60_000));
    bed.declare(&unsafe_queue, &[ttl]).await;
    let queue_of = |name: &str| Queue::new(name).key(KeySource::header(KEY));
    for bad in [queue_of(&bad), queue_of(&bad).prefetch(0)] {
        let (seen, handled) = seen();
        let handlers = HandlerRegistry::new()
            .register("work", move |_: u32| async move { seen.note("handled") });
        let app = App::new(bed.url())
            .handlers(handlers)
            .queue(queue_of(&good))
            .queue(bad);
        app.start().await.unwrap_err();
        assert!(handled.is_empty());
    }
    eventually(DEADLINE, async || bed.ready_count(&good).await == 1).await;
}
