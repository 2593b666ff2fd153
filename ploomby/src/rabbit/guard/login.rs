use std::{fmt, io, time::Duration};

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    fault::Fault,
    judges::readable,
    methods::{
        self, CONNECTION_CLOSE, CONNECTION_CLOSE_OK, CONNECTION_OPEN, CONNECTION_OPEN_OK,
        CONNECTION_SECURE, CONNECTION_START, CONNECTION_START_OK, CONNECTION_TUNE,
        CONNECTION_TUNE_OK, Method,
    },
    table,
    wire::{Bytes, END, HEAD, HEARTBEAT, METHOD, Overrun, Reader},
};
use crate::rabbit::dial::Stream;

/// Who connects, and where to.
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a str,
    pub(super) vhost: &'a str,
    pub(super) connection_name: &'a str,
    /// In seconds; 0 leaves it to the broker.
    pub(super) heartbeat: u16,
    /// The certificate says who connects.
    pub(super) is_external: bool,
}

/// What a client and a broker have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tuned {
    pub(super) channel_max: u16,
    pub(super) frame_max: u32,
    /// In seconds.
    pub(super) heartbeat: u16,
}

/// What a broker says that it is, such as `RabbitMQ 4.0.5`.
pub(super) type Server = Option<String>;

/// How long a frame may be where the broker has no limit of its own.
const FRAME_MAX: u32 = 128 << 10;

impl Tuned {
    /// RabbitMQ does not count what it adds itself to the headers of a message, such as how it died, so that
    /// the frame of one can be longer than agreed.
    pub(super) fn longest_frame(self) -> usize {
        const SLACK: usize = 1 << 20;

        usize::try_from(self.frame_max).map_or(usize::MAX, |agreed| agreed.saturating_add(SLACK))
    }

    /// How often each side has to send something, where it does.
    pub(super) fn heartbeat(self) -> Option<Duration> {
        match self.heartbeat {
            0 => None,
            seconds => Some(Duration::from_secs(seconds.into())),
        }
    }
}

/// How far the opening of a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rabbit) enum Step {
    /// The way to the broker.
    Dial,
    /// Both agree on TLS, if they are to.
    Tls,
    /// The broker says that it speaks AMQP.
    Greeting,
    /// It looks at user and password.
    Credentials,
    /// It opens the virtual host.
    VirtualHost,
    /// The client inside of this program takes over.
    Client,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dial => "while the connection was made",
            Self::Tls => "while TLS was agreed on",
            Self::Greeting => "instead of a greeting",
            Self::Credentials => "while user and password were checked",
            Self::VirtualHost => "while the virtual host was opened",
            Self::Client => "once the login was done",
        })
    }
}

/// Why a broker did not let us in.
#[derive(Debug, Error)]
pub(in crate::rabbit) enum LoginError {
    #[error("{0}")]
    Io(#[source] io::Error),
    #[error("the broker hung up")]
    HungUp,
    /// In the broker's own words.
    #[error("{text}")]
    Refused { code: u16, text: String },
    #[error("it does not speak AMQP 0-9-1: it sent `{}`", .0.escape_ascii())]
    NotAmqp(Vec<u8>),
    #[error("it knows no login with user and password, only {0}")]
    NoPlain(String),
    #[error("it knows no login by certificate, only {0}")]
    NoExternal(String),
    #[error("it sent {0}")]
    Fault(#[from] Fault),
}

impl From<io::Error> for LoginError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};

        match error.kind() {
            UnexpectedEof | ConnectionReset | BrokenPipe => Self::HungUp,
            _ => Self::Io(error),
        }
    }
}

impl From<Overrun> for LoginError {
    fn from(overrun: Overrun) -> Self {
        Self::Fault(overrun.into())
    }
}

/// Logs in, and says how far that has come.
pub(super) async fn log_in(
    stream: &mut Stream,
    login: &Login<'_>,
    mut note: impl FnMut(Step),
) -> Result<(Tuned, Server), LoginError> {
    note(Step::Greeting);
    send(stream, &GREETING).await?;
    let start = expect(stream, CONNECTION_START).await?;
    let mut start = Reader(&start);
    let (_version, server) = (start.u16()?, server(start.long()?));
    let mechanisms = readable(start.long()?);
    let (mechanism, response) = match login.is_external {
        true => ("EXTERNAL", String::new()),
        false => ("PLAIN", format!("\0{}\0{}", login.user, login.password)),
    };
    if !mechanisms.split(' ').any(|offered| offered == mechanism) {
        return Err(match login.is_external {
            true => LoginError::NoExternal(mechanisms),
            false => LoginError::NoPlain(mechanisms),
        });
    }
    note(Step::Credentials);
    let start_ok = about_us(login.connection_name)
        .short(mechanism.as_bytes())
        .long(response.as_bytes())
        .short(b"en_US");
    send(stream, &Bytes::method(0, CONNECTION_START_OK, &start_ok).0).await?;
    let tune = expect(stream, CONNECTION_TUNE).await?;
    let mut tune = Reader(&tune);
    let tuned = Tuned {
        channel_max: tune.u16()?,
        frame_max: match tune.u32()? {
            0 => FRAME_MAX,
            agreed => agreed,
        },
        heartbeat: match (tune.u16()?, login.heartbeat) {
            (0, seconds) | (seconds, 0) => seconds,
            (one, other) => one.min(other),
        },
    };
    note(Step::VirtualHost);
    let tune_ok = Bytes::new()
        .u16(tuned.channel_max)
        .u32(tuned.frame_max)
        .u16(tuned.heartbeat);
    let open = Bytes::new().short(login.vhost.as_bytes()).short(b"").u8(0);
    let both = Bytes::method(0, CONNECTION_TUNE_OK, &tune_ok)
        .raw(&Bytes::method(0, CONNECTION_OPEN, &open).0);
    send(stream, &both.0).await?;
    expect(stream, CONNECTION_OPEN_OK).await?;
    Ok((tuned, server))
}

