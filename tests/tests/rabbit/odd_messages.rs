//! Messages that amqprs cannot read: they are handled like any other, and their copies are what was sent.

use std::time::Duration;

use anyhow::anyhow;
use futures_util::future::LocalBoxFuture;
use ploomby::{
    App, Delivery, HandlerOptions, HandlerRegistry, KeySource, Message, Queue, Reply, Retry,
    RpcClient, Value,
};
use ploomby_tests::{
    Bed, DEADLINE, Handled, KEY, Proxy, RawClient, RawMessage, Seen, eventually_some, rabbit, seen,
};
use tower::util::MapRequestLayer;

use crate::proxied;

/// The flags of the properties.
const CONTENT_TYPE: u16 = 1 << 15;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const MESSAGE_ID: u16 = 1 << 7;
const MESSAGE_TYPE: u16 = 1 << 5;
const APP_ID: u16 = 1 << 3;

/// `café`, as a client sends it that knows no UTF-8.
const LATIN_1: &[u8] = b"caf\xE9";

/// `{address: "@", …}`, as RabbitMQ 3 puts the properties of AMQP 1.0 into a text.
const AMQP_1_0: &[u8] = b"\x00\x53\x73\xC0\x07\x03\x40\x40\x40\xA1\x01\xFF";

/// The properties of a message that fill a frame: one has 131,072 bytes with its ends and the length of the body.
const ROOM: usize = 131_072 - 8 - 12;

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap();
    [&len.to_be_bytes(), bytes].concat()
}

/// A header of this type, whose content has a length.
fn member(name: &[u8], kind: u8, content: &[u8]) -> Vec<u8> {
    [&short(name), &[kind][..], &long(content)].concat()
}

/// A header with text.
fn header(name: &[u8], text: &[u8]) -> Vec<u8> {
    member(name, b'S', text)
}

/// The header that names the handler.
fn key(name: &str) -> Vec<u8> {
    header(KEY.as_bytes(), name.as_bytes())
}

/// Properties: flags, and the fields in their order.
fn properties(flags: u16, fields: &[&[u8]]) -> Vec<u8> {
    [&flags.to_be_bytes()[..], &fields.concat()].concat()
}

/// Properties with headers alone.
fn with_headers(headers: &[u8]) -> Vec<u8> {
    properties(HEADERS, &[&long(headers)])
}

