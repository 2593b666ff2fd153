use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use amqprs::{channel::Channel, connection::Connection, error::Error};
use thiserror::Error as ThisError;
use tokio::{
    sync::Mutex,
    time::{Instant, error::Elapsed, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::{
    credentials,
    guard::{self, Condition, LoginError, OpenError, Step},
    io_thread,
    url::{PasswordError, RabbitUrl},
};

/// How long the broker may take to answer.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the broker may take to answer the closing of a channel or a connection. There is
/// nothing left to lose by then.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// One connection that several channels share. It is opened when a channel is asked for, and
/// opened again, at the next host, when it is lost.
#[derive(Debug)]
pub(super) struct SharedConnection {
    url: RabbitUrl,
    purpose: &'static str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// With its number, by which connections are told apart.
    current: Option<(u64, Arc<Link>)>,
    opened: u64,
    next_host: usize,
    /// When the last try ended, and why, if it was in vain.
    failed: Option<(Instant, ConnectError)>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
}

impl Link {
    /// What is known of it: the broker's alarm, and why it is no more.
    pub(super) fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Why something failed that went over this connection, where amqprs says `error`: it knows little of what
    /// became of the connection.
    pub(super) fn told(&self, error: &Error) -> String {
        match self.condition.ended() {
            Some(ended) => ended.to_string(),
            None => error.to_string(),
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
            state: Mutex::default(),
        }
    }

    pub(super) fn url(&self) -> &RabbitUrl {
        &self.url
    }

    pub(super) fn user(&self) -> &str {
        &self.url.user
    }

    /// A new channel, on a new connection where the old one is gone.
    ///
    /// Nobody else waits while it is opened. A connection is opened for all who ask for one meanwhile, and where that
    /// fails, it has failed for all of them.
    pub(super) async fn channel(&self) -> Result<OpenChannel, ConnectError> {
        let mut reason = String::new();
        // a connection may be dead without knowing it: then a new one has the second try
        for _ in 0..2 {
            let (number, link) = self.connection().await?;
            let connection = link.connection();
            match open_channel(connection.clone()).await {
                Ok(Ok(channel)) => {
                    if is_worn(connection, &channel) {
                        self.give_up(number).await;
                    }
                    return Ok(OpenChannel {
                        frame_max: frame_max(connection),
                        channel,
                        connection: link,
                    });
                }
                Ok(Err(error)) => reason = link.told(&error),
                Err(_) => reason = format!("it did not answer within {ANSWER_TIMEOUT:?}"),
            }
            warn!(reason, "cannot open a channel, reconnecting");
            self.give_up(number).await;
        }
        Err(ConnectError::NoChannel(reason))
    }

    /// Has the next channel go over a new connection, if nobody has seen to that before.
    async fn give_up(&self, number: u64) {
        let mut state = self.state.lock().await;
        state.current.take_if(|(current, _)| *current == number);
    }

    /// Why the broker takes no messages at the moment, in its own words.
    pub(super) fn blocked(&self) -> Option<String> {
        let state = self.state.try_lock().ok()?;
        let (_, link) = state.current.as_ref()?;
        link.condition.blocked()
    }

    pub(super) async fn close(&self) {
        let current = self.state.lock().await.current.take();
        if let Some((_, link)) = current {
            let connection = link.connection().clone();
            match timeout(CLOSE_TIMEOUT, connection.close()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, "the connection was not closed in order"),
                Err(_) => warn!("the broker did not answer the closing of the connection"),
            }
        }
    }

    async fn connection(&self) -> Result<(u64, Arc<Link>), ConnectError> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        match &state.current {
            Some((number, connection)) if connection.is_open() => {
                return Ok((*number, connection.clone()));
            }
            _ => state.current = None,
        }
        match &state.failed {
            Some((at, error)) if *at >= asked => return Err(error.clone()),
            _ => {}
        }
        let mut failed = Vec::new();
        for _ in &self.url.hosts {
            let (host, port) = &self.url.hosts[state.next_host];
            state.next_host = (state.next_host + 1) % self.url.hosts.len();
            match self.open(host, *port).await {
                Ok(connection) => {
                    info!(host, port, purpose = self.purpose, "connected");
                    state.opened += 1;
                    let current = (state.opened, connection);
                    state.current = Some(current.clone());
                    return Ok(current);
                }
                Err(fault) => failed.push(format!("{host}:{port}: {fault}")),
            }
        }
        let error = ConnectError::NoHost(failed.join("; "));
        state.failed = Some((Instant::now(), error.clone()));
        Err(error)
    }

    async fn open(&self, host: &str, port: u16) -> Result<Arc<Link>, Fault> {
        let (url, password, lease) = credentials::of(&self.url).await?;
        let name = format!("{} ({})", url.connection_name, self.purpose);
        let (connection, condition) = guard::open(&url, &password, (host, port), &name)
            .await
            .map_err(|error| Fault::new(error, &url))?;
        let link = Arc::new(Link {
            connection: Some(connection),
            condition,
            renewing: OnceLock::new(),
        });
        if let Some(lease) = lease {
            let renewing = credentials::renew(Arc::downgrade(&link), url, lease);
            let _ = link
                .renewing
                .set(AbortOnDropHandle::new(tokio::spawn(renewing)));
        }
        Ok(link)
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

/// Opens a channel on the thread of the connections, and goes on when this future is dropped: amqprs gives up
/// the whole connection, with everybody's channels, where nobody waits for the answer any more.
async fn open_channel(connection: Connection) -> Result<Result<Channel, Error>, Elapsed> {
    let opening = async move { timeout(ANSWER_TIMEOUT, connection.open_channel(None)).await };
    io_thread::spawn_detached(opening)
        .await
        .unwrap_or_else(|panic| Ok(Err(Error::ChannelOpenError(panic.to_string()))))
}

/// Why there is no channel.
#[derive(Clone, Debug, ThisError)]
pub(crate) enum ConnectError {
    #[error("cannot connect to the broker at {0}")]
    NoHost(String),
    #[error("the broker opens no channel: {0}")]
    NoChannel(String),
}

/// Why one host did not let us in.
#[derive(Debug, ThisError)]
enum Fault {
    #[error("{0}")]
    Unreachable(String),
    #[error(
        "the broker hung up during the login, as it does when access is refused for user `{user}`: \
         check user and password (`guest` may only log in from the broker's own machine){hint}"
    )]
    Login { user: String, hint: &'static str },
    #[error("{cause}: {remedy}")]
    Handshake { cause: String, remedy: &'static str },
    #[error("the broker refused: {0}")]
    Refused(String),
    #[error(
        "the broker refused user `{user}`: {text}; check user and password (`guest` may only log in \
         from the broker's own machine)"
    )]
    Access { text: String, user: String },
    #[error("no answer within {after:?} {step}")]
    TimedOut { step: Step, after: Duration },
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// How TLS says that it was not understood: the kind of the record, and its major version.
const TLS_ALERT: [u8; 2] = [0x15, 0x03];

/// AMQP's reply code for who may not come in.
const ACCESS_REFUSED: u16 = 403;

impl Fault {
    fn new(error: OpenError, url: &RabbitUrl) -> Self {
        let cause = match error {
            OpenError::Login { error, .. } => match error {
                LoginError::Refused { code, text } if code == ACCESS_REFUSED => {
                    let user = url.user.clone();
                    return Self::Access { text, user };
                }
                LoginError::Refused { text, .. } => return Self::Refused(text),
                LoginError::NotAmqp(seen) if seen.starts_with(&TLS_ALERT) => {
                    return Self::Handshake {
                        cause: "the port speaks TLS".to_owned(),
                        remedy: "write amqps://, or choose one that is not the one for amqps://",
                    };
                }
                LoginError::HungUp => {
                    return Self::Login {
                        user: url.user.clone(),
                        hint: match url.tls {
                            // its alert may be lost where it hangs up right behind it
                            Some(_) => {
                                ", and that the broker accepts the certificate in `certfile`"
                            }
                            None => ", and that the port is not the one for amqps://",
                        },
                    };
                }
                error => error.to_string(),
            },
            OpenError::TimedOut { step, after } => return Self::TimedOut { step, after },
            error => error.to_string(),
        };
        match remedy(&cause) {
            Some(remedy) => Self::Handshake { cause, remedy },
            None => Self::Unreachable(cause),
        }
    }
}

/// What to do about an error of rustls.
fn remedy(cause: &str) -> Option<&'static str> {
    let remedies = [
        (
            "not valid for name",
            "set `server_name_indication` to the name in the broker's certificate",
        ),
        (
            "UnknownIssuer",
            "name the authority that signed the broker's certificate with `cacertfile`",
        ),
        ("invalid peer certificate", "renew the broker's certificate"),
        (
            "received fatal alert",
            "show the broker a certificate of an authority that it trusts, with `certfile` and \
             `keyfile`",
        ),
        (
            "InvalidContentType",
            "this port does not speak TLS, write amqp:// or choose the port for amqps://",
        ),
    ];
    remedies
        .iter()
        .find_map(|(hint, remedy)| cause.contains(hint).then_some(*remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: LoginError) -> String {
        let url = RabbitUrl::parse("amqp://shop:x@h").unwrap();
        let step = Step::Credentials;
        Fault::new(OpenError::Login { step, error }, &url).to_string()
    }

    #[test]
    fn a_refusal_is_told_in_the_brokers_words() {
        let refused = |code, text: &str| {
            told(LoginError::Refused {
                code,
                text: text.to_owned(),
            })
        };
        assert_eq!(
            refused(530, "NOT_ALLOWED - vhost x not found"),
            "the broker refused: NOT_ALLOWED - vhost x not found"
        );
        let access = refused(403, "ACCESS_REFUSED - Login was refused");
        assert!(
            access.contains("ACCESS_REFUSED - Login was refused"),
            "{access}"
        );
        assert!(access.contains("user `shop`"), "{access}");
    }

    #[test]
    fn a_hang_up_during_the_login_names_the_user() {
        let fault = told(LoginError::HungUp);
        assert!(
            fault.contains("access is refused for user `shop`"),
            "{fault}"
        );
    }
}
