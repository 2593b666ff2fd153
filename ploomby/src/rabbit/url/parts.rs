use std::{fmt, net::Ipv6Addr};

use percent_encoding::percent_decode_str;

use super::{
    error::{Fault, HostFault},
    number,
};

/// A part of a URL, as errors name it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    User,
    Password,
    Host,
    Vhost,
    Parameters,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "the user",
            Self::Password => "the password",
            Self::Host => "the host",
            Self::Vhost => "the virtual host",
            Self::Parameters => "the list of parameters",
        })
    }
}

/// Undoes the percent-encoding of a part. What cannot stand there as it is, is refused, since it would be taken for
/// something else than was meant.
pub(super) fn decode(part: Part, text: &str) -> Result<String, Fault> {
    // a name of a connection or a file may have what the other parts may not
    let is_list = matches!(part, Part::Parameters);
    for (at, (byte, character)) in text.char_indices().enumerate() {
        let refused = match character {
            '\n' | '\r' => Some((
                "a line break",
                "cut it off where the value comes from a file (`password_file` does so), or write it as %0A or \
                 %0D",
            )),
            ' ' if !is_list => Some(("a space", "write it as %20")),
            character if character.is_control() || (character.is_whitespace() && !is_list) => {
                Some(("a character that does not show", "write it percent-encoded"))
            }
            '{' | '}' if !is_list => Some((
                "a brace",
                "replace the variable by its value, or write braces as %7B and %7D",
            )),
            '%' if !is_encoded(&text.as_bytes()[byte..]) => Some((
                "a `%` without two hexadecimal digits behind it",
                "write a percent sign as %25",
            )),
            _ => None,
        };
        if let Some((what, remedy)) = refused {
            return Err(Fault::Character {
                part,
                what,
                at: at + 1,
                remedy,
            });
        }
    }
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Fault::NotUtf8(part))
}

fn is_encoded(text: &[u8]) -> bool {
    matches!(text, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// `host1:5672,[::1]`; nothing at all is `localhost`. An address of IPv6 keeps its brackets.
pub(super) fn hosts(text: &str, default_port: u16) -> Result<Vec<(String, u16)>, Fault> {
    let is_alone = !text.contains(',');
    let each = text
        .split(',')
        .map(|text| host(text, default_port, is_alone));
    each.collect()
}

fn host(text: &str, default_port: u16, is_alone: bool) -> Result<(String, u16), Fault> {
    read_host(text, default_port, is_alone).map_err(|cause| Fault::Host {
        host: shown(text),
        cause,
    })
}

fn read_host(text: &str, default_port: u16, is_alone: bool) -> Result<(String, u16), HostFault> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, behind) = rest.split_once(']').ok_or(HostFault::Ipv6)?;
            address.parse::<Ipv6Addr>().map_err(|_| HostFault::Ipv6)?;
            let port = match behind {
                "" => "",
                behind => behind.strip_prefix(':').ok_or(HostFault::Port)?,
            };
            (format!("[{address}]"), port)
        }
        None if text.parse::<Ipv6Addr>().is_ok() => return Err(HostFault::Brackets),
        None => {
            let (name, port) = text.split_once(':').unwrap_or((text, ""));
            (host_name(name, is_alone)?, port)
        }
    };
    let port = match port {
        "" => default_port,
        port => number(port)
            .filter(|&port| port > 0)
            .ok_or(HostFault::Port)?,
    };
    Ok((name, port))
}

fn host_name(text: &str, is_alone: bool) -> Result<String, HostFault> {
    const LONGEST: usize = 253;
    const LONGEST_LABEL: usize = 63;

    if text.is_empty() && is_alone {
        return Ok("localhost".to_owned());
    }
    if text.contains(['{', '}']) || text.starts_with('$') {
        return Err(HostFault::Variable);
    }
    let name = decode(Part::Host, text).map_err(|_| HostFault::Name)?;
    if name.contains([';', '|']) {
        return Err(HostFault::Separator);
    }
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !name.bytes().all(is_of_name) {
        return Err(HostFault::Name);
    }
    // a name that ends in a dot is completed with no domain
    let mut labels = name.strip_suffix('.').unwrap_or(&name).split('.');
    if labels.clone().any(str::is_empty) {
        return Err(HostFault::Empty);
    }
    if name.len() > LONGEST || labels.any(|label| label.len() > LONGEST_LABEL) {
        return Err(HostFault::Length);
    }
    Ok(name)
}

/// The host without its port: where the host was forgotten, that is the password.
fn shown(host: &str) -> String {
    let is_address = host.starts_with('[') || host.parse::<Ipv6Addr>().is_ok();
    match host.split_once(':') {
        Some((name, _)) if !is_address => name.to_owned(),
        _ => host.to_owned(),
    }
}

/// The one part of the path, with a name of its own by the letter: `..` is one.
pub(super) fn vhost(path: &str) -> Result<String, Fault> {
    const LONGEST: usize = 255;

    let name = path.strip_prefix('/').unwrap_or(path);
    if name.contains('/') {
        return Err(Fault::VhostParts);
    }
    let name = decode(Part::Vhost, name)?;
    if name.len() > LONGEST {
        return Err(Fault::TooLong(Part::Vhost));
    }
    Ok(match name.is_empty() {
        true => "/".to_owned(),
        false => name,
    })
}
