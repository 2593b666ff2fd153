//! How much waits in the broker, asked for every few seconds at most, however many look.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::site::Site;
use crate::ops::QueueDepths;

/// For so long an answer is good.
const FRESH: Duration = Duration::from_secs(3);

/// For so long a page waits for an answer. It is opened without one then.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the broker said last.
#[derive(Debug, Default)]
pub(super) struct Depths {
    known: watch::Sender<Known>,
    is_asking: AtomicBool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    at: Option<Instant>,
    pub(super) queues: Vec<QueueDepths>,
    /// Why there is no newer answer.
    pub(super) error: Option<String>,
}

impl Known {
    pub(super) fn of(&self, queue: &str) -> Option<&QueueDepths> {
        self.queues.iter().find(|depths| depths.queue == queue)
    }

    fn is_fresh(&self) -> bool {
        self.at.is_some_and(|at| at.elapsed() < FRESH)
    }
}

/// How much waits. A broker that does not answer has what it said last.
pub(super) async fn depths(site: &Arc<Site>) -> Known {
    let depths = &site.depths;
    let mut news = depths.known.subscribe();
    if news.borrow_and_update().is_fresh() {
        return news.borrow().clone();
    }
    if !depths.is_asking.swap(true, SeqCst) {
        let asking = Asking(site.clone());
        // in a task of its own: a browser that goes away drops what waits for it
        tokio::spawn(async move { asking.ask().await });
    }
    // nothing else than an answer is news
    let _ = timeout(PATIENCE, news.changed()).await;
    news.borrow().clone()
}

/// Asks the broker, and lets the next one ask, whatever happens.
struct Asking(Arc<Site>);

impl Asking {
    async fn ask(self) {
        let answer = self.0.ops.depths().await;
        self.0.depths.known.send_modify(|known| {
            known.at = Some(Instant::now());
            match answer {
                Ok(queues) => (known.queues, known.error) = (queues, None),
                Err(error) => known.error = Some(error.to_string()),
            }
        });
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.depths.is_asking.store(false, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::{App, HandlerRegistry, Queue, admin::door::Door, app::Life, memory::MemoryBroker};

    #[tokio::test]
    async fn the_broker_is_asked_once_however_many_look() {
        let app = App::new("memory://admin-depths").queue(Queue::new("billing"));
        let ops = app.handlers(HandlerRegistry::new()).ops().unwrap();
        let (_sender, life) = watch::channel(Life::Starting);
        let site = Arc::new(Site::new(ops, life, Door::of_the_machine()));
        let broker = MemoryBroker::named("admin-depths");
        broker.declare_queue("billing", []).unwrap();
        let all = join_all((0..20).map(|_| depths(&site))).await;
        assert!(
            all.iter()
                .all(|known| known.of("billing").unwrap().ready == Some(0))
        );
        assert!(all.iter().all(|known| known.at == all[0].at));
        broker.publish("billing", crate::Message::new("")).unwrap();
        let known = depths(&site).await;
        assert_eq!(
            (known.at, known.of("billing").unwrap().ready),
            (all[0].at, Some(0))
        );
    }
}
