use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use url::form_urlencoded;

use super::connector::Outage;

pub use self::error::UrlError;
pub(super) use self::password::{Password, PasswordError};
use self::{
    error::Fault,
    parts::{Part, decode, hosts, vhost},
};
use super::credentials::Ask;
use crate::stage::Stage;
#[cfg(feature = "testing")]
use crate::stage::given;

mod error;
mod parts;
mod password;
#[cfg(test)]
mod tests;

/// `amqp://user:password@host1:5672,host2/vhost?heartbeat=20&connection_name=shop`, read.
///
/// After the [RabbitMQ URI specification](https://www.rabbitmq.com/docs/uri-spec), by the letter, with several
/// hosts, as other clients take them. There is one exception: `/` alone means the virtual host `/`, not the one
/// without a name.
#[derive(Clone)]
pub(crate) struct RabbitUrl {
    /// At least one.
    pub(super) hosts: Vec<(String, u16)>,
    pub(super) user: String,
    pub(super) password: Password,
    pub(super) vhost: String,
    pub(super) heartbeat: u16,
    pub(super) connection_name: String,
    pub(super) connect_timeout: Duration,
    /// How long the first connection may be tried.
    pub(super) wait_for_broker: Option<Duration>,
    /// With `amqps://`.
    pub(super) tls: Option<Box<TlsParameters>>,
    /// The certificate says who connects, in the place of user and password.
    pub(super) is_external: bool,
    /// What all connections to this broker know of its absence, whichever of them found out.
    pub(super) outage: Arc<Outage>,
    /// Where messages are handled.
    pub(super) stage: Stage,
}

/// What an `amqps://` URL says of certificates, by the names of RabbitMQ's [URI query
/// parameters](https://www.rabbitmq.com/docs/uri-query-parameters).
#[derive(Clone, Default)]
pub(super) struct TlsParameters {
    pub(super) authorities: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) server_name: Option<String>,
}

const DEFAULT_PORT: u16 = 5672;
const DEFAULT_TLS_PORT: u16 = 5671;

