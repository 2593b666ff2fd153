//! What `fuzz` has its hands on, and nothing else.

use super::{
    condition::Changing,
    frames::{Scanned, Scanner},
    judges::{FromBroker, FromClient, Shared},
    kept::Kept,
    mend,
    methods::{CHANNEL_OPEN, CHANNEL_OPEN_OK},
    restore,
    wire::Bytes,
};

/// Properties of a message as the client reads them; nothing where they are none.
pub fn mended(properties: &[u8]) -> Option<Vec<u8>> {
    let is_plain = mend::is_plain(properties).ok()?;
    let mended = mend::properties(Bytes::new(), properties, Kept::default());
    let mended = mended.expect("what was looked at can be read").0;
    assert_eq!(is_plain, mended == properties);
    Some(mended)
}

/// Properties of a message as they were before they were mended.
pub fn restored(properties: &[u8]) -> Vec<u8> {
    let restored = restore::properties(Bytes::new(), properties);
    restored.expect("what was mended can be read").0
}

/// What the client gets of these bytes of a broker, which come in pieces of this size, and why it gets no more.
pub fn passed(wire: &[u8], piece: usize) -> (Vec<u8>, Option<String>) {
    let shared = Shared::default();
    let (changing, _condition) = Changing::new("fuzz".to_owned());
    let asked = Bytes::method(1, CHANNEL_OPEN, &Bytes::new().short(b""));
    let asked = asked.raw(&Bytes::method(1, (60, 20), &Bytes::new()).0);
    let opened = Bytes::method(1, CHANNEL_OPEN_OK, &Bytes::new().long(b""));
    let mut client = Scanner::new(FromClient::new(&shared), usize::MAX);
    client.scan(&asked.0).expect("the client may say so");
    let mut scanner = Scanner::new(FromBroker::new(&shared, &changing), 1 << 17);
    scanner.scan(&opened.0).expect("it was asked");
    let (mut buffer, mut passed) = (Vec::new(), Vec::new());
    for piece in wire.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            let Scanned {
                pass,
                skip,
                instead,
            } = match scanner.scan(&buffer) {
                Ok(scanned) => scanned,
                Err(fault) => return (passed, Some(fault.to_string())),
            };
            passed.extend_from_slice(&buffer[..pass]);
            passed.extend(instead);
            buffer.drain(..pass + skip);
            if skip == 0 {
                break;
            }
        }
    }
    (passed, None)
}