/// The content of tables or lists inside of each other.
fn nested(kind: u8, depth: usize) -> Vec<u8> {
    let (name, level) = match kind {
        b'F' => (1, 6),
        _ => (0, 5),
    };
    // from the inside out, and written from the front
    let mut bytes = Vec::with_capacity(depth * level);
    for left in (0..depth).rev() {
        bytes.extend(std::iter::repeat_n(0, name));
        bytes.push(kind);
        let len = u32::try_from(left * level).unwrap();
        bytes.extend(len.to_be_bytes());
    }
    bytes
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// `work` notes its number, and `fail` gives up at once.
fn handlers(seen: &'static Seen) -> HandlerRegistry {
    HandlerRegistry::new()
        .register("work", move |number: u32| async move {
            seen.note(number.to_string());
        })
        .register("fail", || async { Err::<(), _>(anyhow!("no")) })
}

/// `work` notes what this says of its message.
fn noting(seen: &'static Seen, what: fn(&Message) -> String) -> HandlerRegistry {
    let layer = MapRequestLayer::new(move |delivery: Delivery| {
        seen.note(what(delivery.message()));
        delivery
    });
    let options = HandlerOptions::new().layer(layer);
    HandlerRegistry::new().register_with("work", options, || async {})
}

async fn dead_letter(client: &mut RawClient, queue: &str) -> RawMessage {
    let dead_letter_queue = format!("{queue}_dlq");
    eventually_some(DEADLINE, async || client.get(&dead_letter_queue)).await
}

/// Starts a program before a proxy, and checks that its messages cost no connection.
async fn without_a_reconnect<T>(
    bed: &Bed,
    handlers: HandlerRegistry,
    set_up: impl FnOnce(Queue) -> Queue,
    test: impl FnOnce(String) -> LocalBoxFuture<'static, T>,
) -> T {
    let queue = bed.queue_name();
    let (proxy, url) = proxied().await;
    let set_up = set_up(Queue::new(&queue).key(KeySource::header(KEY)));
    let app = Bed::start_at(&url, set_up, handlers).await;
    let tested = test(queue.clone()).await;
    app.shut_down().await.unwrap();
    // one to consume, one for copies, and one for replies where there were any
    assert!(proxy.accepted() <= 3, "{} connections", proxy.accepted());
    assert!(bed.is_empty(&queue).await);
    tested
}

/// What a handler reads of a header, by its name.
type Read = Option<(&'static str, Value)>;

/// A header of a type that nobody lists, and RabbitMQ takes.
const UNSIGNED: &[u8] = b"\x08unsignedL";

/// Odd headers, and what a handler reads of them, where that is told here.
fn odd_headers() -> Vec<(Vec<u8>, Read)> {
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    vec![
        (header(b"name", LATIN_1), Some(("name", bytes(LATIN_1)))),
        (
            header(b"x-amqp-1.0-properties", AMQP_1_0),
            Some(("x-amqp-1.0-properties", bytes(AMQP_1_0))),
        ),
        (
            member(b"list", b'A', &[b"S", &long(LATIN_1)[..]].concat()),
            Some(("list", Value::Array(vec![bytes(LATIN_1)]))),
        ),
        (
            member(b"table", b'F', &header(b"in", LATIN_1)),
            Some((
                "table",
                Value::Table(vec![("in".to_owned(), bytes(LATIN_1))]),
            )),
        ),
        (
            [UNSIGNED, &200_u64.to_be_bytes()].concat(),
            Some(("unsigned", Value::I64(200))),
        ),
        (header(LATIN_1, b"x"), None),
        // a name that has no room for what it is escaped to
        (header(&[0xE9; 255], b"x"), None),
        (member(b"table", b'F', &header(&[0xE9; 255], LATIN_1)), None),
        // one that looks as if it were escaped
        (
            header(b"private", "\u{10FEE9}".as_bytes()),
            Some(("private", bytes("\u{10FEE9}".as_bytes()))),
        ),
        (member(b"deep", b'A', &nested(b'A', 40)), None),
        (member(b"deep", b'F', &nested(b'F', 40)), None),
    ]
}

#[tokio::test]
async fn headers_that_are_no_text_are_read_as_bytes() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let (seen, mut handled) = seen();
        let handlers = noting(seen, |message| {
            let headers = message.headers();
            let mut read: Vec<_> = headers.iter().filter(|(name, _)| *name != KEY).collect();
            match (read.pop(), &read[..]) {
                (Some((name, value)), []) => format!("{name}={}", shown(&value)),
                _ => "several".to_owned(),
            }
        });
        let test = |queue: String| -> LocalBoxFuture<'static, ()> {
            Box::pin(async move {
                let mut client = RawClient::connect(rabbit().await);
                for (odd, expected) in odd_headers() {
                    let headers = with_headers(&[key("work"), odd].concat());
                    client.publish(&queue, &headers, b"1");
                    let read = handled.next_note().await;
                    if let Some((name, value)) = expected {
                        assert_eq!(read, format!("{name}={}", shown(&value)));
                    }
                }
            })
        };
        without_a_reconnect(&bed, handlers, |queue| queue, test).await;
    })
    .await;
}

/// What `Debug` of a value does not show.
fn shown(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => bytes.escape_ascii().to_string(),
        Value::Array(values) => values.iter().map(shown).collect(),
        Value::Table(members) => members
            .iter()
            .map(|(name, value)| format!("{name}:{}", shown(value)))
            .collect(),
        Value::I64(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_dead_letter_has_the_headers_that_were_sent_byte_for_byte() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let (seen, _) = seen();
        let test = |queue: String| -> LocalBoxFuture<'static, ()> {
            Box::pin(async move {
                let mut client = RawClient::connect(rabbit().await);
                for (mut odd, _) in odd_headers() {
                    let headers = with_headers(&[key("fail"), odd.clone()].concat());
                    client.publish(&queue, &headers, b"\xFF");
                    if !client.is_version_3() && odd.starts_with(UNSIGNED) {
                        // it comes from RabbitMQ 4 with the type of a signed number
                        odd[UNSIGNED.len() - 1] = b'l';
                    }
                    let copy = dead_letter(&mut client, &queue).await;
                    assert_eq!(copy.body, b"\xFF");
                    assert!(
                        contains(&copy.properties, &odd),
                        "{}\n{}",
                        odd.escape_ascii(),
                        copy.properties.escape_ascii()
                    );
                }
            })
        };
        without_a_reconnect(&bed, handlers(seen), |queue| queue, test).await;
    })
    .await;
}

