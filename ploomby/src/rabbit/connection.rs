use std::{
    fmt,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use amqprs::{channel::Channel, connection::Connection, error::Error};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

pub(super) use super::connector::ConnectError;

use super::{
    connector::{self, Address},
    credentials,
    guard::{Condition, Ended},
    io_thread,
    session::events::Closed,
    traffic::{Idle, Traffic},
    url::RabbitUrl,
};

/// How long the broker may take to answer.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The same, where there are other hosts to go to.
const ANSWER_TIMEOUT_OF_SEVERAL: Duration = Duration::from_secs(5);

/// The same, while something else comes: what stands before the answer ends some time.
const LONGEST_ANSWER: Duration = Duration::from_secs(10 * 60);

/// How long the broker may take to answer the closing of a channel or a connection. There is
/// nothing left to lose by then.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// One connection that several channels share. It is opened when a channel is asked for, and
/// opened again, at another host if need be, when it is lost.
#[derive(Debug)]
pub(super) struct SharedConnection {
    url: RabbitUrl,
    purpose: &'static str,
    traffic: Arc<Traffic>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Link>>,
    /// Where the last connection was: as long as a broker answers there, we stay.
    preferred: Option<Address>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("open", &self.current.is_some())
            .finish_non_exhaustive()
    }
}

/// A channel, and what its connection agreed on.
pub(super) struct OpenChannel {
    pub(super) channel: Channel,
    pub(super) frame_max: usize,
    /// To be kept as long as the channel is used: amqprs closes a connection that nobody holds.
    pub(super) connection: Arc<Link>,
}

/// A connection to a broker, and what is known of it.
pub(super) struct Link {
    connection: Option<Connection>,
    condition: Condition,
    /// Sees to it that the credentials do not end.
    renewing: OnceLock<AbortOnDropHandle<()>>,
    address: Address,
    traffic: Arc<Traffic>,
    /// How long the broker has for an answer, on a line that takes all at once.
    patience: Duration,
    is_told: AtomicBool,
    opened: Instant,
}

impl Link {
    /// What is known of it: the broker's alarm, and why it is no more.
    pub(super) fn condition(&self) -> &Condition {
        &self.condition
    }

    /// How long the broker has for an answer, before another one is asked.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Waits for the broker's answer to what goes over this connection, as long as the broker has for one.
    ///
    /// # Errors
    ///
    /// The broker has not answered.
    pub(super) async fn answer<T>(&self, answer: impl Future<Output = T>) -> Result<T, Idle> {
        self.traffic.wait(self.patience, answer).await
    }

    /// The same, where a message that takes its time may come before the answer: while anything comes, it is waited for.
    pub(super) async fn answer_behind_others<T>(
        &self,
        answer: impl Future<Output = T>,
    ) -> Result<T, Idle> {
        let mut answer = pin!(answer);
        let start = Instant::now();
        loop {
            let begin = Instant::now();
            match self.answer(&mut answer).await {
                Err(Idle)
                    if self.traffic.has_come_since(begin) && start.elapsed() < LONGEST_ANSWER => {}
                answered => return answered,
            }
        }
    }

    pub(super) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Whether the connection is no more. The log says so once, whoever finds out.
    pub(super) fn tell_loss(&self) -> bool {
        let Some(ended) = self.condition.ended() else {
            return false;
        };
        if !self.is_told.swap(true, Ordering::Relaxed) && !matches!(ended, Ended::Left) {
            let address = &self.address;
            warn!(%address, reason = %ended, "lost the broker, connecting again");
        }
        true
    }

    /// Why something failed that went over this connection, where amqprs says `error`: it knows little of what
    /// became of the connection.
    pub(super) fn told(&self, error: &Error) -> String {
        match self.condition.ended() {
            Some(ended) => ended.to_string(),
            None => error.to_string(),
        }
    }

    /// Why there is no channel to be had over it.
    pub(super) fn failed(&self, error: &Error) -> ConnectError {
        match self.condition.ended() {
            Some(Ended::Closed { code, text }) => ConnectError::ended(code, text),
            Some(ended) => ConnectError::Ended(ended.to_string()),
            None => ConnectError::Ended(error.to_string()),
        }
    }

