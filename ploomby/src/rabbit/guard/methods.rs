use super::wire::{Overrun, Reader};

/// Class and method, as AMQP numbers them.
pub(super) type Method = (u16, u16);

pub(super) const CONNECTION_START: Method = (10, 10);
pub(super) const CONNECTION_START_OK: Method = (10, 11);
pub(super) const CONNECTION_SECURE: Method = (10, 20);
pub(super) const CONNECTION_TUNE: Method = (10, 30);
pub(super) const CONNECTION_TUNE_OK: Method = (10, 31);
pub(super) const CONNECTION_OPEN: Method = (10, 40);
pub(super) const CONNECTION_OPEN_OK: Method = (10, 41);
pub(super) const CONNECTION_CLOSE: Method = (10, 50);
pub(super) const CONNECTION_CLOSE_OK: Method = (10, 51);
pub(super) const CONNECTION_UPDATE_SECRET_OK: Method = (10, 71);
pub(super) const CONNECTION_BLOCKED: Method = (10, 60);
pub(super) const CONNECTION_UNBLOCKED: Method = (10, 61);
pub(super) const CHANNEL_OPEN: Method = (20, 10);
pub(super) const CHANNEL_OPEN_OK: Method = (20, 11);
pub(super) const CHANNEL_FLOW: Method = (20, 20);
pub(super) const CHANNEL_CLOSE: Method = (20, 40);
pub(super) const CHANNEL_CLOSE_OK: Method = (20, 41);
pub(super) const BASIC_PUBLISH: Method = (60, 40);
pub(super) const BASIC_RETURN: Method = (60, 50);
pub(super) const BASIC_DELIVER: Method = (60, 60);
pub(super) const BASIC_CANCEL: Method = (60, 30);
pub(super) const BASIC_ACK: Method = (60, 80);
pub(super) const BASIC_NACK: Method = (60, 120);

/// The class of the methods of a connection.
pub(super) const CONNECTION: u16 = 10;

/// The class of content headers.
pub(super) const BASIC: u16 = 60;

/// A method's number, and its arguments behind it.
pub(super) fn split(payload: &[u8]) -> Result<(Method, &[u8]), Overrun> {
    let mut reader = Reader(payload);
    let method = (reader.u16()?, reader.u16()?);
    Ok((method, reader.0))
}

/// An argument of a method, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    /// A short string.
    Text,
    /// A long string.
    Long,
    /// So many bytes that are no string: numbers, and octets of flags.
    Bytes(usize),
}

/// The arguments of a method that a broker may send to a client that has logged in; `None` where there is
/// no such method.
///
/// Source: the [complete reference](https://www.rabbitmq.com/amqp-0-9-1-reference).
pub(super) fn from_broker(method: Method) -> Option<&'static [Argument]> {
    use Argument::{Bytes, Long, Text};

    Some(match method {
        BASIC_DELIVER => &[Text, Bytes(8 + 1), Text, Text],
        BASIC_ACK | BASIC_NACK => &[Bytes(8 + 1)],
        BASIC_RETURN => &[Bytes(2), Text, Text, Text],
        BASIC_CANCEL => &[Text, Bytes(1)],
        CONNECTION_CLOSE | CHANNEL_CLOSE => &[Bytes(2), Text, Bytes(2 + 2)],
        CONNECTION_BLOCKED => &[Text],
        CHANNEL_OPEN_OK => &[Long],
        CHANNEL_FLOW => &[Bytes(1)],
        // queue.declare-ok
        (50, 11) => &[Text, Bytes(4 + 4)],
        // queue.purge-ok and queue.delete-ok
        (50, 31 | 41) => &[Bytes(4)],
        // basic.consume-ok and basic.cancel-ok
        (60, 21 | 31) => &[Text],
        CONNECTION_CLOSE_OK
        | CONNECTION_UPDATE_SECRET_OK
        | CONNECTION_UNBLOCKED
        | CHANNEL_CLOSE_OK => &[],
        // exchange.declare-ok, delete-ok, bind-ok, unbind-ok
        (40, 11 | 21 | 31 | 51) => &[],
        // queue.bind-ok, queue.unbind-ok, basic.qos-ok, confirm.select-ok
        (50, 21 | 51) | (60 | 85, 11) => &[],
        _ => return None,
    })
}

/// Whether a method of the broker answers the one that has this number less one, and comes unasked never.
pub(super) fn is_answer((class, method): Method) -> bool {
    class != CONNECTION && method % 10 == 1
        || matches!(
            (class, method),
            CONNECTION_CLOSE_OK | CONNECTION_UPDATE_SECRET_OK
        )
}