#[tokio::test]
async fn a_retry_has_what_was_sent_byte_for_byte() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let (seen, _) = seen();
        let retries = |queue: Queue| queue.retry(Retry::fixed(3, Duration::from_millis(50)));
        let test = |queue: String| -> LocalBoxFuture<'static, ()> {
            Box::pin(async move {
                let mut client = RawClient::connect(rabbit().await);
                let odd = [
                    header(b"name", LATIN_1),
                    header(&[0xE9; 255], LATIN_1),
                    member(b"deep", b'A', &nested(b'A', 100)),
                ];
                let headers = with_headers(&[key("fail"), odd.concat()].concat());
                client.publish(&queue, &headers, b"1");
                let copy = dead_letter(&mut client, &queue).await;
                assert!(contains(
                    &copy.properties,
                    b"ploomby-attemptsl\0\0\0\0\0\0\0\x03"
                ));
                for odd in odd {
                    assert!(contains(&copy.properties, &odd), "{}", odd.escape_ascii());
                }
                client.delete_if_empty(&format!("{queue}_retry_50ms"));
            })
        };
        without_a_reconnect(&bed, handlers(seen), retries, test).await;
    })
    .await;
}

#[tokio::test]
async fn properties_and_addresses_that_are_no_text_come_back_as_they_were() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let (seen, _) = seen();
        let test = |queue: String| -> LocalBoxFuture<'static, ()> {
            Box::pin(async move {
                let mut client = RawClient::connect(rabbit().await);
                client.bind_to_topic(&queue);
                let texts = [
                    LATIN_1.to_vec(),
                    vec![0xE9; 63],
                    vec![0xE9; 64],
                    vec![0xE9; 255],
                ];
                for text in texts {
                    let text = short(&text);
                    let flags = HEADERS | CORRELATION_ID | MESSAGE_ID | MESSAGE_TYPE | APP_ID;
                    let headers = long(&key("fail"));
                    let fields = [&headers[..], &text, &text, &text, &text];
                    let routing_key = &text[1..];
                    client.publish_to(b"amq.topic", routing_key, &properties(flags, &fields), b"1");
                    let copy = dead_letter(&mut client, &queue).await;
                    let kept = u16::from_be_bytes([copy.properties[0], copy.properties[1]]);
                    assert_eq!(kept, flags | DELIVERY_MODE);
                    let texts = text.repeat(4);
                    assert!(
                        copy.properties.ends_with(&texts),
                        "{}",
                        copy.properties.escape_ascii()
                    );
                    let address = header(b"ploomby-routing-key", routing_key);
                    assert!(contains(&copy.properties, &address));
                }
            })
        };
        without_a_reconnect(&bed, handlers(seen), |queue| queue, test).await;
    })
    .await;
}

#[tokio::test]
async fn a_reply_has_the_correlation_id_that_was_asked_with() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let answers = bed.queue_name();
        bed.declare(&answers, &[]).await;
        let handlers = HandlerRegistry::new()
            .register("double", |number: u32| async move { Reply(number * 2) });
        let test = |queue: String| -> LocalBoxFuture<'static, ()> {
            Box::pin(async move {
                let mut client = RawClient::connect(rabbit().await);
                let ids = [(0..16).map(|byte| byte * 16).collect(), vec![0xE9; 255]];
                for id in ids {
                    let id: Vec<u8> = id;
                    let flags = CONTENT_TYPE | HEADERS | CORRELATION_ID | REPLY_TO;
                    let headers = long(&key("double"));
                    let id = short(&id);
                    let reply_to = short(answers.as_bytes());
                    let json = short(b"application/json");
                    let request = properties(flags, &[&json, &headers, &id, &reply_to]);
                    client.publish(&queue, &request, b"21");
                    let reply = eventually_some(DEADLINE, async || client.get(&answers)).await;
                    assert_eq!(reply.body, b"42");
                    assert!(
                        contains(&reply.properties, &id),
                        "{}",
                        reply.properties.escape_ascii()
                    );
                }
            })
        };
        without_a_reconnect(&bed, handlers, |queue| queue, test).await;
    })
    .await;
}

