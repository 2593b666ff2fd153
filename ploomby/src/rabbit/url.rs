use std::{fmt, path::PathBuf, time::Duration};

use percent_encoding::percent_decode_str;
use thiserror::Error;
use url::Url;

/// `amqp://user:password@host1:5672,host2/vhost?heartbeat=20&connection_name=shop`, read.
///
/// After the [RabbitMQ URI specification](https://www.rabbitmq.com/docs/uri-spec), with several
/// hosts, as other clients take them. `/` alone means the virtual host `/`, not the one without a
/// name.
#[derive(Clone)]
pub(crate) struct RabbitUrl {
    pub(super) hosts: Vec<(String, u16)>,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) vhost: String,
    pub(super) heartbeat: u16,
    pub(super) connection_name: String,
    pub(super) connect_timeout: Duration,
    /// With `amqps://`.
    pub(super) tls: Option<Box<TlsParameters>>,
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

/// A broker's address that cannot be used. It never shows the password.
#[derive(Debug, Error)]
#[error("the broker's URL cannot be used: {0}")]
pub struct UrlError(Fault);

#[derive(Debug, Error)]
enum Fault {
    #[error("expected amqp://host:5672/vhost, amqps://host:5671/vhost or memory://name")]
    Scheme,
    #[cfg(not(feature = "tls"))]
    #[error("amqps:// needs the feature `tls` of ploomby, turn it on in Cargo.toml")]
    Tls,
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] super::tls::TlsError),
    #[error("the parameter `{0}` is for amqps:// only")]
    TlsParameter(String),
    #[error(
        "a broker that is not verified could be anybody: leave `verify` at verify_peer, and name \
         the authority that signed its certificate with `cacertfile`"
    )]
    Unverified,
    #[error("`{host}` is not a host with an optional port: {cause}")]
    Host {
        host: String,
        cause: url::ParseError,
    },
    #[error(
        "there is an `@` behind the host: in user and password, write / as %2F, ? as %3F, # as %23 \
         and @ as %40; in the rest, write @ as %40"
    )]
    Unescaped,
    #[error("the {0} is not UTF-8 once its percent-encoding is undone")]
    NotUtf8(&'static str),
    #[error("the {0} is over 255 bytes")]
    TooLong(&'static str),
    #[error("the virtual host has more than one part, write a `/` in its name as %2F")]
    VhostParts,
    #[error("`#` starts a fragment, write it as %23")]
    Fragment,
    #[error(
        "unknown parameter `{0}`, known are heartbeat, connection_name and connection_timeout, \
         with amqps:// also cacertfile, certfile, keyfile, server_name_indication and verify"
    )]
    Parameter(String),
    #[error("the parameter `{name}` is not {expected}")]
    Value {
        name: &'static str,
        expected: &'static str,
    },
}

