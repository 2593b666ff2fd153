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
use tokio::{sync::Semaphore, time::Instant};

use super::*;
use crate::{
    delivery::{KeySource, Published},
    handler::{HandlerFunction, HandlerOptions},
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

#[tokio::test]
async fn handlers_that_compute_let_everything_else_on_their_thread_go_on() {
    const MESSAGES: u64 = 10;

    let dispatcher = dispatcher(|| {
        thread::sleep(Duration::from_millis(2));
        async {}
    });
    let slow = slow();
    slow.gate.add_permits(Semaphore::MAX_PERMITS);
    let turns = Arc::new(AtomicUsize::new(0));
    let other = tokio::spawn({
        let turns = turns.clone();
        async move {
            loop {
                turns.fetch_add(1, Relaxed);
                tokio::task::yield_now().await;
            }
        }
    });
    let consume = async {
        for tag in 1..=MESSAGES {
            dispatcher
                .dispatch(work(), DeliveryTag::new(tag), &slow)
                .await;
        }
    };
    dispatcher.taking_turns(consume).await;
    // one before each message but the first
    assert!(turns.load(Relaxed) >= 9, "{turns:?}");
    assert_eq!(slow.acked.load(Relaxed), 10);
    other.abort();
}

#[tokio::test]
async fn handlers_that_do_not_compute_keep_their_turn() {
    let dispatcher = dispatcher(async || {});
    let slow = slow();
    slow.gate.add_permits(Semaphore::MAX_PERMITS);
    let consume = async {
        let dispatching = dispatcher.dispatch(work(), DeliveryTag::new(1), &slow);
        dispatching.now_or_never().expect("the turn has just begun");
    };
    dispatcher.taking_turns(consume).await;
}

/// Its copies and replies are large to wait for.
/// Else each of the two would wait for what the other has.
#[tokio::test]
async fn a_message_that_is_handled_alone_does_not_keep_a_place_that_it_cannot_use() {
    let gate = Arc::new(Semaphore::new(0));
    let passing = gate.clone();
    let handler = move || {
        let gate = passing.clone();
        async move { gate.acquire().await.unwrap().forget() }
    };
    let one = HandlerOptions::new().concurrency(1);
    let handlers = HandlerRegistry::new().register_with("work", one, handler);
    let key = KeySource::RoutingKey.reader().unwrap();
    let mut policy = QueuePolicy::new();
    policy.concurrency = Some(1);
    let dispatcher = Dispatcher::new("q", key, &handlers, policy, Arc::default()).for_consumer();
    let slow = slow();
    slow.gate.add_permits(3);
    // the first has the place and the slot, the second waits for the slot
    for number in 1..=2 {
        let dispatching = dispatcher.dispatch(work(), DeliveryTag::new(number), &slow);
        dispatching.await;
    }
    let suspect = async { Some((work(), DeliveryTag::new(3), None)) };
    let alone = dispatcher.dispatch_alone(Duration::from_secs(60), suspect, &slow);
    let mut alone = pin!(alone);
    assert!(poll_immediate(alone.as_mut()).await.is_none());
    gate.add_permits(3);
    assert!(alone.await);
    let all = async {
        while slow.acked.load(Relaxed) < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(10), all).await;
    assert!(done.is_ok(), "{} of 3", slow.acked.load(Relaxed));
}

struct Large;

async fn wait_with_much() {
    let much = [1_u8; 16 * 1024];
    tokio::task::yield_now().await;
    assert_eq!(much.len(), 16 * 1024);
}

impl Acknowledger for Large {
    async fn ack(&self, _: DeliveryTag) {}

    async fn requeue(&self, _: DeliveryTag) {}

    async fn retry(&self, _: Message, _: Duration) -> Result<(), ConsumerError> {
        wait_with_much().await;
        Ok(())
    }

    async fn dead_letter(&self, _: Message) -> Result<(), ConsumerError> {
        wait_with_much().await;
        Ok(())
    }

    async fn reply(&self, _: &str, _: Message) -> Result<(), ConsumerError> {
        wait_with_much().await;
        Ok(())
    }
}

#[tokio::test]
async fn a_message_whose_handler_waits_takes_little_memory_whatever_may_become_of_it() {
    let dispatcher = dispatcher(async || pending::<()>().await);
    let delivery = work();
    let Ok(route) = dispatcher.queue.admit(&delivery) else {
        unreachable!("there is a handler")
    };
    let place = dispatcher.queue.room.try_enter().expect("there is room");
    let handler = within(route.deadline(), route.call(delivery.clone())).map(Run::Ended);
    let decided = Either::<std::future::Ready<Run>, _>::Right(handler);
    let waiting = dispatcher.keep(place, &delivery).until(decided);
    let unsettled = Unsettled::of(route, &delivery, DeliveryTag::new(1));
    let settling = dispatcher.settling(unsettled, waiting, Arc::new(Large));
    let size = size_of_val(&settling);
    assert!(size <= 2_048, "{size} bytes");
}
