use std::{fmt, io, time::Duration};

use thiserror::Error;

use crate::rabbit::{
    guard::{LoginError, OpenError, Step},
    url::{PasswordError, RabbitUrl},
};

/// Why there is no channel to a broker.
#[derive(Clone, Debug, Error)]
pub(crate) enum ConnectError {
    #[error("cannot connect to the broker at {tried}")]
    NoHost {
        /// Each address, with what it failed by.
        tried: String,
        is_hopeless: bool,
    },
    #[error("cannot log in with the broker: {0}")]
    NoLogin(String),
    #[error("the broker at {address} did not open a channel within {after:?}")]
    NoChannel { address: String, after: Duration },
    #[error(
        "the broker allows this user no more channels, and ploomby needs one for each consumer: raise the user's limit, \
         or consume fewer queues in one program ({0})"
    )]
    NoMoreChannels(String),
    #[error("{0}")]
    Ended(String),
}

impl ConnectError {
    pub(in crate::rabbit) fn no_host(tried: Vec<(String, Refusal)>) -> Self {
        let is_hopeless =
            !tried.is_empty() && tried.iter().all(|(_, refusal)| refusal.is_hopeless());
        let tried: Vec<_> = tried
            .into_iter()
            .map(|(address, refusal)| format!("{address}: {refusal}"))
            .collect();
        Self::NoHost {
            tried: tried.join("; "),
            is_hopeless,
        }
    }

    pub(in crate::rabbit) fn no_login(error: &PasswordError) -> Self {
        Self::NoLogin(error.to_string())
    }

    /// Why a connection is of no use any more, in the broker's words where it had some.
    pub(in crate::rabbit) fn ended(code: u16, text: String) -> Self {
        match code == NOT_ALLOWED && text.contains("channel") {
            true => Self::NoMoreChannels(text),
            false => Self::Ended(text),
        }
    }

    /// Whether a later try goes no better unless somebody helps.
    pub(in crate::rabbit) fn is_hopeless(&self) -> bool {
        match self {
            Self::NoHost { is_hopeless, .. } => *is_hopeless,
            Self::NoMoreChannels(_) => true,
            Self::NoLogin(_) | Self::NoChannel { .. } | Self::Ended(_) => false,
        }
    }
}

/// AMQP's reply code for who may not come in.
const ACCESS_REFUSED: u16 = 403;

/// AMQP's reply code for what the configuration does not allow.
const NOT_ALLOWED: u16 = 530;

/// Why one address does not let us in, and what to do.
#[derive(Debug, Error)]
pub(in crate::rabbit) enum Refusal {
    #[error("the name leads nowhere, check it, and the name server of this machine ({0})")]
    Name(String),
    #[error("{0}")]
    Unreachable(io::Error),
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(crate::rabbit::tls::TlsFault),
    #[error("{}", HungUp(*step, user, *is_tls))]
    HungUp {
        step: Step,
        user: String,
        is_tls: bool,
    },
    #[error("{}", NotAmqp(.0))]
    NotAmqp(Vec<u8>),
    #[error(
        "the broker lets in whoever shows a certificate (EXTERNAL), and nobody with user and password: add the \
         parameter `auth_mechanism=external` to an amqps:// URL with `certfile` and `keyfile` (it offers {0})"
    )]
    External(String),
    #[error(
        "the broker knows no login with user and password (PLAIN), it offers {0}: turn it on there (`auth_mechanisms`)"
    )]
    NoPlain(String),
    #[error(
        "the broker does not let in by certificate alone (EXTERNAL), it offers {0}: turn that on there (`auth_mechanisms`)"
    )]
    NoExternal(String),
    #[error(
        "the broker refused: {text} (check user and password of user `{user}`; `guest` may only log in from the \
         broker's own machine)"
    )]
    Access { text: String, user: String },
    #[error("the broker refused: {text}")]
    Refused { text: String },
    #[error("no answer within {after:?} {step}")]
    TimedOut { step: Step, after: Duration },
    #[error("{0}")]
    Other(String),
}

impl Refusal {
    pub(super) fn new(error: OpenError, url: &RabbitUrl) -> Self {
        match error {
            OpenError::Dial { step, error } => Self::dial(step, error, url),
            OpenError::Login { step, error } => Self::login(step, error, url),
            OpenError::TimedOut { step, after } => Self::TimedOut { step, after },
            error => Self::Other(error.to_string()),
        }
    }

    fn dial(step: Step, error: io::Error, url: &RabbitUrl) -> Self {
        #[cfg(feature = "tls")]
        if let Some(refusal) = Self::tls(&error, url) {
            return refusal;
        }
        match step {
            Step::Dial => Self::Unreachable(error),
            step if is_hang_up(&error) => Self::hung_up(step, url),
            _ => Self::Unreachable(error),
        }
    }

    fn login(step: Step, error: LoginError, url: &RabbitUrl) -> Self {
        match error {
            LoginError::Io(error) => Self::dial(step, error, url),
            LoginError::HungUp => Self::hung_up(step, url),
            LoginError::NotAmqp(sent) => Self::NotAmqp(sent),
            LoginError::NoPlain(offered) if offered.split(' ').any(|one| one == "EXTERNAL") => {
                Self::External(offered)
            }
            LoginError::NoPlain(offered) => Self::NoPlain(offered),
            LoginError::NoExternal(offered) => Self::NoExternal(offered),
            LoginError::Refused {
                code: ACCESS_REFUSED,
                text,
            } => Self::Access {
                text,
                user: url.user.clone(),
            },
            LoginError::Refused { text, .. } => Self::Refused { text },
            error @ LoginError::Fault(_) => Self::Other(error.to_string()),
        }
    }

