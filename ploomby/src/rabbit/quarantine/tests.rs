use std::panic::{AssertUnwindSafe, catch_unwind};

use amqp_serde::types::FieldTable;

use super::{
    check::{Fault, check},
    client::RawMessage,
    copy::{CopyError, Note, dead_letter},
    properties::RawProperties,
    table::{self, MAX_DEPTH, Unreadable},
    wire::Bytes,
};

const LATIN_1: &[u8] = b"caf\xE9";

const NOTE: Note<'_> = Note {
    queue: "q",
    exchange: b"",
    routing_key: b"q",
    error: "a fault",
    failed_at: 7,
};

const ROOM: usize = 100_000;

fn member(name: &[u8], kind: u8, content: &[u8]) -> Vec<u8> {
    Bytes::new().short(name).u8(kind).raw(content).0
}

fn text(name: &[u8], content: &[u8]) -> Vec<u8> {
    member(name, b'S', &Bytes::new().long(content).0)
}

/// A header with tables and arrays inside of each other, in turn.
fn nested(depth: usize) -> Vec<u8> {
    let value = (0..depth).fold(b"V".to_vec(), |inner, level| match level % 2 {
        0 => Bytes::new().u8(b'A').long(&inner).0,
        _ => {
            let member = Bytes::new().short(b"").raw(&inner);
            Bytes::new().u8(b'F').long(&member.0).0
        }
    });
    Bytes::new().short(b"deep").raw(&value).0
}

/// Properties that are headers alone.
fn with_headers(table: &[u8]) -> Vec<u8> {
    Bytes::new().u16(1 << 13).long(table).0
}

fn message(properties: Vec<u8>) -> RawMessage {
    RawMessage {
        tag: 1,
        exchange: Vec::new(),
        routing_key: b"q".to_vec(),
        properties,
        body: Vec::new(),
    }
}

/// The members of a table, by name.
fn members(table: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut rest = super::wire::Reader(table);
    let mut members = Vec::new();
    while !rest.is_empty() {
        let name = rest.short().expect("a name");
        let start = rest.0;
        table::value(&mut rest).expect("a value");
        members.push((name, &start[..start.len() - rest.0.len()]));
    }
    members
}

#[test]
fn what_amqprs_cannot_read_is_found_and_named() {
    assert_eq!(check(&message(vec![0, 0])), Ok(()));
    assert_eq!(
        check(&message(with_headers(&text(b"a", "é".as_bytes())))),
        Ok(())
    );
    let in_header = |name: &str, unreadable| {
        let name = name.to_owned();
        Err(Fault::Header { name, unreadable })
    };
    let bad_text = [text(b"good", b"x"), text(b"city", LATIN_1)].concat();
    assert_eq!(
        check(&message(with_headers(&bad_text))),
        in_header("city", Unreadable::NotUtf8)
    );
    assert_eq!(
        check(&message(with_headers(&text(LATIN_1, b"x")))),
        in_header("caf\\xe9", Unreadable::NotUtf8)
    );
    let inside = member(b"outer", b'F', &Bytes::new().long(&bad_text).0);
    assert_eq!(
        check(&message(with_headers(&inside))),
        in_header("outer", Unreadable::NotUtf8)
    );
    assert_eq!(
        check(&message(with_headers(&member(b"odd", b'Z', &[])))),
        in_header("odd", Unreadable::UnknownType(b'Z'))
    );
    assert_eq!(
        check(&message(with_headers(&member(b"cut", b'I', &[0; 3])))),
        in_header("cut", Unreadable::Overrun)
    );
    let app_id = Bytes::new().u16(1 << 3).short(LATIN_1);
    assert_eq!(check(&message(app_id.0)), Err(Fault::Property("app id")));
    assert_eq!(check(&message(vec![0, 0, 1])), Err(Fault::Properties));
    let mut odd_key = message(vec![0, 0]);
    odd_key.routing_key = LATIN_1.to_vec();
    assert_eq!(
        check(&odd_key).expect_err("not text").to_string(),
        "the routing key is not UTF-8: `caf\\xe9`"
    );
}

