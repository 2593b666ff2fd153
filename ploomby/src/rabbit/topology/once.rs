use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::Instant,
};

use crate::message::Value;

/// When a queue, or what else has a name, was last declared, and with which arguments.
type Declared = Option<(Instant, Vec<(String, Value)>)>;

/// Declares a queue once for all in this process who ask at the same time: whoever waits while another one declares
/// the same takes that answer for its own.
///
/// Nothing else in this process declares a queue of this name meanwhile. RabbitMQ answers a second declaration of a
/// quorum queue while the first is under way. What is published by then gets no time to live: it never leaves the
/// queue, nor does what stands behind it.
pub(super) async fn once<E>(
    broker: &str,
    queue: &str,
    arguments: &[(String, Value)],
    declare: impl AsyncFnOnce() -> Result<(), E>,
) -> Result<(), E> {
    let asked = Instant::now();
    let mut declared = lock(broker, queue).await;
    if matches!(&*declared, Some((at, as_such)) if *at >= asked && as_such == arguments) {
        return Ok(());
    }
    declare().await?;
    *declared = Some((Instant::now(), arguments.to_vec()));
    Ok(())
}

async fn lock(broker: &str, queue: &str) -> OwnedMutexGuard<Declared> {
    type Locks = HashMap<(String, String), Weak<AsyncMutex<Declared>>>;
    static LOCKS: LazyLock<Mutex<Locks>> = LazyLock::new(Mutex::default);

    let lock = {
        let mut locks = LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        // nobody waits for the others
        locks.retain(|_, lock| lock.strong_count() > 0);
        let name = (broker.to_owned(), queue.to_owned());
        let known = locks.get(&name).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let new = Arc::default();
            locks.insert(name, Arc::downgrade(&new));
            new
        })
    };
    lock.lock_owned().await
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible, time::Duration};

    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_declares_for_all_who_ask_meanwhile_and_never_two_at_a_time() {
        let (declared, under_way) = (Cell::new(0), Cell::new(0));
        let declare = async |broker: &str, queue: &str, arguments: &[(String, Value)]| {
            let done = once(broker, queue, arguments, async || {
                under_way.set(under_way.get() + 1);
                assert_eq!(under_way.get(), 1);
                sleep(Duration::from_secs(1)).await;
                under_way.set(under_way.get() - 1);
                declared.set(declared.get() + 1);
                Ok::<_, Infallible>(())
            });
            done.await.unwrap();
        };
        join_all((0..3).map(|_| declare("broker", "q", &[]))).await;
        assert_eq!(declared.get(), 1);
        // it may have been deleted since
        sleep(Duration::from_millis(1)).await;
        declare("broker", "q", &[]).await;
        assert_eq!(declared.get(), 2);
        let of_kind = |kind: &str| [("x-queue-type".to_owned(), kind.into())];
        let (classic, quorum) = (of_kind("classic"), of_kind("quorum"));
        let as_it_was = declare("broker", "q", &classic);
        let otherwise = declare("broker", "q", &quorum);
        tokio::join!(as_it_was, otherwise);
        assert_eq!(declared.get(), 4);
    }
}