    fn hung_up(step: Step, url: &RabbitUrl) -> Self {
        Self::HungUp {
            step,
            user: url.user.clone(),
            is_tls: url.tls.is_some(),
        }
    }

    #[cfg(feature = "tls")]
    fn tls(error: &io::Error, url: &RabbitUrl) -> Option<Self> {
        use crate::rabbit::tls::TlsFault;

        let fault = TlsFault::of(error, url.tls.as_deref()?)?;
        Some(Self::Tls(fault))
    }

    fn is_hopeless(&self) -> bool {
        match self {
            Self::Name(_)
            | Self::Unreachable(_)
            | Self::HungUp { .. }
            | Self::TimedOut { .. }
            | Self::Other(_) => false,
            Self::Refused { text } => !text.starts_with("CONNECTION_FORCED"),
            _ => true,
        }
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};

    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

/// Whoever answers hung up without a word: the step says who that may have been.
struct HungUp<'a>(Step, &'a str, bool);

impl fmt::Display for HungUp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(step, user, is_tls) = self;
        match step {
            Step::Dial | Step::Tls => f.write_str(
                "whoever answers there hung up during the handshake of TLS: check that the port is one \
                 for amqps://, and that a balancer before it has a live server behind it",
            ),
            Step::Greeting if *is_tls => f.write_str(
                "whoever answers there hung up before the login began: check that the broker accepts the \
                 certificate in `certfile`, or wants to see one, and that a balancer before it has a live \
                 server behind it",
            ),
            Step::Greeting => f.write_str(
                "whoever answers there hung up before the login began, so it is not about user and \
                 password: check that the port is the broker's for AMQP, not the one for amqps://, that a \
                 balancer before it has a live server behind it, and that the broker expects no PROXY \
                 protocol",
            ),
            Step::Credentials => write!(
                f,
                "the broker hung up during the login, as old ones do when access is refused for user \
                 `{user}`: check user and password (`guest` may only log in from the broker's own machine)"
            ),
            Step::VirtualHost | Step::Client => write!(
                f,
                "the broker hung up while the virtual host was opened: its log says why (user `{user}`)"
            ),
        }
    }
}

/// What came is no AMQP 0-9-1.
struct NotAmqp<'a>(&'a [u8]);

impl fmt::Display for NotAmqp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [b'A', b'M', b'Q', b'P', _, 1, ..] => f.write_str(
                "it speaks AMQP 1.0, which is another protocol: choose a broker or a port for AMQP 0-9-1, \
                 such as RabbitMQ's 5672",
            ),
            [b'A', b'M', b'Q', b'P', ..] => f.write_str(
                "it speaks another version of AMQP than 0-9-1: choose a broker that speaks 0-9-1",
            ),
            [b'H', b'T', b'T', b'P', ..] => f.write_str(
                "this port speaks HTTP, as RabbitMQ's management does at 15672: choose the one for AMQP, \
                 such as 5672",
            ),
            // a record of TLS, mostly an alert
            [0x14..=0x17, 3, ..] => f.write_str(
                "this port speaks TLS: write amqps://, or choose one that is not the one for amqps://",
            ),
            sent => write!(
                f,
                "it does not speak AMQP 0-9-1, it sent `{}`: choose the port for AMQP, such as 5672",
                sent.escape_ascii()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(step: Step, error: LoginError) -> String {
        let url = RabbitUrl::parse("amqp://shop:secret@h").unwrap();
        Refusal::new(OpenError::Login { step, error }, &url).to_string()
    }

    #[test]
    fn a_refusal_is_told_in_the_brokers_words() {
        let refused = |code, text: &str| LoginError::Refused {
            code,
            text: text.to_owned(),
        };
        let vhost = refused(530, "NOT_ALLOWED - vhost x not found");
        assert_eq!(
            told(Step::VirtualHost, vhost),
            "the broker refused: NOT_ALLOWED - vhost x not found"
        );
        let access = told(
            Step::Credentials,
            refused(403, "ACCESS_REFUSED - Login was refused"),
        );
        for part in [
            "ACCESS_REFUSED - Login was refused",
            "user `shop`",
            "check user and password",
        ] {
            assert!(access.contains(part), "{access}");
        }
    }

    #[test]
    fn a_hang_up_is_told_by_when_it_comes() {
        let before = told(Step::Greeting, LoginError::HungUp);
        for part in [
            "before the login",
            "a live server",
            "PROXY",
            "not about user",
        ] {
            assert!(before.contains(part), "{before}");
        }
        let during = told(Step::Credentials, LoginError::HungUp);
        assert!(
            during.contains("access is refused for user `shop`"),
            "{during}"
        );
    }

    #[test]
    fn another_protocol_is_told_by_its_name() {
        for (sent, name) in [
            (&b"AMQP\x00\x01\x00\x00"[..], "AMQP 1.0"),
            (b"AMQP\x00\x00\x08\x00", "another version of AMQP"),
            (b"HTTP/1.1 400 Bad Request\r\n", "speaks HTTP"),
            (b"\x15\x03\x03\x00\x02\x02\x0a", "speaks TLS"),
            (b"SSH-2.0-OpenSSH", "`SSH-2.0-OpenSSH`"),
        ] {
            let told = told(Step::Greeting, LoginError::NotAmqp(sent.to_vec()));
            assert!(told.contains(name), "{told}");
        }
        let external = told(Step::Greeting, LoginError::NoPlain("EXTERNAL".to_owned()));
        assert!(external.contains("auth_mechanism=external"), "{external}");
    }
}
