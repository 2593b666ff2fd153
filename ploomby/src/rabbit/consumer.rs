use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::DropGuard;
use tracing::{debug, error, warn};

use super::{
    connection::{CLOSE_TIMEOUT, SharedConnection},
    copies::Copies,
    factory::Connections,
    options::Reconnect,
    rewiring::{HOPELESS_PAUSE, Rewiring},
    session::{Lost, Session, Subscription, is_refusal_to_tell},
    suspects::Suspects,
    topology::{self, Asker, Consumed, TopologyError},
};
use crate::{
    consumer::{Declare, MessageConsumer, options::QueueOptions},
    dispatcher::Dispatcher,
    message::Value,
    settle::ConsumerError,
    topology::Wiring,
};

/// A channel that lived as long counts as a success: the pauses and the tries start anew.
const GOOD_LIFE: Duration = Duration::from_secs(30);

/// How many questions about queues go over one channel at a start.
const QUESTIONS: usize = 2;

/// A consumer of one queue on a RabbitMQ. It survives the loss of its channel and its connection.
pub struct RabbitConsumer {
    connection: Arc<SharedConnection>,
    connections: Connections,
    copies: Arc<Copies>,
    /// The retry queues that have to be there.
    retry_delays: Vec<Duration>,
    subscription: Subscription,
    queue_arguments: Vec<(String, Value)>,
    wiring: Wiring,
    reconnect: Reconnect,
    suspects: Arc<Suspects>,
    looking_after: Option<JoinHandle<()>>,
    /// Channels that were lost, and this process lived on.
    cuts: u32,
    is_prefetch_chosen: bool,
    /// The program asks for a queue of which one consumer at a time is served.
    has_single_active: bool,
    /// Tries to connect since the last channel that lived for a while.
    attempt: u32,
    /// Why there is no session.
    reason: String,
    /// What leads to the queue could not be declared again, and the queue is consumed all the same.
    rewiring: Option<DropGuard>,
    /// The last session got nothing that it should have got.
    is_doubted: bool,
    session: Option<Session>,
}

impl RabbitConsumer {
    /// Nothing is connected yet.
    pub(super) fn new(
        (connection, connections): (Arc<SharedConnection>, Connections),
        copies: Arc<Copies>,
        suspects: Arc<Suspects>,
        (queue, options, wiring): (&str, &QueueOptions, Wiring),
        reconnect: Reconnect,
    ) -> Self {
        Self {
            connection,
            connections,
            queue_arguments: copies.companions().queue_arguments(&options.arguments),
            wiring,
            copies,
            suspects,
            looking_after: None,
            cuts: 0,
            is_prefetch_chosen: options.is_prefetch_chosen,
            has_single_active: options.has_single_active(),
            retry_delays: Vec::new(),
            subscription: Subscription {
                queue: queue.to_owned(),
                prefetch: options.prefetch,
                is_ordered: false,
                is_told: true,
                priority: options.consumer_priority,
            },
            reconnect,
            attempt: 0,
            reason: String::new(),
            rewiring: None,
            is_doubted: false,
            session: None,
        }
    }

    /// Makes sure that all queues are there, and subscribes.
    async fn start(&mut self) -> Result<Session, TopologyError> {
        let connection = self.connection.clone();
        let mut asker = Asker::new(&connection);
        let beside = self.copies.companions().declared(&self.retry_delays);
        let beside = match self.copies.declare() {
            Declare::Never => Vec::new(),
            _ => beside,
        };
        // few at a time over each channel, so that a distant broker does not take a round trip for each
        let mut others: Vec<_> = beside
            .chunks(QUESTIONS)
            .map(|beside| (Asker::new(&connection), beside))
            .collect();
        let ensured = topology::ensure(&mut asker, &self.consumed(), &mut others).await;
        let closing = join_all(others.into_iter().map(|(asker, _)| asker.close()));
        if let Err(error) = ensured {
            join(closing, asker.close()).await;
            return Err(error);
        }
        self.copies.declared(&beside);
        let (_, opened) = join(closing, self.open(asker)).await;
        opened
    }

    /// [Starts](Self::start) at a host that does its part: the one that was passed over comes last. If there are several,
    /// each has two tries, since a connection may end before it is known that its host is to be passed over.
    async fn start_somewhere(&mut self) -> Result<Session, TopologyError> {
        let hosts = self.connection.hosts();
        let mut tries = if hosts > 1 { 2 * hosts } else { 1 };
        loop {
            tries -= 1;
            match self.start().await {
                Err(error) if tries > 0 && error.is_brokers_fault() => {
                    let queue = &self.subscription.queue;
                    warn!(queue, %error, "trying another host");
                }
                started => return started,
            }
        }
    }