/// RabbitMQ recommends 5 to 20 seconds: <https://www.rabbitmq.com/docs/heartbeats>.
const DEFAULT_HEARTBEAT: u16 = 20;

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl RabbitUrl {
    /// With who logs in asked for each time, instead of what the URL says.
    pub(crate) fn asking(mut self, ask: Ask) -> Self {
        self.password = Password::Asked(ask);
        self
    }

    /// With the first connection tried for so long, whatever the URL says.
    pub(crate) fn waiting(mut self, limit: Duration) -> Self {
        self.wait_for_broker = Some(limit);
        self
    }

    /// Who connects and where to, without the password.
    pub(crate) fn described(&self) -> String {
        let hosts = self
            .hosts
            .iter()
            .map(|(host, port)| format!("{host}:{port}"));
        let hosts = hosts.collect::<Vec<_>>().join(", ");
        let (user, vhost) = (&self.user, &self.vhost);
        match self.is_external {
            true => format!("by certificate at {hosts}, virtual host `{vhost}`"),
            false => format!("user `{user}` at {hosts}, virtual host `{vhost}`"),
        }
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether a host is another machine, as far as its name says.
    pub(crate) fn leaves_the_machine(&self) -> bool {
        let is_here = |host: &str| {
            let host = host.trim_matches(['[', ']']);
            let address = host.parse::<std::net::IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        };
        !self.hosts.iter().all(|(host, _)| is_here(host))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        Self::read(text).map_err(UrlError)
    }

    /// Nothing is resolved, completed or cleaned up, as a reader of web addresses would do: `..` is the name of a
    /// virtual host like any other.
    fn read(text: &str) -> Result<Self, Fault> {
        // around the whole it has no meaning, and comes with files and variables
        let text = text.trim();
        let (rest, tls, port) = match text.split_once("://") {
            Some(("amqp", rest)) => (rest, None, DEFAULT_PORT),
            Some(("amqps", rest)) => (rest, Some(Box::default()), DEFAULT_TLS_PORT),
            _ => return Err(Fault::Scheme),
        };
        #[cfg(not(feature = "tls"))]
        if tls.is_some() {
            return Err(Fault::Tls);
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        // the one that ends the credentials is behind a `/` of the password, most likely
        if tail.contains('@') {
            return Err(Fault::Unescaped);
        }
        if tail.contains('#') {
            return Err(Fault::Fragment);
        }
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let (credentials, hosts_text) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        let (user, password) = match credentials {
            None => ("guest".to_owned(), Some("guest".to_owned())),
            Some(credentials) => {
                let (user, password) = match credentials.split_once(':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (credentials, None),
                };
                let password = password.map(|password| decode(Part::Password, password));
                (decode(Part::User, user)?, password.transpose()?)
            }
        };
        let is_given = credentials.is_some() && password.is_some();
        let mut url = Self {
            hosts: hosts(hosts_text, port)?,
            user,
            password: Password::Given(password.unwrap_or_default()),
            vhost: vhost(path)?,
            heartbeat: DEFAULT_HEARTBEAT,
            connection_name: "ploomby".to_owned(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            wait_for_broker: None,
            tls,
            is_external: false,
            outage: Arc::default(),
            stage: Stage::default(),
        };
        // as of the other parts, so that a line break is told and not kept
        decode(Part::Parameters, query)?;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            url.set(&name, &value)?;
        }
        url.check(credentials.is_some(), is_given)?;
        Ok(url)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        match name {
            // amqprs sends heartbeats without a pause below 2
            "heartbeat" => {
                self.heartbeat =
                    number(value)
                        .filter(|&seconds| seconds >= 2)
                        .ok_or(Fault::Value {
                            name: "heartbeat",
                            expected: "a number of seconds from 2 to 65535",
                        })?;
            }
            "connection_name" | "name" => value.clone_into(&mut self.connection_name),
            "connection_timeout" => {
                let milliseconds = number(value).filter(|&ms| ms > 0).ok_or(Fault::Value {
                    name: "connection_timeout",
                    expected: "a number of milliseconds above 0",
                })?;
                self.connect_timeout = Duration::from_millis(milliseconds);
            }
            "wait_for_broker" => {
                let seconds = number(value).ok_or(Fault::Value {
                    name: "wait_for_broker",
                    expected: "a number of seconds",
                })?;
                self.wait_for_broker = Some(Duration::from_secs(seconds));
            }
            "password_file" => self.password = Password::File(value.into()),
            "auth_mechanism" => {
                self.is_external = match value.to_ascii_lowercase().as_str() {
                    "plain" => false,
                    "external" if self.tls.is_some() => true,
                    "external" => return Err(Fault::TlsParameter("auth_mechanism".to_owned())),
                    _ => {
                        return Err(Fault::Value {
                            name: "auth_mechanism",
                            expected: "plain or external",
                        });
                    }
                };
            }
            "cacertfile" | "certfile" | "keyfile" | "server_name_indication" | "verify" => {
                match &mut self.tls {
                    Some(tls) => tls.set(name, value)?,
                    None => return Err(Fault::TlsParameter(name.to_owned())),
                }
            }
            #[cfg(feature = "testing")]
            given::PARAMETER => {
                self.stage = given::find(value).ok_or(Fault::Value {
                    name: given::PARAMETER,
                    expected: "what `TestApp::url` says, as long as the test runs",
                })?;
            }
            other => return Err(Fault::Parameter(other.to_owned())),
        }
        Ok(())
    }

    /// What is wrong with the login and the files is told now, not at each try to connect.
    fn check(&self, has_user: bool, has_password: bool) -> Result<(), Fault> {
        if let Password::File(_) = self.password {
            if has_password {
                return Err(Fault::TwoPasswords);
            }
            if !has_user {
                return Err(Fault::PasswordWithoutUser);
            }
            self.password.read()?;
        }
        if self.user.is_empty() {
            return Err(Fault::NoUser);
        }
        let shows_none = self
            .tls
            .as_ref()
            .is_none_or(|tls| tls.certificate.is_none());
        if self.is_external && shows_none {
            return Err(Fault::NoCertificate);
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            for (name, _) in &self.hosts {
                super::tls::check(tls, name)?;
            }
        }
        Ok(())
    }
}

impl TlsParameters {
    fn set(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        match name {
            "cacertfile" => self.authorities = Some(value.into()),
            "certfile" => self.certificate = Some(value.into()),
            "keyfile" => self.key = Some(value.into()),
            // to RabbitMQ's own client, this turns off the check of the name
            "server_name_indication" if value == "disable" => return Err(Fault::Unverified),
            "server_name_indication" => self.server_name = Some(value.to_owned()),
            "verify" if value == "verify_peer" => {}
            "verify" => return Err(Fault::Unverified),
            other => return Err(Fault::Parameter(other.to_owned())),
        }
        Ok(())
    }
}

/// A number in digits alone, without the `+` that Rust would take.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

impl fmt::Debug for RabbitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitUrl")
            .field("hosts", &self.hosts)
            .field("vhost", &self.vhost)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
