use std::panic::{AssertUnwindSafe, catch_unwind};

use amqprs::{BasicProperties, FieldTable};

use super::{
    condition::Changing,
    conversation::Conversation,
    fault::Fault,
    frames::{Scanned, Scanner},
    judges::{FromBroker, FromClient, Shared},
    kept::Kept,
    mend,
    methods::{BASIC_DELIVER, CHANNEL_OPEN, CHANNEL_OPEN_OK},
    restore, table,
    wire::{BODY, Bytes, END, HEADER, HEADER_PREFIX, HEARTBEAT, METHOD},
};

/// The number of the first delivery, which is not redelivered.
const FIRST: [u8; 9] = [0, 0, 0, 0, 0, 0, 0, 1, 0];

/// `café`, as a client sends it that knows no UTF-8.
const LATIN_1: &[u8] = b"caf\xE9";

fn mended(properties: &[u8]) -> Result<Vec<u8>, Fault> {
    mend::properties(Bytes::new(), properties, Kept::default()).map(|bytes| bytes.0)
}

fn restored(properties: &[u8]) -> Vec<u8> {
    restore::properties(Bytes::new(), properties)
        .expect("what was mended can be read")
        .0
}

/// Whether the client reads these properties; it panics on some.
fn is_read(properties: &[u8]) -> bool {
    let read = AssertUnwindSafe(|| amqp_serde::from_bytes::<BasicProperties>(properties).is_ok());
    matches!(catch_unwind(read), Ok(true))
}

#[test]
fn what_is_mended_is_read_by_the_client_and_comes_back_byte_for_byte() {
    let mut random = fastrand::Rng::with_seed(1);
    let (mut plain, mut mended_count, mut faults) = (0, 0, 0);
    for _ in 0..20_000 {
        let properties = random_properties(&mut random);
        match mend::is_plain(&properties) {
            Err(_) => {
                faults += 1;
                assert!(mended(&properties).is_err());
            }
            Ok(is_plain) => {
                *if is_plain {
                    &mut plain
                } else {
                    &mut mended_count
                } += 1;
                let mended = mended(&properties).expect("it was found to be right");
                assert!(is_read(&mended), "{}", mended.escape_ascii());
                assert_eq!(mended == properties, is_plain);
                assert_eq!(restored(&mended), properties);
            }
        }
    }
    assert!(
        plain > 300 && mended_count > 1_000 && faults > 1_000,
        "{plain}, {mended_count}, {faults}"
    );
}

#[test]
fn what_the_client_cannot_read_is_never_let_pass() {
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..20_000 {
        let table = random_table(&mut random, 3);
        if table::is_plain(&table) == Ok(true) {
            let wire = Bytes::new().long(&table).0;
            let read = AssertUnwindSafe(|| amqp_serde::from_bytes::<FieldTable>(&wire).is_ok());
            assert!(
                matches!(catch_unwind(read), Ok(true)),
                "{}",
                table.escape_ascii()
            );
        }
    }
}

#[test]
fn nesting_of_any_depth_becomes_bytes_below_a_limit() {
    for depth in [31, 32, 33, 5_000, 100_000] {
        let table = nested(depth);
        let properties = Bytes::new().u16(1 << 13).long(&table).0;
        assert_eq!(mend::is_plain(&properties), Ok(depth <= 32));
        let mended = mended(&properties).expect("it is right");
        assert!(is_read(&mended));
        assert_eq!(restored(&mended), properties);
    }
}

#[test]
fn strings_of_a_method_stand_in_the_header_that_follows_where_they_are_too_long() {
    let shared = Shared::default();
    let (changing, _condition) = Changing::new("test".to_owned());
    open_channel(&shared, &changing);
    let key = [0xE9; 255];
    let deliver = Bytes::new()
        .short(b"tag")
        .raw(&FIRST)
        .short(LATIN_1)
        .short(&key);
    let wire = Bytes::method(1, BASIC_DELIVER, &deliver).frame(HEADER, 1, &content_header(0));
    let passed = pass(&wire.0, FromBroker::new(&shared, &changing)).expect("it is right");
    assert!(!contains(&passed, &key));
    // the same header, from the client, and the key that it was told in a header of a copy
    let method = u32::from_be_bytes([passed[3], passed[4], passed[5], passed[6]]);
    let (_, header) = passed.split_at(7 + usize::try_from(method).expect("it is short") + 1);
    assert!(is_read(&header[7 + HEADER_PREFIX..header.len() - 1]));
    let back = pass(header, FromClient::new(&shared)).expect("it is right");
    let plain = Bytes::new().frame(HEADER, 1, &content_header(0));
    assert_eq!(back, plain.0);
}