    /// The queue, as the program describes it.
    fn consumed(&self) -> Consumed<'_> {
        Consumed {
            queue: &self.subscription.queue,
            declare: self.copies.declare(),
            arguments: &self.queue_arguments,
            wiring: &self.wiring,
        }
    }

    /// Subscribes again. The queue is mostly there still, and those beside it are declared when something is to go
    /// there and they are gone, so that a lost connection takes no longer to mend than it must. What leads to the queue
    /// is declared again: nothing would show that it is gone.
    async fn start_again(&mut self, dispatcher: &Dispatcher) -> Result<Session, TopologyError> {
        let connection = self.connection.clone();
        let mut asker = Asker::new(&connection);
        let opened = match self.wire_again(&mut asker, dispatcher).await {
            Ok(()) => self.open(asker).await,
            Err(error) => {
                asker.close().await;
                Err(error)
            }
        };
        match opened {
            Err(error) if error.is_missing_queue() => {}
            opened => return opened,
        }
        // somebody has deleted it, or the broker has lost what it had
        self.start().await
    }

    /// Declares again what leads to the queue. If the broker refuses that, the queue is consumed without it: what is there
    /// already can be handled, and other ways may lead to the queue.
    async fn wire_again(
        &mut self,
        asker: &mut Asker<'_>,
        dispatcher: &Dispatcher,
    ) -> Result<(), TopologyError> {
        let Consumed {
            queue,
            declare,
            wiring,
            ..
        } = self.consumed();
        let error = match topology::wire(asker, queue, declare, wiring).await {
            Ok(()) => {
                if self.rewiring.take().is_some() {
                    dispatcher.wired();
                }
                return Ok(());
            }
            Err(error) => error,
        };
        if error.is_about_the_connection() || error.is_brokers_fault() || error.is_missing_queue() {
            return Err(error);
        }
        let queue = &self.subscription.queue;
        dispatcher.unwired(&error);
        if error.has_closed_the_connection() {
            self.rewiring = None;
            // not asked for again: all others go over that connection
            self.wiring = Wiring::default();
            error!(queue, %error, "cannot declare again what leads to the queue, and does not try it again");
            return Err(error);
        }
        if self.rewiring.is_none() {
            error!(queue, %error, "cannot declare again what leads to the queue, consuming without that");
            let rewiring = Rewiring {
                connection: self.connection.clone(),
                queue: queue.clone(),
                declare: self.copies.declare(),
                wiring: self.wiring.clone(),
            };
            self.rewiring = Some(rewiring.spawn(dispatcher));
        }
        Ok(())
    }

    async fn open(&mut self, asker: Asker<'_>) -> Result<Session, TopologyError> {
        let suspects = (self.suspects.clone(), self.cuts);
        match Session::open(asker, &self.subscription, &self.copies, suspects.clone()).await {
            Err(error) if self.subscription.is_told && is_refusal_to_tell(&error) => {
                self.subscription.is_told = false;
                let connection = self.connection.clone();
                let asker = Asker::new(&connection);
                Session::open(asker, &self.subscription, &self.copies, suspects).await
            }
            opened => opened,
        }
    }

    /// Puts a new session in the place of one that the broker may have lost in silence. Where that does not
    /// succeed there is none.
    async fn renew(&mut self) -> Result<(), TopologyError> {
        // first, since two at the same time would overtake each other
        let Some(old) = self.session.take() else {
            return Ok(());
        };
        let (stale, is_doubted) = (old.next_stale(), old.is_doubted());
        let holder = old.hold_queue().await;
        old.close().await;
        let connection = self.connection.clone();
        let opened = self.open(Asker::new(&connection)).await;
        if let Some(holder) = holder {
            holder.close().await;
        }
        let opened = opened?.stale_after(stale);
        self.session = Some(match is_doubted {
            true => opened.doubted(),
            false => opened,
        });
        Ok(())
    }

    /// Opens a session again, however long the broker stays away, unless told otherwise.
    ///
    /// The tries are counted from the last channel that lived for a while: a connection that is lost as soon as
    /// it is there must not make the broker's log and the other queues suffer without a pause.
    async fn reopen(
        &mut self,
        dispatcher: &Dispatcher,
        mut is_away: bool,
    ) -> Result<Option<Session>, ConsumerError> {
        let mut is_hopeless = false;
        loop {
            self.attempt += 1;
            let attempt = self.attempt;
            if !self.reconnect.allows(attempt) {
                return Err(ConsumerError::new(format!(
                    "the connection was lost and not kept open again in {} tries: {}",
                    attempt - 1,
                    self.reason
                )));
            }
            let pause = match is_hopeless {
                // nobody but a person can help, and a queue that is asked for all the time helps nobody
                true => HOPELESS_PAUSE.min(Duration::from_secs(attempt.into())),
                false => self.reconnect.pause(attempt),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // there is nothing to give back, and no reason to come back
                () = dispatcher.stopped() => return Ok(None),
            }
            // what would be dropped later leaves the client in disorder
            let connected = tokio::select! {
                connected = self.connection.connect() => connected,
                // a name server or a host may take its time to say nothing
                () = dispatcher.stopped() => return Ok(None),
            };
            let opened = match connected {
                Ok(()) => self.start_again(dispatcher).await,
                Err(error) => Err(error.into()),
            };
            if matches!(opened, Err(TopologyError::Missing(_))) {
                // it is waited for, however long that takes
                self.attempt = self.attempt.min(1);
            }
            let queue = &self.subscription.queue;
            let error = match opened {
                Ok(session) if self.is_doubted => {
                    self.suspects.look();
                    return Ok(Some(session.doubted()));
                }
                Ok(session) if is_away => {
                    dispatcher.back();
                    self.suspects.look();
                    return Ok(Some(session));
                }
                Ok(session) => {
                    dispatcher.consuming();
                    self.suspects.look();
                    return Ok(Some(session));
                }
                Err(error) => error,
            };
            self.reason = error.to_string();
            is_hopeless = !error.is_passing();
            if let TopologyError::Connect(_) = error {
                // told once for all queues
                debug!(queue, attempt, %error, "not consuming");
                dispatcher.away(&error);
                continue;
            }
            is_away = false;
            dispatcher.not_consuming(&error);
            if is_hopeless {
                error!(queue, attempt, %error, "not consuming");
            } else {
                warn!(queue, attempt, %error, "not consuming");
            }
        }
    }
}