#[test]
fn nesting_is_followed_to_its_limit_without_a_stack() {
    assert_eq!(table::check(&nested(MAX_DEPTH)), Ok(()));
    for depth in [MAX_DEPTH + 1, 20_000] {
        let (name, unreadable) = table::check(&nested(depth)).expect_err("too deep");
        assert_eq!((&name[..], unreadable), (&b"deep"[..], Unreadable::TooDeep));
    }
}

#[test]
fn the_check_agrees_with_amqprs_on_tables_with_faults_anywhere() {
    let mut random = fastrand::Rng::with_seed(1);
    let (mut readable, mut unreadable) = (0, 0);
    for _ in 0..5_000 {
        let mut table = random_table(&mut random, 3);
        if random.bool() && !table.is_empty() {
            let at = random.usize(..table.len());
            table[at] = random.u8(..);
        }
        let wire = Bytes::new().long(&table);
        // it panics on some
        let read = catch_unwind(AssertUnwindSafe(|| {
            amqp_serde::from_bytes::<FieldTable>(&wire.0).is_ok()
        }));
        let is_read = matches!(read, Ok(true));
        assert_eq!(
            table::check(&table).is_ok(),
            is_read,
            "{}",
            table.escape_ascii()
        );
        *if is_read {
            &mut readable
        } else {
            &mut unreadable
        } += 1;
    }
    assert!(
        readable > 500 && unreadable > 500,
        "{readable}, {unreadable}"
    );
}

#[test]
fn a_copy_keeps_every_byte_of_what_the_message_had() {
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..2_000 {
        let table = random_table(&mut random, 3);
        let original = random_properties(&mut random, &table);
        let copy = dead_letter(&original, "guest", &NOTE, ROOM).expect("it fits");
        let parsed = RawProperties::parse(&copy).expect("it parses");
        let before = RawProperties::parse(&original).expect("it parses");
        let kept = before.headers();
        assert_eq!(parsed.headers().get(..kept.len()), Some(kept));
        let names: Vec<_> = members(&parsed.headers()[kept.len()..])
            .into_iter()
            .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
            .collect();
        let five = ["reason", "error", "queue", "attempts", "failed-at"];
        assert_eq!(names[..5], five.map(|name| format!("ploomby-{name}")));
        // the same but for the headers, the expiration and the delivery mode
        let mut before = before;
        before.take_expiration();
        before.make_persistent();
        if before.user_id() != Some(b"guest") {
            before.clear_user_id();
        }
        assert_eq!(parsed.with_headers(b""), before.with_headers(b""));
    }
}

#[test]
fn what_the_broker_would_act_upon_is_set_aside() {
    let table = [
        member(b"CC", b'A', &Bytes::new().long(b"V").0),
        text(b"ploomby-reason", b"panic"),
        text(b"city", LATIN_1),
        text(b"BCC", b"x"),
    ];
    // headers, expiration and user id
    let properties = Bytes::new()
        .u16(1 << 13 | 1 << 8 | 1 << 4)
        .long(&table.concat())
        .short(b"5000")
        .short(LATIN_1);
    let copy = dead_letter(&properties.0, "guest", &NOTE, ROOM).expect("it fits");
    let parsed = RawProperties::parse(&copy).expect("it parses");
    let members = members(parsed.headers());
    let value = |name: &str| {
        let mut found = members.iter().filter(|(n, _)| *n == name.as_bytes());
        let value = found.next().map(|(_, value)| *value);
        assert!(found.next().is_none(), "{name} is there once");
        value.map(<[u8]>::to_vec)
    };
    let text = |kind, text: &[u8]| Some(Bytes::new().u8(kind).long(text).0);
    assert_eq!((value("CC"), value("BCC")), (None, None));
    assert_eq!(value("ploomby-CC"), Some(b"A\0\0\0\x01V".to_vec()));
    assert_eq!(value("ploomby-BCC"), text(b'S', b"x"));
    assert_eq!(value("city"), text(b'S', LATIN_1));
    assert_eq!(value("ploomby-reason"), text(b'S', b"malformed"));
    assert_eq!(value("ploomby-expiration"), text(b'S', b"5000"));
    assert_eq!(value("ploomby-user-id"), text(b'x', LATIN_1));
    assert_eq!(
        value("ploomby-failed-at"),
        Some(b"T\0\0\0\0\0\0\0\x07".to_vec())
    );
    assert_eq!(parsed.user_id(), None);

    let own = Bytes::new().u16(1 << 4).short(b"guest");
    let copy = dead_letter(&own.0, "guest", &NOTE, ROOM).expect("it fits");
    let parsed = RawProperties::parse(&copy).expect("it parses");
    assert_eq!(parsed.user_id(), Some(&b"guest"[..]));
}

