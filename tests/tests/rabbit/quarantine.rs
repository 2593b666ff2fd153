use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ploomby::{HandlerRegistry, KeySource, Queue};
use ploomby_tests::{
    Bed, DEADLINE, Handled, KEY, RawClient, RawMessage, eventually, eventually_some, rabbit, seen,
    unique_name,
};

use crate::proxied;

/// How long a message that cannot be read may stop its queue.
const SOON: Duration = Duration::from_secs(10);

/// The flags of the properties.
const CONTENT_TYPE: u16 = 1 << 15;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const EXPIRATION: u16 = 1 << 8;
const MESSAGE_TYPE: u16 = 1 << 5;
const APP_ID: u16 = 1 << 3;

/// `café`, as a client sends it that knows no UTF-8.
const LATIN_1: &[u8] = b"caf\xE9";

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap();
    [&len.to_be_bytes(), bytes].concat()
}

/// A header with text.
fn header(name: &[u8], text: &[u8]) -> Vec<u8> {
    [&short(name), &b"S"[..], &long(text)].concat()
}

/// Properties: flags, and the fields in their order.
fn properties(flags: u16, fields: &[&[u8]]) -> Vec<u8> {
    [&flags.to_be_bytes()[..], &fields.concat()].concat()
}

/// Properties with headers alone.
fn with_headers(headers: &[u8]) -> Vec<u8> {
    properties(HEADERS, &[&long(headers)])
}

/// Tables inside of each other.
fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(Vec::new(), |inner, _| {
        [&short(b"")[..], b"F", &long(&inner)].concat()
    })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn handlers(seen: &'static ploomby_tests::Seen) -> HandlerRegistry {
    HandlerRegistry::new().register("work", move |number: u32| async move {
        seen.note(number.to_string());
    })
}

/// Waits until each of these was handled, in whatever order and however often.
async fn until_handled(handled: &mut Handled, numbers: std::ops::Range<u32>) {
    let mut missing: std::collections::BTreeSet<String> =
        numbers.map(|number| number.to_string()).collect();
    while !missing.is_empty() {
        missing.remove(&handled.next_note().await);
    }
}

/// Checks that nothing that cannot be read is left. What was handled may be, where the connection
/// was lost before the broker was told.
fn assert_moved(client: &mut RawClient, queue: &str) {
    while let Some(left) = client.get(queue) {
        assert!(!left.body.starts_with(b"bad"), "{left:?}");
    }
}