    /// One more channel over this connection, if that is to be had in time.
    ///
    /// It is opened on the thread of the connections, and goes on when this future is dropped: amqprs gives up the
    /// whole connection, with everybody's channels, where nobody waits for the answer any more.
    pub(super) async fn open_channel(&self) -> Result<Channel, ConnectError> {
        let (connection, traffic) = (self.connection().clone(), self.traffic.clone());
        let patience = self.patience;
        let opening = async move { traffic.wait(patience, connection.open_channel(None)).await };
        match io_thread::spawn_detached(opening).await {
            Ok(Ok(Ok(channel))) => Ok(channel),
            Ok(Ok(Err(error))) => Err(self.failed(&error)),
            Ok(Err(Idle)) => Err(ConnectError::NoChannel {
                address: self.address.to_string(),
                after: patience,
            }),
            Err(panic) => Err(self.failed(&Error::ChannelOpenError(panic.to_string()))),
        }
    }

    fn connection(&self) -> &Connection {
        self.connection
            .as_ref()
            .expect("it is taken when this is dropped")
    }

    /// Tells the broker of a new password, on the thread of the connections: amqprs gives up the connection where
    /// nobody waits for the answer any more.
    pub(super) async fn update_secret(&self, secret: String) -> Result<(), String> {
        let connection = self.connection().clone();
        let updating = async move {
            let updating = connection.update_secret(&secret, "the old one ends soon");
            timeout(ANSWER_TIMEOUT, updating).await
        };
        match io_thread::spawn_detached(updating).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(self.told(&error)),
            Ok(Err(_)) => Err(format!(
                "the broker did not answer within {ANSWER_TIMEOUT:?}"
            )),
            Err(panic) => Err(panic.to_string()),
        }
    }

    /// Closes it for all who use it.
    pub(super) async fn give_up(&self) {
        let connection = self.connection().clone();
        let closing = async move { timeout(CLOSE_TIMEOUT, connection.close()).await };
        // whatever it says, the connection is of no use any more
        let _ = io_thread::spawn_detached(closing).await;
    }

    /// Whether it ended in a way that speaks for another host, if there is one.
    fn has_ended_badly(&self) -> bool {
        /// A broker that ends connections as soon as they are there is of no use.
        const SHORT_LIFE: Duration = Duration::from_secs(10);

        match self.condition.ended() {
            Some(Ended::Fault(_) | Ended::Silent(_)) => true,
            _ => self.opened.elapsed() < SHORT_LIFE,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection().is_open() && self.condition.ended().is_none()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // amqprs spawns what says goodbye, which belongs on the thread of the connection
        let _entered = io_thread::handle().enter();
        self.connection.take();
    }
}

impl SharedConnection {
    /// `purpose` tells connections of one program apart in the broker's lists.
    pub(super) fn new(url: RabbitUrl, purpose: &'static str) -> Self {
        Self {
            url,
            purpose,
            traffic: Arc::default(),
            state: Mutex::default(),
        }
    }

    pub(super) fn url(&self) -> &RabbitUrl {
        &self.url
    }

    pub(super) fn user(&self) -> &str {
        &self.url.user
    }

    pub(super) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// How many hosts there are to go to, at least.
    pub(super) fn hosts(&self) -> usize {
        self.url.hosts.len()
    }

    /// A new channel, on a new connection where the old one is gone.
    ///
    /// Nobody else waits while it is opened. A connection is opened for all who ask for one meanwhile, and where that
    /// fails, it has failed for all of them.
    pub(super) async fn channel(&self) -> Result<OpenChannel, ConnectError> {
        // a connection may be dead without knowing it: then a new one has another try, and so has each host
        let mut tries = self.hosts() + 1;
        loop {
            tries -= 1;
            let (link, is_new) = self.link().await?;
            let error = match link.open_channel().await {
                Ok(channel) => {
                    if is_worn(link.connection(), &channel) {
                        self.give_up(&link).await;
                    }
                    return Ok(OpenChannel {
                        frame_max: frame_max(link.connection()),
                        channel,
                        connection: link,
                    });
                }
                Err(error) => error,
            };
            // one that was there before may have been dead without knowing it
            match is_new || matches!(error, ConnectError::NoChannel { .. }) {
                true => self.pass_over(&link).await,
                false => self.give_up(&link).await,
            }
            if tries == 0 || error.is_hopeless() {
                return Err(error);
            }
            warn!(%error, "cannot open a channel, reconnecting");
        }
    }

    /// Makes sure that there is a connection.
    ///
    /// # Cancel safety
    ///
    /// Dropped, what is under way is given up.
    pub(super) async fn connect(&self) -> Result<(), ConnectError> {
        self.link().await.map(|_| ())
    }

