use std::{
    pin::pin,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread,
};

use futures_util::{FutureExt, future::poll_immediate};
use tokio::sync::Semaphore;

use super::*;
use crate::{
    delivery::{KeySource, Published},
    handler::HandlerFunction,
    message::Message,
    settle::ConsumerError,
};

/// Its acknowledgements wait.
struct Slow {
    gate: Semaphore,
    acked: AtomicUsize,
}

impl Acknowledger for Slow {
    async fn ack(&self, _: DeliveryTag) {
        self.gate.acquire().await.unwrap().forget();
        self.acked.fetch_add(1, Relaxed);
    }

    async fn requeue(&self, _: DeliveryTag) {
        unreachable!("the handler takes the message")
    }

    async fn retry(&self, _: Message, _: Duration) -> Result<(), ConsumerError> {
        unreachable!("the handler takes the message")
    }

    async fn dead_letter(&self, _: Message) -> Result<(), ConsumerError> {
        unreachable!("the handler takes the message")
    }
}

fn slow() -> Arc<Slow> {
    Arc::new(Slow {
        gate: Semaphore::new(0),
        acked: AtomicUsize::new(0),
    })
}

/// For one consumer, with this handler of the key `work`.
fn dispatcher<M>(handler: impl HandlerFunction<M>) -> Dispatcher {
    let handlers = HandlerRegistry::new().register("work", handler);
    let key = KeySource::RoutingKey.reader().unwrap();
    let dispatcher = Dispatcher::new("q", key, &handlers, QueuePolicy::new(), Arc::default());
    dispatcher.for_consumer()
}

fn work() -> Delivery {
    Delivery::new(Message::default()).routed("", "work")
}

fn published() -> Arc<Published> {
    Arc::new(Published::by_default(Message::default(), "work"))
}

fn in_a_minute() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Drains while the acknowledger keeps `dispatching` from ending.
async fn drains_once_acknowledged(
    dispatcher: &Dispatcher,
    acknowledger: &Slow,
    dispatching: impl Future<Output = ()>,
) {
    let mut dispatching = pin!(dispatching);
    assert!(poll_immediate(dispatching.as_mut()).await.is_none());
    dispatcher.stop();
    let mut drain = pin!(dispatcher.drain(in_a_minute()));
    assert!(poll_immediate(drain.as_mut()).await.is_none());
    acknowledger.gate.add_permits(1);
    dispatching.await;
    assert!(drain.await.is_empty());
    assert_eq!(acknowledger.acked.load(Relaxed), 1);
}

#[tokio::test]
async fn a_shutdown_waits_for_an_acknowledger_that_waits() {
    let (dispatcher, slow) = (dispatcher(async || {}), slow());
    let dispatching = dispatcher.dispatch(work(), DeliveryTag::new(1), &slow);
    drains_once_acknowledged(&dispatcher, &slow, dispatching).await;
}

#[tokio::test]
async fn a_shutdown_waits_for_an_acknowledger_that_waits_in_consume() {
    let (dispatcher, slow) = (dispatcher(async || {}), slow());
    let mut recycler = dispatcher.recycler();
    let delivery = recycler.plain(published(), false);
    let dispatching = dispatcher.dispatch_in_consume(delivery, DeliveryTag::new(1), &slow);
    drains_once_acknowledged(&dispatcher, &slow, dispatching).await;
}

#[tokio::test]
async fn what_is_dispatched_after_the_beginning_of_a_shutdown_is_not_started() {
    let (dispatcher, slow) = (
        dispatcher(async || -> () { unreachable!("it is not started") }),
        slow(),
    );
    dispatcher.stop();
    let dispatching = dispatcher.dispatch(work(), DeliveryTag::new(1), &slow);
    assert!(poll_immediate(pin!(dispatching)).await.is_none());
    let mut recycler = dispatcher.recycler();
    let delivery = recycler.plain(published(), false);
    let dispatching = dispatcher.dispatch_in_consume(delivery, DeliveryTag::new(2), &slow);
    assert!(poll_immediate(pin!(dispatching)).await.is_none());
    assert!(dispatcher.drain(in_a_minute()).await.is_empty());
}

#[tokio::test]
async fn a_shutdown_waits_for_a_handler_that_computes_on_another_thread() {
    let (started, computing) = mpsc::channel();
    let (finish, finished) = mpsc::channel();
    let finished = Arc::new(Mutex::new(finished));
    let dispatcher = dispatcher(move || {
        started.send(()).unwrap();
        finished.lock().unwrap().recv().unwrap();
        async {}
    });
    let slow = slow();
    slow.gate.add_permits(1);
    let elsewhere = thread::spawn({
        let (dispatcher, slow) = (dispatcher.clone(), slow.clone());
        move || {
            let dispatching = dispatcher.dispatch(work(), DeliveryTag::new(1), &slow);
            dispatching.now_or_never().expect("nothing waits");
        }
    });
    computing.recv().unwrap();
    dispatcher.stop();
    let mut drain = pin!(dispatcher.drain(in_a_minute()));
    assert!(poll_immediate(drain.as_mut()).await.is_none());
    finish.send(()).unwrap();
    assert!(drain.await.is_empty());
    assert_eq!(slow.acked.load(Relaxed), 1);
    elsewhere.join().unwrap();
}