/// Who answers may write anything into a reply: it costs no other call anything, and not even its own.
#[tokio::test]
async fn odd_replies_are_read_and_cost_no_other_call_anything() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let queue = bed.queue_name();
        bed.declare(&queue, &[]).await;
        let (proxy, url) = proxied().await;
        let client = RpcClient::connect(&url).await.unwrap();
        let mut odd: Vec<Vec<u8>> = odd_headers()
            .into_iter()
            .map(|(header, _)| header)
            .collect();
        let most = (ROOM - 500) / 5;
        let mut answerer = RawClient::connect(rabbit().await);
        let most = if answerer.is_version_3() { most } else { 1_000 };
        odd.push(member(b"deep", b'A', &nested(b'A', most)));
        let count = u32::try_from(odd.len()).unwrap();
        let call = async |number: u32| client.call::<_, u32>(&queue, "any", &number).await;
        let calls = (0..2 * count).map(call);
        let calls = futures_util::future::join_all(calls);
        let answering = async {
            let mut requests = Vec::new();
            for _ in 0..2 * count {
                requests.push(bed.next(&queue).await);
            }
            // an odd one, and one in flight beside it
            for request in requests {
                let number: u32 = String::from_utf8_lossy(&request.body).parse().unwrap();
                let header = match number % 2 {
                    0 => &odd[usize::try_from(number / 2).unwrap()][..],
                    _ => &[],
                };
                let id = short(request.correlation_id.unwrap().as_bytes());
                let json = short(b"application/json");
                let fields = [&json[..], &long(header), &id];
                let reply = properties(CONTENT_TYPE | HEADERS | CORRELATION_ID, &fields);
                let body = (number * 2).to_string();
                answerer.publish(&request.reply_to.unwrap(), &reply, body.as_bytes());
            }
        };
        let (values, ()) = tokio::join!(calls, answering);
        for (number, value) in (0..).zip(values) {
            assert_eq!(value.unwrap(), number * 2);
        }
        assert_eq!(proxy.accepted(), 1, "no call cost the connection");
        client.close().await;
    })
    .await;
}

#[tokio::test]
async fn no_two_ids_that_are_no_text_read_the_same() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let (seen, mut handled) = seen();
        let handlers = noting(seen, |message| {
            let id = message.properties().message_id();
            id.unwrap_or_default().to_owned()
        });
        let test = |queue: String| -> LocalBoxFuture<'static, ()> {
            Box::pin(async move {
                let mut client = RawClient::connect(rabbit().await);
                let mut ids: Vec<Vec<u8>> = (0x80..=0xFF).map(|byte| vec![byte]).collect();
                ids.extend((0x80..=0xFF).map(|byte| [vec![0xE9; 254], vec![byte]].concat()));
                let mut read = std::collections::HashSet::new();
                for id in &ids {
                    let fields = [&long(&key("work"))[..], &short(id)];
                    let properties = properties(HEADERS | MESSAGE_ID, &fields);
                    client.publish(&queue, &properties, b"1");
                    read.insert(handled.next_note().await);
                }
                assert_eq!(read.len(), ids.len());
            })
        };
        without_a_reconnect(&bed, handlers, |queue| queue, test).await;
    })
    .await;
}

/// Handles what is nested as deeply as may be, and makes copies of it.
async fn handle_what_is_nested(bed: &Bed) {
    let (seen, handled) = seen();
    let test = move |queue: String| -> LocalBoxFuture<'static, ()> {
        Box::pin(async move {
            let mut handled: Handled = handled;
            let mut client = RawClient::connect(rabbit().await);
            for kind in [b'A', b'F'] {
                let most = (ROOM - 200) / if kind == b'A' { 5 } else { 6 };
                let deepest = if client.is_version_3() { most } else { 5_000 };
                for depth in [32, 33, 5_000, 20_000, most] {
                    if depth > deepest {
                        // the broker takes minutes for it
                        continue;
                    }
                    let deep = member(b"deep", kind, &nested(kind, depth - 1));
                    let headers = |name| with_headers(&[key(name), deep.clone()].concat());
                    let number = depth.to_string();
                    client.publish(&queue, &headers("work"), number.as_bytes());
                    assert_eq!(handled.next_note().await, number);
                    client.publish(&queue, &headers("fail"), number.as_bytes());
                    let copy = dead_letter(&mut client, &queue).await;
                    assert!(copy.properties.len() <= ROOM);
                    assert!(contains(&copy.properties, &deep));
                }
            }
        })
    };
    without_a_reconnect(bed, handlers(seen), |queue| queue, test).await;
}