    /// Connects, and says where to and to what.
    pub(super) async fn server(&self) -> Result<(String, Option<String>), ConnectError> {
        let (link, _) = self.link().await?;
        Ok((link.address.to_string(), link.condition.server()))
    }

    /// Why the broker takes no messages at the moment, in its own words.
    pub(super) fn blocked(&self) -> Option<String> {
        let state = self.state.try_lock().ok()?;
        state.current.as_ref()?.condition.blocked()
    }

    /// The broker did not do its part: what comes next goes to another one for a while, if there is one.
    pub(super) async fn pass_over(&self, link: &Arc<Link>) {
        connector::blame(&link.address);
        self.give_up(link).await;
    }

    /// The same, if the connection or the channel has ended in a way that says that its broker is not well.
    pub(super) async fn pass_over_if_ill(&self, link: &Arc<Link>, refused: Option<&Closed>) {
        /// AMQP's reply code for what a broker fails at.
        const INTERNAL_ERROR: u16 = 541;

        let is_ill = matches!(
            link.condition.ended(),
            Some(Ended::Closed {
                code: INTERNAL_ERROR,
                ..
            })
        );
        if is_ill || refused.is_some_and(Closed::is_ill) {
            self.pass_over(link).await;
        }
    }

    /// Has the next channel go over a new connection, if nobody has seen to that before. What goes over the old one
    /// stays there.
    async fn give_up(&self, link: &Arc<Link>) {
        // nobody else comes to see how it ended
        if link.condition.ended().is_some() && link.has_ended_badly() {
            connector::blame(&link.address);
        }
        let mut state = self.state.lock().await;
        state.current.take_if(|current| Arc::ptr_eq(current, link));
    }

    pub(super) async fn close(&self) {
        let current = self.state.lock().await.current.take();
        if let Some(link) = current {
            let connection = link.connection().clone();
            match timeout(CLOSE_TIMEOUT, connection.close()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, "the connection was not closed in order"),
                Err(_) => warn!("the broker did not answer the closing of the connection"),
            }
        }
    }

    /// A connection, and whether it was opened for this.
    async fn link(&self) -> Result<(Arc<Link>, bool), ConnectError> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        match &state.current {
            Some(link) if link.is_open() => return Ok((link.clone(), false)),
            Some(link) => {
                if link.has_ended_badly() {
                    connector::blame(&link.address);
                }
                state.current = None;
            }
            None => {}
        }
        let name = format!("{} ({})", self.url.connection_name, self.purpose);
        let preferred = state.preferred.clone();
        let limit = self.url.wait_for_broker;
        let opening = self.url.outage.attempt(asked, limit, || async {
            let login = credentials::of(&self.url).await;
            let (url, password, lease) = login.map_err(|error| ConnectError::no_login(&error))?;
            let as_who = (&url, &*password);
            let opened = connector::open(as_who, &name, preferred.as_ref(), &self.traffic).await;
            let opened = opened.map_err(ConnectError::no_host)?;
            Ok((opened, url, lease))
        });
        let (((connection, condition), address), url, lease) = opening.await?;
        info!(%address, purpose = self.purpose, "connected");
        let link = Arc::new(Link {
            connection: Some(connection),
            condition,
            address: address.clone(),
            traffic: self.traffic.clone(),
            patience: match self.hosts() {
                1 => ANSWER_TIMEOUT,
                _ => ANSWER_TIMEOUT_OF_SEVERAL,
            },
            is_told: AtomicBool::new(false),
            opened: Instant::now(),
            renewing: OnceLock::new(),
        });
        if let Some(lease) = lease {
            let renewing = credentials::renew(Arc::downgrade(&link), url, lease);
            let renewing = AbortOnDropHandle::new(tokio::spawn(renewing));
            let _ = link.renewing.set(renewing);
        }
        state.preferred = Some(address);
        state.current = Some(link.clone());
        Ok((link, true))
    }
}

/// The largest frame, in bytes; 0 is no limit.
fn frame_max(connection: &Connection) -> usize {
    match connection.frame_max() {
        0 => usize::MAX,
        most => usize::try_from(most).unwrap_or(usize::MAX),
    }
}

/// Whether the next channel needs a new connection, while this one stays with those who use it.
///
/// amqprs never uses the number of a channel again that the broker has closed, and panics when
/// there is no number left.
fn is_worn(connection: &Connection, channel: &Channel) -> bool {
    // 0 means no limit but that of the numbers
    let most = connection.channel_max().wrapping_sub(1).saturating_add(1);
    channel.channel_id() > most / 4 * 3
}