fn content_header(size: u64) -> Vec<u8> {
    Bytes::new()
        .u16(60)
        .u16(0)
        .raw(&size.to_be_bytes())
        .u16(0)
        .0
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A channel on which the client consumes.
fn open_channel(shared: &Shared, changing: &Changing) {
    let open = Bytes::method(1, CHANNEL_OPEN, &Bytes::new().short(b""));
    let consume = Bytes::method(1, (60, 20), &Bytes::new());
    let client = pass(&open.raw(&consume.0).0, FromClient::new(shared));
    client.expect("the client may say so");
    let opened = Bytes::method(1, CHANNEL_OPEN_OK, &Bytes::new().long(b""));
    pass(&opened.0, FromBroker::new(shared, changing)).expect("it was asked");
}

/// What goes on of these bytes.
fn pass(wire: &[u8], judge: impl super::frames::Judge) -> Result<Vec<u8>, Fault> {
    let mut scanner = Scanner::new(judge, 1 << 17);
    let (mut rest, mut passed) = (wire, Vec::new());
    loop {
        let Scanned {
            pass,
            skip,
            instead,
        } = scanner.scan(rest)?;
        passed.extend_from_slice(&rest[..pass]);
        passed.extend(instead);
        rest = &rest[pass + skip..];
        if rest.is_empty() || skip == 0 {
            return Ok(passed);
        }
    }
}

/// What a broker is judged by that sends these bytes on a channel that consumes.
fn judged(wire: &Bytes) -> Result<Vec<u8>, Fault> {
    let shared = Shared::default();
    let (changing, _condition) = Changing::new("test".to_owned());
    open_channel(&shared, &changing);
    pass(&wire.0, FromBroker::new(&shared, &changing))
}

#[test]
fn frames_that_lie_are_told_apart() {
    let faults = [
        (Bytes::new().raw(b"HTTP/1.1 400"), Fault::Kind(b'H')),
        (
            Bytes::new().u8(METHOD).u16(0).u32(1 << 30),
            Fault::Length {
                len: 1 << 30,
                most: 1 << 17,
            },
        ),
        (
            Bytes::new().u8(METHOD).u16(0).long(b"abcd").u8(0),
            Fault::End,
        ),
        (Bytes::new().frame(METHOD, 0, b"a"), Fault::Overrun),
        (
            Bytes::method(0, (10, 99), &Bytes::new()),
            Fault::Method((10, 99)),
        ),
        (
            Bytes::method(1, (60, 21), &Bytes::new().u8(9)),
            Fault::Overrun,
        ),
        (
            Bytes::method(1, (60, 11), &Bytes::new().u8(9)),
            Fault::Excess,
        ),
        (
            Bytes::method(1, (60, 11), &Bytes::new()),
            Fault::Unasked {
                method: (60, 11),
                channel: 1,
            },
        ),
        (
            Bytes::method(7, (60, 80), &Bytes::new().raw(&FIRST)),
            Fault::Channel(7),
        ),
        (
            Bytes::method(
                1,
                BASIC_DELIVER,
                &Bytes::new()
                    .short(b"t")
                    .raw(&[0xFF; 9])
                    .short(b"")
                    .short(b"q"),
            ),
            Fault::Tag(u64::MAX),
        ),
        (Bytes::new().frame(BODY, 1, b"x"), Fault::Content),
        (
            Bytes::new().frame(HEADER, 1, &content_header(1)),
            Fault::Content,
        ),
    ];
    for (wire, fault) in faults {
        assert_eq!(judged(&wire), Err(fault), "{}", wire.0.escape_ascii());
    }
}

#[test]
fn parts_of_a_message_come_in_their_order() {
    let deliver = || {
        let arguments = Bytes::new().short(b"t").raw(&FIRST).short(b"").short(b"k");
        Bytes::method(1, BASIC_DELIVER, &arguments)
    };
    let whole = deliver()
        .frame(HEADER, 1, &content_header(3))
        .frame(BODY, 1, b"ab")
        .frame(BODY, 1, b"c");
    assert_eq!(judged(&whole).as_ref(), Ok(&whole.0));
    let again = whole.raw(&deliver().0).frame(HEADER, 1, &content_header(0));
    assert_eq!(judged(&again).as_ref(), Ok(&again.0));
    for wrong in [
        deliver().raw(&deliver().0),
        deliver().frame(BODY, 1, b"a"),
        deliver()
            .frame(HEADER, 1, &content_header(3))
            .frame(BODY, 1, b"abcd"),
        deliver()
            .frame(HEADER, 1, &content_header(3))
            .frame(BODY, 1, b""),
        deliver()
            .frame(HEADER, 1, &content_header(0))
            .frame(BODY, 1, b"a"),
    ] {
        assert_eq!(judged(&wrong), Err(Fault::Content));
    }
    let huge = deliver().frame(HEADER, 1, &content_header(1 << 40));
    assert_eq!(judged(&huge), Err(Fault::Size(1 << 40)));
}

#[test]
fn bytes_that_come_one_by_one_are_judged_as_those_that_come_together() {
    let shared = Shared::default();
    let (changing, _condition) = Changing::new("test".to_owned());
    open_channel(&shared, &changing);
    let deliver = Bytes::new()
        .short(b"t")
        .raw(&FIRST)
        .short(LATIN_1)
        .short(b"k");
    let wire = Bytes::method(1, BASIC_DELIVER, &deliver)
        .frame(HEADER, 1, &content_header(300))
        .raw(&super::wire::HEARTBEAT_FRAME)
        .frame(BODY, 1, &[END; 300]);
    let mut scanner = Scanner::new(FromBroker::new(&shared, &changing), 1 << 17);
    let (mut buffer, mut passed) = (Vec::new(), Vec::new());
    for byte in &wire.0 {
        buffer.push(*byte);
        let scanned = scanner.scan(&buffer).expect("it is right");
        passed.extend_from_slice(&buffer[..scanned.pass]);
        passed.extend(scanned.instead);
        buffer.drain(..scanned.pass + scanned.skip);
    }
    assert!(buffer.is_empty() && scanner.is_between_frames());
    assert_eq!(judged(&wire), Ok(passed));
    assert_eq!(wire.0.iter().filter(|byte| **byte == HEARTBEAT).count(), 1);
}

#[test]
fn an_alarm_and_the_brokers_last_words_are_known() {
    let shared = Shared::default();
    let (changing, condition) = Changing::new("test".to_owned());
    let hear = |method, arguments: Bytes| {
        let wire = Bytes::method(0, method, &arguments);
        let passed = pass(&wire.0, FromBroker::new(&shared, &changing));
        passed.expect("a broker may say so") == wire.0
    };
    assert!(!hear((10, 60), Bytes::new().short(b"low on memory")));
    assert_eq!(condition.blocked().as_deref(), Some("low on memory"));
    assert!(!hear((10, 61), Bytes::new()));
    assert_eq!(condition.blocked(), None);
    let close = Bytes::new().u16(320).short(b"maintenance at noon").u32(0);
    assert!(hear((10, 50), close), "the client answers it");
    let ended = condition.ended().expect("it has");
    assert_eq!(
        ended.to_string(),
        "the broker closed the connection: maintenance at noon"
    );
    changing.end(super::condition::Ended::HungUp);
    let ended = condition.ended().expect("it has");
    assert!(ended.to_string().contains("noon"), "the cause comes first");
}

#[test]
fn no_bytes_make_the_guard_panic() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..20_000 {
        let mut wire = Bytes::new();
        for _ in 0..random.usize(1..5) {
            wire = random_frame(&mut random, wire);
        }
        if random.bool() {
            let at = random.usize(..wire.0.len());
            wire.0[at] = random.u8(..);
        }
        let _ = judged(&wire);
    }
}