#[test]
fn what_is_added_gives_way_where_a_frame_is_full() {
    let properties = with_headers(&text(b"city", &[0xE9; 500]));
    let len_with = |room| dead_letter(&properties, "guest", &NOTE, room).map(|copy| copy.len());
    let whole = len_with(ROOM).expect("it fits");
    let without_error = len_with(whole - 1).expect("it fits");
    let reason_alone = len_with(without_error - 1).expect("it fits");
    // the delivery mode remains
    assert_eq!(
        len_with(reason_alone - 1).expect("it fits"),
        properties.len() + 1
    );
    let error = len_with(properties.len()).expect_err("it does not fit");
    assert!(matches!(error, CopyError::TooLong { .. }));
}

fn random_table(random: &mut fastrand::Rng, levels: u32) -> Vec<u8> {
    let mut table = Vec::new();
    for _ in 0..random.usize(..5) {
        let name: Vec<u8> = (0..random.usize(..4)).map(|_| random.u8(b'a'..)).collect();
        // a name that is text is rare otherwise
        let name = if random.u8(..8) > 0 {
            b"name".to_vec()
        } else {
            name
        };
        table.extend(Bytes::new().short(&name).0);
        table.extend(random_value(random, levels));
    }
    table
}

fn random_value(random: &mut fastrand::Rng, levels: u32) -> Vec<u8> {
    let kind = *random.choice(b"VtbBsuIifDldTSxAF").expect("there are some");
    let mut bytes = |len| (0..len).map(|_| random.u8(..)).collect::<Vec<_>>();
    let content = match kind {
        b'V' => Vec::new(),
        b't' | b'b' | b'B' => bytes(1),
        b's' | b'u' => bytes(2),
        b'I' | b'i' | b'f' => bytes(4),
        b'D' => bytes(5),
        b'l' | b'd' | b'T' => bytes(8),
        b'x' => Bytes::new().long(&bytes(3)).0,
        b'S' => match bytes(1)[0] % 8 {
            0 => Bytes::new().long(LATIN_1).0,
            _ => Bytes::new().long("café".as_bytes()).0,
        },
        _ if levels == 0 => Bytes::new().long(b"").0,
        b'A' => {
            let count = random.usize(..3);
            let values: Vec<_> = (0..count)
                .flat_map(|_| random_value(random, levels - 1))
                .collect();
            Bytes::new().long(&values).0
        }
        _ => Bytes::new().long(&random_table(random, levels - 1)).0,
    };
    [&[kind], &content[..]].concat()
}

/// Any properties, with these headers or without any.
fn random_properties(random: &mut fastrand::Rng, table: &[u8]) -> Vec<u8> {
    let flags = random.u16(..) & !3;
    let mut bytes = Bytes::new().u16(flags);
    for bit in (0..14).filter(|bit| flags & (0x8000 >> bit) != 0) {
        bytes = match bit {
            2 => bytes.long(table),
            3 | 4 => bytes.u8(random.u8(..)),
            9 => bytes.u64(random.u64(..)),
            _ => bytes.short(random.choice([&b""[..], b"guest", LATIN_1]).expect("some")),
        };
    }
    bytes.0
}