/// Reads it from the properties of a broker, which may say anything.
fn server(properties: &[u8]) -> Server {
    let mut rest = Reader(properties);
    let (mut product, mut version) = (None, None);
    while !rest.is_empty() {
        let name = rest.short().ok()?;
        let value = table::value(&mut rest).ok()?;
        match (name, value.kind) {
            (b"product", b'S') => product = Some(readable(value.content)),
            (b"version", b'S') => version = Some(readable(value.content)),
            _ => {}
        }
    }
    Some(format!("{} {}", product?, version?))
}

/// What a client says first.
pub(super) const GREETING: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// The client's properties, which the broker shows in its lists.
///
/// Source: [capabilities](https://www.rabbitmq.com/docs/consumers#capabilities).
fn about_us(connection_name: &str) -> Bytes {
    const CAPABILITIES: [&str; 6] = [
        // a refused login is told, in place of a hang-up
        "authentication_failure_close",
        "basic.nack",
        "connection.blocked",
        "consumer_cancel_notify",
        "exchange_exchange_bindings",
        "publisher_confirms",
    ];
    let texts = [
        ("product", "ploomby"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("platform", "Rust"),
        ("connection_name", connection_name),
    ];
    let capabilities = CAPABILITIES.iter().fold(Bytes::new(), |table, name| {
        table.short(name.as_bytes()).u8(b't').u8(1)
    });
    let table = texts.iter().fold(Bytes::new(), |table, (name, text)| {
        table.short(name.as_bytes()).u8(b'S').long(text.as_bytes())
    });
    let table = table.short(b"capabilities").u8(b'F').long(&capabilities.0);
    Bytes::new().long(&table.0)
}

async fn send(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Waits for this method, and gives its arguments.
async fn expect(stream: &mut Stream, expected: Method) -> Result<Vec<u8>, LoginError> {
    let payload = loop {
        let (kind, payload) = read_frame(stream).await?;
        match kind {
            METHOD => break payload,
            HEARTBEAT => {}
            kind => return Err(Fault::Kind(kind).into()),
        }
    };
    let (method, arguments) = methods::split(&payload)?;
    match method {
        CONNECTION_CLOSE => {
            let mut reader = Reader(arguments);
            let (code, text) = (reader.u16()?, readable(reader.short()?));
            // it waits for this, and we do not wait for it
            let close_ok = Bytes::method(0, CONNECTION_CLOSE_OK, &Bytes::new());
            let _ = send(stream, &close_ok.0).await;
            Err(LoginError::Refused { code, text })
        }
        CONNECTION_SECURE => Err(Fault::Unasked { method, channel: 0 }.into()),
        method if method == expected => Ok(arguments.to_vec()),
        method => Err(Fault::Unasked { method, channel: 0 }.into()),
    }
}

/// Reads one frame and not a byte behind it.
pub(super) async fn read_frame<S>(stream: &mut S) -> Result<(u8, Vec<u8>), LoginError>
where
    S: tokio::io::AsyncRead + Unpin,
{
    /// A server may have much to say of itself, but not more than this.
    const MOST: usize = 128 << 10;

    let kind = stream.read_u8().await?;
    if !matches!(kind, METHOD | HEARTBEAT) {
        return Err(not_amqp(kind, stream).await);
    }
    let mut head = [0; HEAD - 1];
    stream.read_exact(&mut head).await?;
    let [_, _, l3, l2, l1, l0] = head;
    let len = usize::try_from(u32::from_be_bytes([l3, l2, l1, l0])).unwrap_or(usize::MAX);
    if len > MOST {
        return Err(Fault::Length { len, most: MOST }.into());
    }
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload).await?;
    match stream.read_u8().await? {
        END => Ok((kind, payload)),
        _ => Err(Fault::End.into()),
    }
}

/// What came in the place of a frame, as far as it is there.
async fn not_amqp(first: u8, stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> LoginError {
    const SHOWN: usize = 32;

    let mut seen = vec![first];
    let mut rest = stream.take(SHOWN as u64 - 1);
    // what does not come at once is not waited for
    let _ = tokio::time::timeout(Duration::from_millis(100), rest.read_buf(&mut seen)).await;
    LoginError::NotAmqp(seen)
}