impl MessageConsumer for RabbitConsumer {
    async fn connect(&mut self, dispatcher: &Dispatcher) -> Result<(), ConsumerError> {
        self.retry_delays = dispatcher.retry_delays();
        let companions = self.copies.companions();
        companions
            .check(&self.retry_delays)
            .map_err(ConsumerError::new)?;
        self.subscription.is_ordered = self.has_single_active || dispatcher.is_ordered();
        if !self.is_prefetch_chosen {
            self.subscription.prefetch = dispatcher.window(self.subscription.prefetch);
        }
        let (copies, retry_delays) = (self.copies.clone(), self.retry_delays.clone());
        let checking = copies.check_right(&retry_delays);
        let (started, ()) = join(self.start_somewhere(), checking).await;
        self.session = match started {
            Err(error @ TopologyError::Missing(_)) => {
                dispatcher.not_consuming(&error);
                None
            }
            started => Some(started.map_err(ConsumerError::new)?),
        };
        Ok(())
    }

    async fn consume(&mut self, dispatcher: Dispatcher) -> Result<(), ConsumerError> {
        let suspects = self.suspects.clone().look_after(dispatcher.clone());
        self.looking_after = Some(tokio::spawn(suspects));
        let mut opened = Instant::now();
        // the connection was lost with all that went over it, which the log says once
        let mut is_away = false;
        loop {
            if self.session.is_none() {
                match self.reopen(&dispatcher, is_away).await? {
                    Some(session) => self.session = Some(session),
                    None => return Ok(()),
                }
                opened = Instant::now();
            }
            let session = self.session.as_mut().expect("there is one");
            let Err(Lost(mut reason)) = session.run(&dispatcher).await else {
                is_away = false;
                if opened.elapsed() >= GOOD_LIFE {
                    self.attempt = 0;
                }
                if let Err(error) = self.renew().await {
                    dispatcher.not_consuming(&error);
                    self.reason = error.to_string();
                }
                continue;
            };
            if opened.elapsed() >= GOOD_LIFE {
                self.attempt = 0;
            }
            self.cuts = self.cuts.saturating_add(1);
            if is_held_too_long(&reason) {
                reason.push_str(&remedy_for_holding(dispatcher.longest()));
            }
            is_away = session.link().tell_loss();
            match is_away {
                true => dispatcher.away(&reason),
                false => dispatcher.not_consuming(&reason),
            }
            self.reason = reason;
            self.is_doubted = session.is_doubted();
            if session.is_stuck() {
                self.connection.pass_over(session.link()).await;
            }
            if let Some(session) = self.session.take() {
                session.close().await;
            }
            if dispatcher.is_stopped() {
                return Ok(());
            }
        }
    }

    async fn disconnect(&mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
        if let Some(mut looking_after) = self.looking_after.take() {
            // no handler runs any more
            if timeout(CLOSE_TIMEOUT, &mut looking_after).await.is_err() {
                looking_after.abort();
            }
        }
        self.suspects.close().await;
        if self.connections == Connections::PerConsumer {
            self.connection.close().await;
        }
    }
}

/// Whether the broker closed a channel that held a message for longer than it allows.
///
/// Source: [acknowledgement timeout](https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout).
fn is_held_too_long(reason: &str) -> bool {
    reason.contains("delivery acknowledgement") && reason.contains("timed out")
}

fn remedy_for_holding(longest: Option<(&'static str, Duration)>) -> String {
    let holder = match longest {
        Some((handler, held)) => format!("`{handler}` has held its message for {held:.1?}"),
        None => "messages waited here for a handler".to_owned(),
    };
    format!(
        "; {holder}: raise `consumer_timeout` of the broker above what the handler takes, set a `timeout` for it, or \
         lower the prefetch, so that no message waits here"
    )
}

impl fmt::Debug for RabbitConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitConsumer")
            .field("subscription", &self.subscription)
            .field("consuming", &self.session.is_some())
            .finish_non_exhaustive()
    }
}