#[tokio::test]
async fn headers_nested_as_deeply_as_a_frame_holds_are_handled_on_one_thread() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| handle_what_is_nested(&bed).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_nested_as_deeply_as_a_frame_holds_are_handled_on_several_threads() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| handle_what_is_nested(&bed).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_messages_in_one_queue_cost_another_queue_nothing() {
    const ROUNDS: u32 = 5;

    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let (odd, calm) = (bed.queue_name(), bed.queue_name());
        let (proxy, url) = proxied().await;
        let (seen_odd, mut handled_odd) = seen();
        let (seen_calm, mut handled_calm) = seen();
        let handlers = handlers(seen_odd).register("calm", move |number: u32| async move {
            seen_calm.note(number.to_string());
        });
        let set_up = |name: &str| Queue::new(name).key(KeySource::header(KEY));
        let app = App::new(&url)
            .handlers(handlers)
            .queue(set_up(&odd))
            .queue(set_up(&calm));
        let app = app.start().await.unwrap();
        let mut client = RawClient::connect(rabbit().await);
        let mut slowest = Duration::ZERO;
        for round in 0..ROUNDS {
            for (odd_header, _) in odd_headers() {
                let headers = with_headers(&[key("work"), odd_header].concat());
                client.publish(&odd, &headers, round.to_string().as_bytes());
                let start = std::time::Instant::now();
                client.publish(&calm, &with_headers(&key("calm")), b"7");
                assert_eq!(handled_calm.next_note().await, "7");
                slowest = slowest.max(start.elapsed());
                assert_eq!(handled_odd.next_note().await, round.to_string());
            }
        }
        app.shut_down().await.unwrap();
        assert!(
            handled_calm.is_empty() && handled_odd.is_empty(),
            "each ran once"
        );
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
        assert!(proxy.accepted() <= 2, "{} connections", proxy.accepted());
    })
    .await;
}

/// What they take in all is ten times what a heartbeat may be late.
async fn block(bed: &Bed, test: impl AsyncFnOnce(&Proxy, &mut Handled) -> usize) {
    const MESSAGES: u32 = 40;

    let queue = bed.queue_name();
    let (proxy, url) = proxied().await;
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
        std::thread::sleep(Duration::from_millis(500));
        seen.note(number.to_string());
    });
    let set_up = Queue::new(&queue).key(KeySource::header(KEY));
    bed.declare(&queue, &[]).await;
    bed.send_numbers(&queue, "work", 0..MESSAGES).await;
    let app = Bed::start_at(&format!("{url}/?heartbeat=4"), set_up, handlers).await;
    let connections = test(&proxy, &mut handled).await;
    app.shut_down().await.unwrap();
    assert!(handled.is_empty(), "no more than these runs");
    let accepted = proxy.accepted();
    assert!(accepted <= connections, "{accepted} connections");
    assert!(bed.is_empty(&queue).await);
}

#[tokio::test]
async fn handlers_that_block_their_thread_keep_no_heartbeat_waiting() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let test = async |_: &Proxy, handled: &mut Handled| {
            for number in 0..40 {
                assert_eq!(handled.next_note().await, number.to_string());
            }
            // one to consume, and one for copies
            2
        };
        block(&bed, test).await;
    })
    .await;
}

/// The connection is cut at half time: what had been acknowledged does not come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_that_block_their_thread_keep_no_acknowledgement_waiting() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let test = async |proxy: &Proxy, handled: &mut Handled| {
            let mut runs = [0; 40];
            let mut done = 0;
            while done < runs.len() {
                let number: usize = handled.next_note().await.parse().unwrap();
                runs[number] += 1;
                done += usize::from(runs[number] == 1);
                if done == runs.len() / 2 && runs[number] == 1 {
                    proxy.cut();
                }
            }
            let again: u32 = runs.iter().map(|runs| runs - 1).sum();
            // the one that was done, and the next, which had begun
            assert!(again <= 3, "{again} came back");
            // each of the two, before the cut and after it
            4
        };
        block(&bed, test).await;
    })
    .await;
}

#[tokio::test]
async fn whatever_type_of_header_the_broker_takes_is_read() {
    let bed = Bed::rabbit().await;
    bed.run(async |bed| {
        let (seen, mut handled) = seen();
        let test = |queue: String| -> LocalBoxFuture<'static, ()> {
            Box::pin(async move {
                let mut client = RawClient::connect(rabbit().await);
                for kind in (0..=u8::MAX).filter(u8::is_ascii_alphabetic) {
                    // as long as any that has no length of its own, or a length of none
                    for len in [0, 1, 2, 4, 5, 8] {
                        let odd = [&short(b"odd")[..], &[kind], &vec![0; len]].concat();
                        let headers = with_headers(&[odd, key("work")].concat());
                        match client.try_publish(&queue, &headers, b"1") {
                            Ok(()) => {
                                println!("the broker takes {} and {len} bytes", char::from(kind));
                                assert_eq!(handled.next_note().await, "1");
                            }
                            Err(_) => client = RawClient::connect(rabbit().await),
                        }
                    }
                }
            })
        };
        without_a_reconnect(&bed, handlers(seen), |queue| queue, test).await;
    })
    .await;
}
