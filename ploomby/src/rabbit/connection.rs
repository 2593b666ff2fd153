use std::time::Duration;

use amqprs::{
    channel::Channel,
    connection::{Connection, OpenConnectionArguments},
    error::Error,
};
use thiserror::Error as ThisError;
use tokio::{
    sync::Mutex,
    time::{Instant, error::Elapsed, timeout},
};
use tracing::{info, warn};

use super::url::{PasswordError, RabbitUrl};

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
    current: Option<(u64, Connection)>,
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
    pub(super) connection: Connection,
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

    /// The hosts, from the one that let us in last.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &(String, u16)> {
        let hosts = &self.url.hosts;
        let next = self.state.try_lock().map_or(0, |state| state.next_host);
        let last = (next + hosts.len() - 1) % hosts.len();
        hosts.iter().cycle().skip(last).take(hosts.len())
    }

    pub(super) fn user(&self) -> &str {
        &self.url.user
    }

    /// A new channel, on a new connection where the old one is gone.
    ///
    /// Nobody else waits while it is opened. A connection is opened for all who ask for one meanwhile, and where that
    /// fails, it has failed for all of them.
    pub(super) async fn channel(&self) -> Result<OpenChannel, ConnectError> {
        // a connection may be dead without knowing it: then a new one has the second try
        for _ in 0..2 {
            let (number, connection) = self.connection().await?;
            match open_channel(connection.clone()).await {
                Ok(Ok(channel)) => {
                    if is_worn(&connection, &channel) {
                        self.give_up(number).await;
                    }
                    return Ok(OpenChannel {
                        frame_max: frame_max(&connection),
                        channel,
                        connection,
                    });
                }
                Ok(Err(error)) => warn!(%error, "cannot open a channel, reconnecting"),
                Err(_) => warn!("the broker does not answer, reconnecting"),
            }
            self.give_up(number).await;
        }
        Err(ConnectError::NoChannel)
    }

    /// Has the next channel go over a new connection, if nobody has seen to that before.
    async fn give_up(&self, number: u64) {
        let mut state = self.state.lock().await;
        state.current.take_if(|(current, _)| *current == number);
    }

    pub(super) async fn close(&self) {
        let current = self.state.lock().await.current.take();
        if let Some((_, connection)) = current {
            match timeout(CLOSE_TIMEOUT, connection.close()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, "the connection was not closed in order"),
                Err(_) => warn!("the broker did not answer the closing of the connection"),
            }
        }
    }

    async fn connection(&self) -> Result<(u64, Connection), ConnectError> {
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

    async fn open(&self, host: &str, port: u16) -> Result<Connection, Fault> {
        let url = &self.url;
        let password = url.password.read()?;
        let mut arguments = OpenConnectionArguments::new(host, port, &url.user, &password);
        arguments
            .virtual_host(&url.vhost)
            .heartbeat(url.heartbeat)
            .connection_name(&format!("{} ({})", url.connection_name, self.purpose));
        #[cfg(feature = "tls")]
        if let Some(tls) = &url.tls {
            arguments.tls_adaptor(super::tls::adaptor(tls, host)?);
        }
        match timeout(url.connect_timeout, Connection::open(&arguments)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(Fault::from_amqprs(&error.to_string(), url)),
            Err(_) => Err(Fault::TimedOut(url.connect_timeout)),
        }
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

/// Opens a channel on a task that goes on when this future is dropped: amqprs gives up the whole
/// connection, with everybody's channels, where nobody waits for the answer any more.
async fn open_channel(connection: Connection) -> Result<Result<Channel, Error>, Elapsed> {
    let opening =
        tokio::spawn(async move { timeout(ANSWER_TIMEOUT, connection.open_channel(None)).await });
    opening
        .await
        .unwrap_or_else(|panic| Ok(Err(Error::ChannelOpenError(panic.to_string()))))
}

/// Why there is no channel.
#[derive(Clone, Debug, ThisError)]
pub(crate) enum ConnectError {
    #[error("cannot connect to the broker at {0}")]
    NoHost(String),
    #[error("the broker opens no channel")]
    NoChannel,
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
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] super::tls::TlsError),
}

impl Fault {
    /// amqprs tells causes apart in their text only.
    fn from_amqprs(text: &str, url: &RabbitUrl) -> Self {
        if let Some(refusal) = reply_text(text) {
            return Self::Refused(refusal.to_owned());
        }
        // without the capability `authentication_failure_close`, which amqprs does not announce,
        // RabbitMQ hangs up on a wrong password without a word
        let hung_up = [
            "peer shutdown",
            "connection interrupted",
            "Connection reset",
        ];
        if hung_up.iter().any(|hint| text.contains(hint)) {
            return Self::Login {
                user: url.user.clone(),
                hint: match url.tls {
                    // its alert may be lost where it hangs up right behind it
                    Some(_) => ", and that the broker accepts the certificate in `certfile`",
                    None => ", and that the port is not the one for amqps://",
                },
            };
        }
        let cause = text
            .trim_start_matches("AMQP network error: ")
            .trim_start_matches("network io error: ")
            .to_owned();
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

/// The broker's own words in `… reply_text: ShortStr(30, "NOT_ALLOWED - vhost x not found") …`.
fn reply_text(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("reply_text: ShortStr(")?;
    let (_, rest) = rest.split_once('"')?;
    rest.split_once("\")").map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> RabbitUrl {
        RabbitUrl::parse(text).unwrap()
    }

    #[test]
    fn a_refusal_is_told_in_the_brokers_words() {
        let text = "AMQP connection open error: failed to open connection, reason: \
                    Close(MethodHeader { class_id: 10, method_id: 50 }, Close { reply_code: 530, \
                    reply_text: ShortStr(30, \"NOT_ALLOWED - vhost x not found\"), class_id: 10 })";
        assert_eq!(
            Fault::from_amqprs(text, &url("amqp://")).to_string(),
            "the broker refused: NOT_ALLOWED - vhost x not found"
        );
    }

    #[test]
    fn a_hang_up_during_the_login_names_the_user() {
        let text = "AMQP network error: peer shutdown";
        let fault = Fault::from_amqprs(text, &url("amqp://shop:x@h")).to_string();
        assert!(
            fault.contains("access is refused for user `shop`"),
            "{fault}"
        );
    }
}