impl RabbitUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        Self::read(text).map_err(UrlError)
    }

    fn read(text: &str) -> Result<Self, Fault> {
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
        let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        // the rest is the same for every host
        let common = Url::parse(&format!("amqp://host{tail}")).map_err(|cause| Fault::Host {
            host: shown(hosts),
            cause,
        })?;
        if common.fragment().is_some() {
            return Err(Fault::Fragment);
        }
        let mut url = Self {
            hosts: hosts
                .split(',')
                .map(|text| host(text, port))
                .collect::<Result<_, _>>()?,
            user: decode("user", user)?,
            password: decode("password", password)?,
            vhost: vhost(common.path())?,
            heartbeat: DEFAULT_HEARTBEAT,
            connection_name: "ploomby".to_owned(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            tls,
        };
        if credentials.is_empty() {
            "guest".clone_into(&mut url.user);
            "guest".clone_into(&mut url.password);
        }
        for (name, value) in common.query_pairs() {
            url.set(&name, &value)?;
        }
        // what is wrong with the files is told now, not at each try to connect
        #[cfg(feature = "tls")]
        if let Some(tls) = &url.tls {
            for (host, _) in &url.hosts {
                super::tls::adaptor(tls, host)?;
            }
        }
        Ok(url)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        match name {
            // amqprs sends heartbeats without a pause below 2
            "heartbeat" => {
                self.heartbeat =
                    value
                        .parse()
                        .ok()
                        .filter(|&seconds| seconds >= 2)
                        .ok_or(Fault::Value {
                            name: "heartbeat",
                            expected: "a number of seconds from 2 to 65535",
                        })?;
            }
            "connection_name" | "name" => value.clone_into(&mut self.connection_name),
            "connection_timeout" => {
                let milliseconds = value
                    .parse()
                    .ok()
                    .filter(|&ms| ms > 0)
                    .ok_or(Fault::Value {
                        name: "connection_timeout",
                        expected: "a number of milliseconds above 0",
                    })?;
                self.connect_timeout = Duration::from_millis(milliseconds);
            }
            "cacertfile" | "certfile" | "keyfile" | "server_name_indication" | "verify" => {
                match &mut self.tls {
                    Some(tls) => tls.set(name, value)?,
                    None => return Err(Fault::TlsParameter(name.to_owned())),
                }
            }
            other => return Err(Fault::Parameter(other.to_owned())),
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

fn host(text: &str, default_port: u16) -> Result<(String, u16), Fault> {
    if text.is_empty() {
        return Ok(("localhost".to_owned(), default_port));
    }
    let fault = |cause| Fault::Host {
        host: shown(text),
        cause,
    };
    let url = Url::parse(&format!("amqp://{text}")).map_err(fault)?;
    let host = url
        .host_str()
        .ok_or_else(|| fault(url::ParseError::EmptyHost))?;
    Ok((decode("host", host)?, url.port().unwrap_or(default_port)))
}

/// The host without its port: where the host was forgotten, that is the password.
fn shown(host: &str) -> String {
    match host.split_once(':') {
        Some((name, _)) if !host.starts_with('[') => name.to_owned(),
        _ => host.to_owned(),
    }
}

fn vhost(path: &str) -> Result<String, Fault> {
    let name = path.strip_prefix('/').unwrap_or(path);
    if name.contains('/') {
        return Err(Fault::VhostParts);
    }
    let name = decode("virtual host", name)?;
    if name.len() > 255 {
        return Err(Fault::TooLong("virtual host"));
    }
    Ok(if name.is_empty() {
        "/".to_owned()
    } else {
        name
    })
}

fn decode(what: &'static str, text: &str) -> Result<String, Fault> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Fault::NotUtf8(what))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> RabbitUrl {
        RabbitUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let url = parse("amqp://");
        assert_eq!(url.hosts, [("localhost".to_owned(), 5672)]);
        assert_eq!(
            (url.user.as_str(), url.password.as_str()),
            ("guest", "guest")
        );
        assert_eq!(url.vhost, "/");
        assert_eq!(url.heartbeat, 20);
        assert_eq!(parse("amqp://rabbit/").vhost, "/");
    }

    #[test]
    fn every_part_is_percent_decoded() {
        let url = parse("amqp://us%40er:p%3Ass%2F@h:1/a%2Fb%20c?connection_name=my%20shop");
        assert_eq!(
            (url.user.as_str(), url.password.as_str()),
            ("us@er", "p:ss/")
        );
        assert_eq!(url.vhost, "a/b c");
        assert_eq!(url.connection_name, "my shop");
    }

    #[test]
    fn several_hosts_and_ipv6_are_understood() {
        let url = parse("amqp://u:p@n1,n2:5673,[::1]:5674,[fe80::1]/v?heartbeat=5");
        let hosts = [
            ("n1".to_owned(), 5672),
            ("n2".to_owned(), 5673),
            ("[::1]".to_owned(), 5674),
            ("[fe80::1]".to_owned(), 5672),
        ];
        assert_eq!(url.hosts, hosts);
        assert_eq!(url.heartbeat, 5);
    }

    #[test]
    fn a_password_with_an_at_sign_is_taken_whole() {
        assert_eq!(parse("amqp://u:p@ss@h").password, "p@ss");
    }

    #[test]
    fn what_is_wrong_is_named_and_the_password_never_shown() {
        for (text, part) in [
            ("localhost:5672", "expected amqp://"),
            ("http://u:secret@h", "expected amqp://"),
            #[cfg(not(feature = "tls"))]
            ("amqps://u:secret@h", "the feature `tls`"),
            #[cfg(feature = "tls")]
            ("amqps://u:secret@h?verify=verify_none", "verify_peer"),
            #[cfg(feature = "tls")]
            (
                "amqps://u:secret@h?cacertfile=/no/such/file",
                "`/no/such/file`",
            ),
            #[cfg(feature = "tls")]
            ("amqps://u:secret@h?certfile=/c.pem", "`keyfile`"),
            ("amqp://u:secret@h?cacertfile=/ca.pem", "amqps:// only"),
            ("amqp://u:secret@h:port", "`h` is not"),
            ("amqp://u:secret@h:99999", "`h` is not"),
            // the host was forgotten
            ("amqp://u:secret", "`u` is not"),
            ("amqp://u:secret@h,[::1/v", "`[::1`"),
            ("amqp://u:secret@a b", "`a b`"),
            ("amqp://u:secret/secret@h/v", "%2F"),
            ("amqp://u:se?secret@h", "%3F"),
            ("amqp://u:12/secret@h", "%2F"),
            ("amqp://u:secret@h/a/b", "%2F"),
            ("amqp://u:secret@h/v#x", "%23"),
            ("amqp://u:secret%ff@h", "password"),
            ("amqp://u:secret@h/%ff", "virtual host"),
            ("amqp://u:secret@h?heartbeat=0", "heartbeat"),
            ("amqp://u:secret@h?heartbeat=fast", "heartbeat"),
            (
                "amqp://u:secret@h?connection_timeout=0",
                "connection_timeout",
            ),
            ("amqp://u:secret@h?ssl=1", "unknown parameter `ssl`"),
        ] {
            let error = RabbitUrl::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("secret"), "{text}: {error}");
        }
        assert!(!format!("{:?}", parse("amqp://u:secret@h")).contains("secret"));
    }
}