#[test]
fn a_conversation_remembers_no_more_channels_than_the_client_opens() {
    let mut conversation = Conversation::default();
    assert_eq!(
        conversation.broker_sends(u16::MAX, BASIC_DELIVER),
        Err(Fault::Channel(u16::MAX))
    );
    assert_eq!(
        conversation.body(u16::MAX, 1),
        Err(Fault::Channel(u16::MAX))
    );
}

/// Some frame that a broker might send on a channel that consumes.
fn random_frame(random: &mut fastrand::Rng, wire: Bytes) -> Bytes {
    let text = random
        .choice([&b""[..], b"text", LATIN_1])
        .expect("there are some");
    match random.u8(..5) {
        0 => {
            let deliver = Bytes::new().short(text).raw(&FIRST).short(text).short(text);
            wire.raw(&Bytes::method(1, BASIC_DELIVER, &deliver).0)
        }
        1 => {
            let properties = random_properties(random);
            let size = random.u64(..4);
            let prefix = Bytes::new().u16(60).u16(0).raw(&size.to_be_bytes());
            wire.frame(HEADER, 1, &prefix.raw(&properties).0)
        }
        2 => wire.frame(BODY, 1, text),
        3 => wire.frame(random.u8(..9), random.u16(..3), text),
        _ => {
            let method = (random.u16(..) % 90, random.u16(..) % 130);
            wire.raw(&Bytes::method(random.u16(..3), method, &Bytes::new().short(text)).0)
        }
    }
}