async fn parked(client: &mut RawClient, queue: &str) -> RawMessage {
    let dead_letter_queue = format!("{queue}_dlq");
    eventually_some(SOON, async || client.get(&dead_letter_queue)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_with_latin_1_in_a_header_is_parked_and_the_others_are_handled() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let mut client = RawClient::connect(rabbit().await);
            let (seen, mut handled) = seen();
            let app = bed.start(&queue, handlers(seen)).await;
            let start = Instant::now();
            let headers = [header(b"before", b"1"), header(b"city", LATIN_1)].concat();
            let good = with_headers(&header(KEY.as_bytes(), b"work"));
            for number in 0..20 {
                if number == 10 {
                    client.publish(&queue, &with_headers(&headers), b"bad \xFF");
                }
                client.publish(&queue, &good, number.to_string().as_bytes());
            }
            until_handled(&mut handled, 0..20).await;
            let parked = parked(&mut client, &queue).await;
            println!("parked after {:?}", start.elapsed());
            assert!(start.elapsed() < SOON);
            assert_eq!(parked.body, b"bad \xFF");
            // headers and the delivery mode, which is persistent
            let (head, rest) = parked.properties.split_at(6);
            assert_eq!(head[..2], (HEADERS | DELIVERY_MODE).to_be_bytes());
            let (table, rest) = rest.split_at(rest.len() - 1);
            assert_eq!(rest, [2]);
            assert_eq!(head[2..], u32::try_from(table.len()).unwrap().to_be_bytes());
            let added = table.strip_prefix(&headers[..]).unwrap();
            let error = b"the header `city` has text that is not UTF-8";
            for header in [
                header(b"ploomby-reason", b"malformed"),
                header(b"ploomby-error", error),
                header(b"ploomby-queue", queue.as_bytes()),
                [&short(b"ploomby-attempts"), &b"l\0\0\0\0\0\0\0\0"[..]].concat(),
                [&short(b"ploomby-failed-at"), &b"T"[..]].concat(),
            ] {
                assert!(contains(added, &header), "{}", added.escape_ascii());
            }
            app.shut_down().await.unwrap();
            assert_moved(&mut client, &queue);
            assert!(client.get(&format!("{queue}_dlq")).is_none(), "parked once");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_cannot_be_read_is_parked_with_several_consumers_at_work() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let mut client = RawClient::connect(rabbit().await);
            let (seen, mut handled) = seen();
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .consumers(3)
                .prefetch(4);
            let app = bed.start_queue(set_up, handlers(seen)).await;
            client.bind_to_topic(&queue);
            let good = with_headers(&header(KEY.as_bytes(), b"work"));
            let bad_name = with_headers(&header(LATIN_1, b"x"));
            let inside = [
                &short(b"list")[..],
                b"A",
                &long(&[b"S", &long(LATIN_1)[..]].concat()),
            ];
            let bad = [
                properties(CONTENT_TYPE, &[&short(LATIN_1)]),
                properties(MESSAGE_TYPE, &[&short(LATIN_1)]),
                properties(APP_ID, &[&short(LATIN_1)]),
                properties(EXPIRATION | APP_ID, &[&short(b"600000"), &short(LATIN_1)]),
                bad_name,
                with_headers(&inside.concat()),
            ];
            let mut number = 0;
            for properties in &bad {
                client.publish(&queue, properties, b"bad");
                for _ in 0..5 {
                    client.publish(&queue, &good, number.to_string().as_bytes());
                    number += 1;
                }
            }
            let key = [queue.as_bytes(), LATIN_1].concat();
            client.publish_to(b"amq.topic", &key, &good, b"bad");
            until_handled(&mut handled, 0..number).await;
            for _ in 0..=bad.len() {
                let parked = parked(&mut client, &queue).await;
                assert_eq!(parked.body, b"bad");
                assert!(contains(
                    &parked.properties,
                    &header(b"ploomby-reason", b"malformed")
                ));
                let flags = u16::from_be_bytes([parked.properties[0], parked.properties[1]]);
                assert_eq!(flags & EXPIRATION, 0, "it would vanish with it");
            }
            app.shut_down().await.unwrap();
            assert_moved(&mut client, &queue);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_read_waits_for_a_dead_letter_queue_that_is_full() {
    let policy = unique_name("full");
    let Some(mut rabbitmqctl) = rabbit().await.rabbitmqctl() else {
        // a broker that is given has policies of its own, which tests do not change
        return;
    };
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let dead_letter_queue = format!("{queue}_dlq");
            let (proxy, url) = proxied().await;
            let mut client = RawClient::connect(rabbit().await);
            let (seen, mut handled) = seen();
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = Bed::start_at(&url, set_up, handlers(seen)).await;
            let pattern = format!("^{dead_letter_queue}$");
            let limit = r#"{"max-length": 1, "overflow": "reject-publish"}"#;
            let set = rabbitmqctl.args(["set_policy", &policy, &pattern, limit]);
            assert!(set.output().await.unwrap().status.success());
            client.publish(&dead_letter_queue, &properties(0, &[]), b"in the way");
            let connections = proxy.accepted();
            client.publish(&queue, &properties(APP_ID, &[&short(LATIN_1)]), b"bad");
            client.publish(
                &queue,
                &with_headers(&header(KEY.as_bytes(), b"work")),
                b"0",
            );
            // two to become suspicious, and three for each try
            eventually(DEADLINE, async || {
                proxy.accepted() >= connections + 2 + 3 * 3
            })
            .await;
            assert!(handled.is_empty());
            assert_eq!(parked(&mut client, &queue).await.body, b"in the way");
            until_handled(&mut handled, 0..1).await;
            assert_eq!(parked(&mut client, &queue).await.body, b"bad");
            app.shut_down().await.unwrap();
            assert_moved(&mut client, &queue);
        })
        .await;
    let mut rabbitmqctl = rabbit().await.rabbitmqctl().unwrap();
    let clear = rabbitmqctl.args(["clear_policy", &policy]);
    assert!(clear.output().await.unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_read_outlives_its_dead_letter_queue() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let dead_letter_queue = format!("{queue}_dlq");
            let (proxy, url) = proxied().await;
            let mut client = RawClient::connect(rabbit().await);
            let mut deleting = RawClient::connect(rabbit().await);
            let (seen, mut handled) = seen();
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = Bed::start_at(&url, set_up, handlers(seen)).await;
            let connections = proxy.accepted();
            client.publish(&queue, &properties(APP_ID, &[&short(LATIN_1)]), b"bad");
            client.publish(
                &queue,
                &with_headers(&header(KEY.as_bytes(), b"work")),
                b"0",
            );
            // it is declared again and again, and mostly gone again when a copy comes: two to
            // become suspicious, and three for each try
            eventually(DEADLINE, async || {
                let is_kept = !deleting.delete_if_empty(&dead_letter_queue);
                is_kept || proxy.accepted() >= connections + 2 + 3 * 3
            })
            .await;
            until_handled(&mut handled, 0..1).await;
            assert_eq!(parked(&mut client, &queue).await.body, b"bad");
            app.shut_down().await.unwrap();
            assert_moved(&mut client, &queue);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_looked_at_in_a_quorum_queue_is_not_given_up() {
    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let mut client = RawClient::connect(rabbit().await);
            let (seen, mut handled) = seen();
            let set_up = Queue::new(&queue)
                .key(KeySource::header(KEY))
                .queue_argument("x-queue-type", "quorum")
                // the default of RabbitMQ from 4.0 on
                .queue_argument("x-delivery-limit", 20);
            let app = bed.start_queue(set_up, handlers(seen)).await;
            let good = with_headers(&header(KEY.as_bytes(), b"work"));
            for number in 0..10 {
                if number % 5 == 0 {
                    client.publish(&queue, &properties(APP_ID, &[&short(LATIN_1)]), b"bad");
                }
                client.publish(&queue, &good, number.to_string().as_bytes());
            }
            until_handled(&mut handled, 0..10).await;
            for _ in 0..2 {
                assert_eq!(parked(&mut client, &queue).await.body, b"bad");
            }
            app.shut_down().await.unwrap();
            assert_moved(&mut client, &queue);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_die_for_other_reasons_move_nothing() {
    static CALLS: AtomicU32 = AtomicU32::new(0);

    Bed::rabbit()
        .await
        .run(async |bed| {
            let queue = bed.queue_name();
            let (proxy, url) = proxied().await;
            let (seen, mut handled) = seen();
            let gate: &'static tokio::sync::Semaphore =
                Box::leak(Box::new(tokio::sync::Semaphore::new(0)));
            let handlers = HandlerRegistry::new().register("work", move |number: u32| async move {
                CALLS.fetch_add(1, Ordering::Relaxed);
                gate.acquire().await.unwrap().forget();
                seen.note(number.to_string());
            });
            let set_up = Queue::new(&queue).key(KeySource::header(KEY));
            let app = Bed::start_at(&url, set_up, handlers).await;
            for number in 0..5 {
                bed.send(&queue, "work", number.to_string()).await;
            }
            // more than it takes to be suspicious
            for death in 1..=5 {
                eventually(DEADLINE, async || {
                    CALLS.load(Ordering::Relaxed) >= 5 * death
                })
                .await;
                proxy.cut();
            }
            eventually(DEADLINE, async || CALLS.load(Ordering::Relaxed) >= 30).await;
            gate.add_permits(1_000);
            until_handled(&mut handled, 0..5).await;
            // each death led to one, the start to two, and each look to one more
            assert!(proxy.accepted() > 2 + 5, "it looked");
            app.shut_down().await.unwrap();
            assert!(bed.is_empty(&queue).await);
            assert!(bed.is_empty(&format!("{queue}_dlq")).await);
        })
        .await;
}

#[test]
fn the_deepest_headers_are_read_where_threads_have_the_stack_for_it() {
    // eight times of what a program needs that is optimized
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(128 * 1024 * 1024)
        .enable_all()
        .build()
        .unwrap();
    let test = async {
        let bed = Bed::rabbit().await;
        bed.run(async |bed| {
            let queue = bed.queue_name();
            let mut client = RawClient::connect(rabbit().await);
            let (seen, mut handled) = seen();
            let app = bed.start(&queue, handlers(seen)).await;
            let deep = [header(KEY.as_bytes(), b"work"), nested(20_000)].concat();
            client.publish(&queue, &with_headers(&deep), b"0");
            until_handled(&mut handled, 0..1).await;
            app.shut_down().await.unwrap();
            assert!(bed.is_empty(&queue).await);
            assert!(bed.is_empty(&format!("{queue}_dlq")).await);
        })
        .await;
    };
    runtime.block_on(test);
}
