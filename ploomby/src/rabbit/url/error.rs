use thiserror::Error;

use super::{parts::Part, password::PasswordError};

/// A broker's address that cannot be used. It never shows the password.
#[derive(Error)]
#[error("the broker's URL cannot be used: {0}")]
pub struct UrlError(pub(super) Fault);

#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error("expected amqp://host:5672/vhost, amqps://host:5671/vhost or memory://name")]
    Scheme,
    #[cfg(not(feature = "tls"))]
    #[error("amqps:// needs the feature `tls` of ploomby, turn it on in Cargo.toml")]
    Tls,
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] crate::rabbit::tls::TlsError),
    #[error("the parameter `{0}` is for amqps:// only")]
    TlsParameter(String),
    #[error(
        "a broker that is not verified could be anybody: leave `verify` at verify_peer, and name \
         the authority that signed its certificate with `cacertfile`"
    )]
    Unverified,
    #[error("`{host}` is not a host with an optional port: {cause}")]
    Host { host: String, cause: HostFault },
    #[error(
        "there is an `@` behind the host: in user and password, write / as %2F, ? as %3F, # as %23 \
         and @ as %40; in the rest, write @ as %40"
    )]
    Unescaped,
    #[error("{part} has {what} at character {at}: {remedy}")]
    Character {
        part: Part,
        what: &'static str,
        /// From 1, within the part.
        at: usize,
        remedy: &'static str,
    },
    #[error("{0} is not UTF-8 once its percent-encoding is undone")]
    NotUtf8(Part),
    #[error("{0} is over 255 bytes")]
    TooLong(Part),
    #[error("the virtual host has more than one part, write a `/` in its name as %2F")]
    VhostParts,
    #[error("`#` starts a fragment, write it as %23")]
    Fragment,
    #[error(
        "there is nothing before the `@`: name a user, or leave out the `@`, for the user guest"
    )]
    NoUser,
    #[error("the password is given twice: leave it out of the URL, or leave out `password_file`")]
    TwoPasswords,
    #[error(
        "`password_file` needs a user: name the user before the host, as in \
         amqp://user@host?password_file=…"
    )]
    PasswordWithoutUser,
    #[error("`auth_mechanism=external` needs a certificate to show, with `certfile` and `keyfile`")]
    NoCertificate,
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(
        "unknown parameter `{0}`, known are heartbeat, connection_name, connection_timeout, wait_for_broker, auth_mechanism \
         and password_file, with amqps:// also cacertfile, certfile, keyfile, server_name_indication and \
         verify"
    )]
    Parameter(String),
    #[error("the parameter `{name}` is not {expected}")]
    Value {
        name: &'static str,
        expected: &'static str,
    },
}

/// What is wrong with one host.
#[derive(Debug, Error)]
pub(super) enum HostFault {
    #[error("an empty one among several, leave out the comma")]
    Empty,
    #[error("several hosts are separated by commas")]
    Separator,
    #[error("the variable was not replaced by its value")]
    Variable,
    #[error("an IPv6 address stands in brackets, as in [::1]")]
    Brackets,
    #[error("the brackets hold no IPv6 address")]
    Ipv6,
    #[error("the port is not a number from 1 to 65535")]
    Port,
    #[error("a name of a host has letters, digits, `-`, `_` and dots; write others as `xn--…`")]
    Name,
    #[error("a name of a host has at most 253 characters, and each of its parts at most 63")]
    Length,
}

debug_is_text!(UrlError);
