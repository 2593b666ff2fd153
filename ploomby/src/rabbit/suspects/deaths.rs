use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use amqprs::channel::{BasicAckArguments, Channel, QueueDeclareArguments, QueuePurgeArguments};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, warn};

use super::take::take_one;
use crate::{
    consumer::Declare,
    message::{Message, Properties, wire::field_table},
    rabbit::{
        connection::{CLOSE_TIMEOUT, Link, OpenChannel},
        copies::Copies,
    },
};

/// Counts how often the process died while it had messages that came back, by the broker's means.
///
/// A queue that does not count says of a message only that it came back. So a process that has such messages puts a
/// marker into the queue `<queue>_crashes`, and holds it unacknowledged. Where the process dies, the broker gives the
/// marker back: what is ready there are the deaths of the last hour. Where all such messages are done, or the process
/// ends in order, the marker is acknowledged, and there was no death.
pub(super) struct Deaths {
    copies: Arc<Copies>,
    /// How many messages that came back are with their handlers.
    open: Arc<AtomicUsize>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    marker: Option<Marker>,
    /// How many deaths there were when the marker was put.
    deaths: u32,
    /// So many markers are ready that stand for no death: this process lost their channel and lives.
    strays: u32,
    /// Until when nothing is counted, since it did not succeed.
    paused: Option<Instant>,
}

/// A marker that is held.
struct Marker {
    channel: Channel,
    _link: Arc<Link>,
    tag: u64,
}

/// How long counting may hold up the handlers.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long nothing is counted after that did not succeed.
const PAUSE: Duration = Duration::from_secs(30);

/// How long the marker is held after the last message that came back: others may follow.
const AFTER: Duration = Duration::from_secs(1);

impl Deaths {
    pub(super) fn new(copies: Arc<Copies>) -> Self {
        Self {
            copies,
            open: Arc::default(),
            state: Arc::default(),
        }
    }

    /// A message that came back is about to be handled.
    pub(super) fn watch(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// The handler of such a message is done.
    pub(super) fn outlived(&self) {
        if self.open.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        let (open, state) = (self.open.clone(), self.state.clone());
        tokio::spawn(async move {
            sleep(AFTER).await;
            let mut state = state.lock().await;
            if open.load(Ordering::Relaxed) == 0 {
                state.take_off().await;
            }
        });
    }

    /// How often the process died while it had such messages. Once it says so, the next death counts.
    pub(super) async fn count(&self) -> u32 {
        if self.copies.declare() == Declare::Never {
            return 0;
        }
        let mut state = self.state.lock().await;
        if state.paused.is_some_and(|until| Instant::now() < until) {
            return 0;
        }
        if let Some(marker) = &state.marker {
            if marker.channel.is_open() {
                return state.deaths;
            }
            state.marker = None;
            state.strays += 1;
        }
        let strays = state.strays;
        let counting = timeout(PATIENCE, self.put_marker(strays)).await;
        match counting.unwrap_or_else(|_| Err("the broker did not answer in time".to_owned())) {
            Ok((marker, deaths, strays)) => {
                state.marker = Some(marker);
                state.deaths = deaths;
                state.strays = strays;
                deaths
            }
            Err(error) => {
                let queue = self.copies.companions().crashes().name;
                warn!(
                    queue,
                    error, "crashes are not counted, messages are handled all the same"
                );
                state.paused = Some(Instant::now() + PAUSE);
                // it may be there all the same
                state.strays += 1;
                0
            }
        }
    }

    /// The message is found that the process died over: what comes back from here on is no suspect for that.
    pub(super) async fn forget(&self) {
        let opened = self.copies.publisher().connection().channel().await;
        let Ok(OpenChannel {
            channel,
            connection: _kept,
            ..
        }) = opened
        else {
            return;
        };
        let queue = self.copies.companions().crashes().name;
        // refused where there is no such queue, which is as good
        let purge = channel.queue_purge(QueuePurgeArguments::new(&queue));
        if matches!(timeout(PATIENCE, purge).await, Ok(Ok(_))) {
            let _ = timeout(CLOSE_TIMEOUT, channel.close()).await;
        }
    }

    /// The process ends in order.
    pub(super) async fn close(&self) {
        let mut state = self.state.lock().await;
        state.take_off().await;
    }

    /// Puts a marker and holds it. Says how many deaths there were before, and how many strays are not ready yet: the
    /// broker may hear later than this process that a connection was lost.
    async fn put_marker(&self, mut strays: u32) -> Result<(Marker, u32, u32), String> {
        let told = |error: amqprs::error::Error| error.to_string();
        let declared = self.copies.companions().crashes();
        // not by the connection of the consumers: while the broker is short of memory, it reads nothing more from
        // one that publishes, acknowledgements neither
        let opened = self.copies.publisher().connection().channel().await;
        let OpenChannel {
            channel,
            connection,
            ..
        } = opened.map_err(|error| error.to_string())?;
        let mut declare = QueueDeclareArguments::durable_client_named(&declared.name);
        let arguments = field_table(&declared.arguments).map_err(|error| error.to_string())?;
        declare.arguments(arguments);
        let answer = channel.queue_declare(declare).await.map_err(told)?;
        let mut deaths = answer.map_or(0, |(_, ready, _)| ready);
        while strays > 1 && deaths > 0 {
            self.take_marker((&channel, &connection)).await?;
            (strays, deaths) = (strays - 1, deaths - 1);
        }
        if strays > 0 && deaths > 0 {
            // it is held instead of a new one
            (strays, deaths) = (strays - 1, deaths - 1);
        } else {
            self.publish_marker().await?;
        }
        let tag = self.held((&channel, &connection)).await?;
        let marker = Marker {
            channel,
            _link: connection,
            tag,
        };
        Ok((marker, deaths, strays))
    }

    /// Once that is done, the marker is safe.
    async fn publish_marker(&self) -> Result<(), String> {
        let queue = self.copies.companions().crashes().name;
        let marker = Message {
            properties: Properties::default().persistent(),
            body: Vec::new().into(),
        };
        let kept = self.copies.publisher().keep(&queue, marker).await;
        kept.map_err(|error| error.to_string())
    }

    async fn take_marker(&self, wire: (&Channel, &Link)) -> Result<(), String> {
        let tag = self.held(wire).await?;
        let ack = BasicAckArguments::new(tag, false);
        wire.0
            .basic_ack(ack)
            .await
            .map_err(|error| error.to_string())
    }

    async fn held(&self, wire: (&Channel, &Link)) -> Result<u64, String> {
        let queue = self.copies.companions().crashes().name;
        let taken = take_one(wire, &queue, PATIENCE).await?;
        let deliver = taken.and_then(|message| message.deliver);
        let deliver = deliver.ok_or("the marker is gone")?;
        Ok(deliver.delivery_tag())
    }
}

impl State {
    /// There was no death.
    async fn take_off(&mut self) {
        let Some(marker) = self.marker.take() else {
            return;
        };
        let channel = marker.channel;
        let is_open = channel.is_open();
        let taken_off = async {
            channel
                .basic_ack(BasicAckArguments::new(marker.tag, false))
                .await?;
            channel.close().await
        };
        if !is_open || !matches!(timeout(CLOSE_TIMEOUT, taken_off).await, Ok(Ok(()))) {
            debug!("a marker of this process stays, and is no death");
            self.strays += 1;
        }
    }
}
