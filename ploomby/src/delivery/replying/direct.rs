//! The names that RabbitMQ makes of `amq.rabbitmq.reply-to`, which is no queue: a reply to such a name goes to
//! the channel that its request came over.
//!
//! A name is `amq.rabbitmq.reply-to.`, then the Erlang process of the channel as a term in base64, a dot, and a
//! secret key in base64. RabbitMQ reads the term as it comes, and answers what is none with an internal error
//! that closes the connection of who replies; before 4.0, also a process of a node that it does not know, or with
//! a number that is larger than those of Erlang's of old. So such a name is looked at first.
//!
//! Source: [direct reply-to](https://www.rabbitmq.com/docs/direct-reply-to); `rabbit_direct_reply_to` and
//! `pid_recomposition` in RabbitMQ; [external term format](https://www.erlang.org/doc/apps/erts/erl_ext_dist).

const PREFIX: &str = "amq.rabbitmq.reply-to";

/// Whether a name is meant as one of these, well-formed or not.
pub(super) fn is_meant(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Whether a name is meant as one of these, and RabbitMQ never made it.
pub(crate) fn is_malformed(name: &str) -> bool {
    is_meant(name) && !is_well_formed(name)
}

/// Whether RabbitMQ may have made the name.
pub(crate) fn is_well_formed(name: &str) -> bool {
    process(name).is_some()
}

/// The node of a well-formed name, if its numbers are ones that any RabbitMQ takes of a node that it knows.
pub(crate) fn node(name: &str) -> Option<Vec<u8>> {
    const IDS: u32 = 1 << 15;
    const SERIALS: u32 = 1 << 13;

    let Process { node, id, serial } = process(name)?;
    (id < IDS && serial < SERIALS).then_some(node)
}

fn process(name: &str) -> Option<Process> {
    let rest = name.strip_prefix(PREFIX)?.strip_prefix('.')?;
    let (process, key) = rest.split_once('.')?;
    let is_digit = |byte| byte == b'=' || digit(byte).is_some();
    if key.is_empty() || !key.bytes().all(is_digit) {
        return None;
    }
    read(&decoded(process)?)
}

/// What an Erlang process is named by.
struct Process {
    node: Vec<u8>,
    id: u32,
    serial: u32,
}

/// A name as RabbitMQ makes them, with this key.
pub(crate) fn name(key: u128) -> String {
    const NODE: &[u8] = b"reply@memory";
    let node = [&[VERSION, NEW_PID, SMALL_UTF8_ATOM, 12], NODE].concat();
    let process = encoded(&[&node[..], &[0; 12]].concat());
    format!("{PREFIX}.{process}.{}", encoded(&key.to_be_bytes()))
}

const VERSION: u8 = 131;
const NEW_PID: u8 = 88;
const PID: u8 = 103;
const SMALL_UTF8_ATOM: u8 = 119;
const UTF8_ATOM: u8 = 118;
const SMALL_ATOM: u8 = 115;
const ATOM: u8 = 100;

/// The Erlang process that these bytes are, and nothing more.
fn read(term: &[u8]) -> Option<Process> {
    let (&[VERSION, kind], rest) = term.split_first_chunk()? else {
        return None;
    };
    // three numbers, of which the last has one byte in the older form
    let numbers = match kind {
        NEW_PID => 12,
        PID => 9,
        _ => return None,
    };
    let (&atom, rest) = rest.split_first()?;
    let (len, rest) = match atom {
        SMALL_UTF8_ATOM | SMALL_ATOM => {
            let (&len, rest) = rest.split_first()?;
            (usize::from(len), rest)
        }
        UTF8_ATOM | ATOM => {
            let (&len, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(len)), rest)
        }
        _ => return None,
    };
    let (node, rest) = rest.split_at_checked(len)?;
    let (name, host) = std::str::from_utf8(node).ok()?.split_once('@')?;
    // Erlang's atoms have 255 characters at most
    let is_node = !name.is_empty() && !host.is_empty() && node.len() <= 255;
    if !is_node || rest.len() != numbers {
        return None;
    }
    let (&id, rest) = rest.split_first_chunk()?;
    let (&serial, _) = rest.split_first_chunk()?;
    Some(Process {
        node: node.to_vec(),
        id: u32::from_be_bytes(id),
        serial: u32::from_be_bytes(serial),
    })
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn digit(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

/// What base64 stands for, padded as Erlang does it.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if text.len() % 4 != 0 || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in digits.as_bytes().chunks(4) {
        let mut bits = 0;
        for byte in group {
            bits = bits << 6 | digit(*byte)?;
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

fn encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(padded);
        for at in 0..4 {
            let digit = bits >> (18 - 6 * at) & 63;
            let is_there = at <= u32::try_from(group.len()).unwrap_or(3);
            text.push(match usize::try_from(digit) {
                Ok(digit) if is_there => char::from(DIGITS[digit]),
                _ => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rabbitmq_are_well_formed() {
        // of 3.10 and 4.0, and of before
        for name in [
            "amq.rabbitmq.reply-to.g1h3D3JlcGx5QDEyMzQ1Njc4OQAAAvwAAAAAZ1mF6g==.kLQ6NfIq4wJyYcAfvGQJVw==",
            "amq.rabbitmq.reply-to.g2dkABByYWJiaXRAbG9jYWxob3N0AAAC/AAAAAAD.JyYcAfvGQJ",
        ] {
            assert!(is_well_formed(name), "{name}");
        }
        assert!(is_well_formed(&name(0)));
        assert!(is_well_formed(&name(u128::MAX)));
        assert_ne!(name(1), name(2));
    }

    #[test]
    fn what_is_no_erlang_process_is_not() {
        let good = name(7);
        let (process, key) = good[PREFIX.len() + 1..].split_once('.').unwrap();
        let with = |process: &str| format!("{PREFIX}.{process}.{key}");
        assert!(is_well_formed(&with(process)));
        let term = decoded(process).unwrap();
        let mut longer = term.clone();
        longer.push(0);
        let mut fun = term.clone();
        fun[1] = 112;
        let mut without_host = term.clone();
        without_host[9] = b'x';
        for wrong in [
            &term[..term.len() - 1],
            &longer,
            &fun,
            &without_host,
            b"",
            b"\x83",
        ] {
            assert!(!is_well_formed(&with(&encoded(wrong))), "{wrong:?}");
        }
        for wrong in ["", "g2gCdwA=", "====", "g1h3", &process[1..], "g1h3\n", "é"] {
            assert!(!is_well_formed(&with(wrong)), "{wrong}");
        }
        for wrong in [
            PREFIX.to_owned(),
            format!("{PREFIX}."),
            format!("{PREFIX}.{process}"),
            format!("{PREFIX}.{process}."),
            format!("{PREFIX}{process}.{key}"),
            format!("{PREFIX}.{process}.{key}.{key}"),
            format!("{PREFIX}.{process}.{key} "),
            format!("{PREFIX}.{}", "A".repeat(230)),
        ] {
            assert!(!is_well_formed(&wrong), "{wrong}");
        }
    }

    #[test]
    fn a_node_is_told_where_the_numbers_are_small() {
        let good = name(7);
        assert_eq!(node(&good).as_deref(), Some(&b"reply@memory"[..]));
        let (process, _) = good[PREFIX.len() + 1..].split_once('.').unwrap();
        for (at, byte) in [(16, 1), (18, 0x80), (20, 1), (22, 0x20)] {
            let mut term = decoded(process).unwrap();
            term[at] = byte;
            let large = format!("{PREFIX}.{}.AAAA", encoded(&term));
            assert!(is_well_formed(&large));
            assert_eq!(node(&large), None, "{at}");
        }
    }

    #[test]
    fn base64_is_read_as_it_is_written() {
        for bytes in [&b""[..], b"f", b"fo", b"foo", b"foob", &[0xff; 7]] {
            assert_eq!(decoded(&encoded(bytes)).as_deref(), Some(bytes));
        }
        assert_eq!(encoded(b"fooba"), "Zm9vYmE=");
    }
}