/// Tables and lists inside of each other, in turn.
fn nested(depth: usize) -> Vec<u8> {
    let mut from_inside = vec![b"V".to_vec()];
    let mut len = 1;
    for level in 0..depth {
        let head = match level % 2 {
            0 => Bytes::new().u8(b'A').u32(len),
            _ => Bytes::new().u8(b'F').u32(len + 1).short(b""),
        };
        len += u32::try_from(head.0.len()).expect("few");
        from_inside.push(head.0);
    }
    let value: Vec<u8> = from_inside.into_iter().rev().flatten().collect();
    Bytes::new().short(b"deep").raw(&value).0
}

fn random_table(random: &mut fastrand::Rng, levels: u32) -> Vec<u8> {
    let mut table = Vec::new();
    for number in 0..random.usize(..5) {
        let name = match random.u8(..8) {
            0 => (0..random.usize(..4)).map(|_| random.u8(..)).collect(),
            1 => vec![random.u8(0x80..); 255],
            // a name that is there twice is there once for the client
            _ => format!("name{number}").into_bytes(),
        };
        table.extend(Bytes::new().short(&name).0);
        table.extend(random_value(random, levels));
    }
    table
}

fn random_value(random: &mut fastrand::Rng, levels: u32) -> Vec<u8> {
    let kind = match random.u8(..64) {
        0 => random.u8(..),
        _ => *random
            .choice(b"VtbBsuIifdlLDTSxAF")
            .expect("there are some"),
    };
    let mut bytes = |len| (0..len).map(|_| random.u8(..)).collect::<Vec<_>>();
    let content = match kind {
        b't' | b'b' | b'B' => bytes(1),
        b's' | b'u' => bytes(2),
        b'I' | b'i' | b'f' => bytes(4),
        b'D' => bytes(5),
        b'l' | b'L' | b'd' | b'T' => bytes(8),
        b'x' => Bytes::new().long(&bytes(3)).0,
        b'S' => match bytes(1)[0] % 8 {
            0 => Bytes::new().long(LATIN_1).0,
            1 => Bytes::new().long("\u{10FE01}F\u{10FEE9}".as_bytes()).0,
            _ => Bytes::new().long("café".as_bytes()).0,
        },
        b'A' | b'F' if levels == 0 => Bytes::new().long(b"").0,
        b'A' => {
            let count = random.usize(..3);
            let values = (0..count).flat_map(|_| random_value(random, levels - 1));
            Bytes::new().long(&values.collect::<Vec<_>>()).0
        }
        b'F' => Bytes::new().long(&random_table(random, levels - 1)).0,
        _ => Vec::new(),
    };
    [&[kind], &content[..]].concat()
}

/// Any properties, now and then with a fault in them.
fn random_properties(random: &mut fastrand::Rng) -> Vec<u8> {
    let flags = random.u16(..) & if random.u8(..16) == 0 { !0 } else { !3 };
    let table = random_table(random, 3);
    let mut bytes = Bytes::new().u16(flags);
    for bit in (0..14).filter(|bit| flags & (0x8000 >> bit) != 0) {
        let texts: [&[u8]; 5] = [b"", b"guest", LATIN_1, &[0xE9; 64], &[0xFF; 255]];
        bytes = match bit {
            2 => bytes.long(&table),
            3 | 4 => bytes.u8(random.u8(..)),
            9 => bytes.raw(&random.u64(..).to_be_bytes()),
            _ => bytes.short(random.choice(texts).expect("there are some")),
        };
    }
    if random.u8(..8) == 0 {
        let at = random.usize(..bytes.0.len());
        bytes.0[at] = random.u8(..);
    }
    bytes.0
}
