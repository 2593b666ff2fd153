//! Looking at dead letters, and moving them, while the program is not run or runs beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use ploomby::extract::{Batch, State};
use ploomby::ops::{
    Declaration, Deletion, Filter, Fit, GroupBy, Groups, Letter, Level, Look, Ops, OpsError,
};
use ploomby::{
    App, Binding, Declare, Exchange, HandlerOptions, HandlerRegistry, KeySource, Publisher, Queue,
    Retry, Running,
};
use ploomby_tests::{Bed, DEADLINE, KEY, Seen, eventually, seen};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Order {
    id: u32,
}

/// What the handlers need, and nobody makes for a look.
#[derive(Clone)]
struct Mended(Arc<AtomicBool>);

/// Fails for orders of three kinds, until it is mended.
pub(super) fn app(bed: &Bed, queue: &str, seen: &'static Seen, is_mended: &Arc<AtomicBool>) -> App {
    let place = move |State(mended): State<Mended>, order: Order| async move {
        if mended.0.load(SeqCst) {
            seen.note(order.id.to_string());
            return Ok(());
        }
        match order.id % 3 {
            0 => anyhow::bail!("order {} is closed", order.id),
            1 => anyhow::bail!("cannot reach 10.0.0.{}: timed out", order.id),
            _ => anyhow::bail!("no luck"),
        }
    };
    let state = Mended(is_mended.clone());
    App::new(bed.url())
        .handlers(HandlerRegistry::new().register("place", place))
        .state_with(async move || Ok::<_, std::io::Error>(state))
        // one after another, so that the order can be told
        .queue(Queue::new(queue).key(KeySource::header(KEY)).concurrency(1))
}

/// A queue with so many letters, and the program that made them.
pub(super) async fn failed(
    bed: &Bed,
    letters: u32,
) -> (
    String,
    &'static Seen,
    Arc<AtomicBool>,
    Running,
    ploomby_tests::Handled,
) {
    let queue = bed.queue_name();
    let (seen, handled) = seen();
    let is_mended = Arc::new(AtomicBool::new(false));
    let running = app(bed, &queue, seen, &is_mended).start().await.unwrap();
    for id in 0..letters {
        bed.send(&queue, "place", format!(r#"{{"id":{id}}}"#)).await;
    }
    let dead = format!("{queue}_dlq");
    eventually(DEADLINE, async || bed.ready_count(&dead).await == letters).await;
    (queue, seen, is_mended, running, handled)
}

pub(super) async fn all(mut look: Look<'_>) -> Vec<Letter> {
    let mut letters = Vec::new();
    while let Some(letter) = look.next().await.unwrap() {
        letters.push(letter);
    }
    look.end().await.unwrap();
    letters
}

pub(super) async fn ids(ops: &Ops, queue: &str) -> Vec<String> {
    let letters = all(ops.look(queue).await.unwrap()).await;
    letters.iter().map(Letter::id).collect()
}

pub(crate) async fn a_look_changes_nothing(bed: Arc<Bed>) {
    const LETTERS: u32 = 40;

    let (queue, seen, is_mended, running, _handled) = failed(&bed, LETTERS).await;
    let ops = app(&bed, &queue, seen, &is_mended).ops().unwrap();
    let first = ids(&ops, &queue).await;
    assert_eq!(first.len(), LETTERS as usize);
    for scan in [0, 1, 13, 100] {
        let look = ops.look(&queue).await.unwrap().scan(scan);
        let total = look.total();
        assert_eq!(total, LETTERS as usize);
        let letters = all(look).await;
        assert_eq!(letters.len(), scan.min(total));
    }
    // one that is dropped, as by a process that is killed
    let mut look = ops.look(&queue).await.unwrap();
    for _ in 0..10 {
        look.next().await.unwrap();
    }
    assert_eq!(look.not_looked_at(), LETTERS as usize - 10);
    drop(look);
    let dead = format!("{queue}_dlq");
    eventually(DEADLINE, async || bed.ready_count(&dead).await == LETTERS).await;
    assert_eq!(ids(&ops, &queue).await, first);

    let letter = ops.letter(&queue, &first[7], 100).await.unwrap();
    assert_eq!(
        (letter.id(), letter.key()),
        (first[7].clone(), Some("place"))
    );
    assert_eq!(letter.message().body(), r#"{"id":7}"#);
    assert_eq!((letter.attempts(), letter.replayed()), (Some(1), 0));
    let missing = ops.letter(&queue, &first[7], 5).await.unwrap_err();
    assert!(matches!(missing, OpsError::NoLetter(_)), "{missing}");
    ops.close().await;
    running.shut_down().await.unwrap();
}

pub(crate) async fn letters_of_one_cause_are_a_group(bed: Arc<Bed>) {
    let (queue, seen, is_mended, running, _handled) = failed(&bed, 10).await;
    let ops = app(&bed, &queue, seen, &is_mended).ops().unwrap();
    let letters = all(ops.look(&queue).await.unwrap()).await;
    let grouped = |by| {
        let mut groups = Groups::new(by);
        letters.iter().for_each(|letter| groups.add(letter));
        let groups = groups.into_groups().into_iter();
        groups
            .map(|group| (group.name.unwrap_or_default(), group.count))
            .collect::<Vec<_>>()
    };
    let expected = [
        ("order # is closed", 4),
        ("cannot reach #: timed out", 3),
        ("no luck", 3),
    ];
    assert_eq!(
        grouped(GroupBy::Error),
        expected.map(|(name, count)| (name.to_owned(), count))
    );
    assert_eq!(grouped(GroupBy::Key), [("place".to_owned(), 10)]);
    assert_eq!(grouped(GroupBy::Reason), [("handler-error".to_owned(), 10)]);
    let matching = |filter: Filter| {
        letters
            .iter()
            .filter(|letter| filter.matches(letter))
            .count()
    };
    assert_eq!(matching(Filter::all().error("closed")), 4);
    assert_eq!(matching(Filter::all().key("other")), 0);
    assert_eq!(matching(Filter::all().header("ploomby-attempts", "1")), 10);
    assert_eq!(
        matching(Filter::all().id(letters[3].id()).id(letters[4].id())),
        2
    );
    let now = std::time::SystemTime::now();
    assert_eq!(matching(Filter::all().since(now - DEADLINE)), 10);
    assert_eq!(matching(Filter::all().until(now - DEADLINE * 9)), 0);
    let depths = ops.depths().await.unwrap();
    assert_eq!(
        (depths[0].ready, depths[0].dead, depths[0].consumers),
        (Some(0), 10, 1)
    );
    ops.close().await;
    running.shut_down().await.unwrap();
}

/// RabbitMQ 4.0 to 4.2 drop what came back 20 times to a quorum queue without a limit of its own.
pub(crate) async fn a_letter_outlives_a_hundred_looks(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let app = || {
        let handlers = HandlerRegistry::new()
            .register("place", async || Err::<(), _>(anyhow::anyhow!("no luck")));
        let queue = Queue::new(&queue).key(KeySource::header(KEY));
        App::new(bed.url())
            .handlers(handlers)
            .queue(queue.queue_argument("x-queue-type", "quorum"))
    };
    let running = app().start().await.unwrap();
    bed.send(&queue, "place", "1").await;
    let dead = format!("{queue}_dlq");
    eventually(DEADLINE, async || bed.ready_count(&dead).await == 1).await;
    running.shut_down().await.unwrap();
    let ops = app().ops().unwrap();
    let first = ids(&ops, &queue).await;
    for look in 0..100 {
        // a quorum queue takes a moment to count what was given back
        eventually(DEADLINE, async || bed.ready_count(&dead).await == 1).await;
        assert_eq!(ids(&ops, &queue).await, first, "{look}");
    }
    eventually(DEADLINE, async || bed.ready_count(&dead).await == 1).await;
    ops.close().await;
}

pub(crate) async fn what_leads_to_a_queue_is_declared_with_it(bed: Arc<Bed>) {
    let (queue, other) = (bed.queue_name(), bed.queue_name());
    let events = Exchange::topic(bed.exchange_name());
    let of_europe = Exchange::headers(bed.exchange_name()).bind(&events, "order.#");
    let app = |binding: Binding| {
        let handlers = HandlerRegistry::new().register("order.eu", async |_: u32| {});
        let queues = [&queue, &other].map(|queue| {
            let queue = Queue::new(queue).key(KeySource::RoutingKey);
            queue
                .bind(&events, "order.*")
                .bind(&of_europe, binding.clone())
        });
        let [queue, other] = queues;
        App::new(bed.url())
            .handlers(handlers)
            .queue(queue)
            .queue(other.declare(Declare::Never))
    };
    let program = app(Binding::all_of([("region", "eu")])).program();
    let exchanges = program.exchanges().into_iter();
    let kinds: Vec<_> = exchanges
        .map(|one| (one.exchange, one.kind.unwrap(), one.is_declared))
        .collect();
    let [events_name, europe] = [&events, &of_europe].map(|exchange| exchange.name().to_owned());
    let expected = [
        (events_name.clone(), "topic".to_owned(), true),
        (europe.clone(), "headers".to_owned(), true),
    ];
    assert_eq!(kinds, expected);
    let bindings = serde_json::to_value(program.bindings()).unwrap();
    let binding = |source: &str, destination: &str, to: &str, key: &str, is_declared: bool| {
        json!({
            "v": 1, "source": source, "destination": destination, "to": to, "routing_key": key,
            "is_declared": is_declared, "arguments": {}
        })
    };
    assert_eq!(
        bindings[0],
        binding(&events_name, &europe, "exchange", "order.#", true)
    );
    assert_eq!(
        bindings[1],
        binding(&events_name, &queue, "queue", "order.*", true)
    );
    assert_eq!(
        bindings[2]["arguments"],
        json!({"x-match": "all", "region": "eu"})
    );
    assert_eq!(
        bindings[3],
        binding(&events_name, &other, "queue", "order.*", false)
    );

    let ops = app(Binding::all_of([("region", "eu")])).ops().unwrap();
    for missing in [2, 0] {
        assert_eq!(ops.declare().await.unwrap().len(), missing);
    }
    ops.close().await;
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    let event = publisher.through(&events, "order.eu").payload(&1);
    event.send().await.unwrap();
    eventually(DEADLINE, async || bed.ready_count(&queue).await == 1).await;

    // what no broker takes is known without one
    let findings = app(Binding::all_of::<&str, &str>([])).check_offline();
    let bad: Vec<_> = findings
        .iter()
        .filter(|finding| finding.level == Level::Bad)
        .collect();
    assert!(!bad.is_empty(), "{findings:?}");
    assert!(bad[0].text.contains(&europe), "{bad:?}");
}

pub(crate) async fn what_is_declared_is_checked_and_not_made(bed: Arc<Bed>) {
    let queue = bed.queue_name();
    let retry = Retry::fixed(3, Duration::from_secs(2));
    let app = || {
        let handlers = HandlerRegistry::new().register("place", async |_: u32| {});
        let queue = Queue::new(&queue)
            .key(KeySource::header(KEY))
            .retry(retry.clone());
        App::new(bed.url()).handlers(handlers).queue(queue)
    };
    let waiting = format!("{queue}_retry_2000ms");
    bed.remove_later(&waiting);
    let ops = app().ops().unwrap();
    let worst = async |ops: &Ops| {
        ops.check()
            .await
            .into_iter()
            .map(|finding| finding.level)
            .max()
    };
    assert!(worst(&ops).await < Some(Level::Bad));
    assert_eq!(ops.depths().await.unwrap()[0].ready, None);
    let names =
        |declared: Vec<Declaration>| declared.into_iter().map(|one| one.name).collect::<Vec<_>>();
    let all = [queue.clone(), format!("{queue}_dlq"), waiting];
    assert_eq!(names(app().program().topology()), all);
    assert_eq!(names(ops.declare().await.unwrap()), all);
    assert!(ops.declare().await.unwrap().is_empty());
    let levels = worst(&ops).await;
    assert!(levels < Some(Level::Bad), "{:?}", ops.check().await);
    bed.send(&queue, "place", "1").await;
    assert_eq!(ops.sample(5).await.unwrap()[0].level, Level::Good);
    bed.send(&queue, "place", "-1").await;
    assert_eq!(ops.sample(1).await.unwrap()[0].level, Level::Good);
    assert_eq!(ops.sample(5).await.unwrap()[0].level, Level::Bad);
    eventually(DEADLINE, async || bed.ready_count(&queue).await == 2).await;
    assert!(ops.leftovers(Deletion::Never).await.unwrap().is_empty());
    // any handler may need it
    let brakes = format!("{queue}_retry_5000ms");
    bed.declare(&brakes, &[]).await;
    assert!(ops.leftovers(Deletion::IfEmpty).await.unwrap().is_empty());
    bed.delete(&brakes).await;
    let left = format!("{queue}_retry_8000ms");
    bed.declare(&left, &[]).await;
    let leftovers = ops.leftovers(Deletion::IfEmpty).await.unwrap();
    assert_eq!((&leftovers[0].name, leftovers[0].is_deleted), (&left, true));
    assert!(ops.leftovers(Deletion::Never).await.unwrap().is_empty());
    ops.close().await;

    // what is wrong is told without a broker
    let nothing = App::new(bed.url())
        .handlers(HandlerRegistry::new())
        .queue(Queue::new(&queue).consumers(0));
    let found = nothing.check_offline();
    let bad: Vec<_> = found
        .iter()
        .filter(|finding| finding.level == Level::Bad)
        .collect();
    assert!(bad[0].text.contains("no handler"), "{found:?}");
    assert!(bad[1].text.contains("no consumers"), "{found:?}");
}

pub(crate) async fn what_is_discarded_can_be_brought_back(bed: Arc<Bed>) {
    let (queue, seen, is_mended, running, _handled) = failed(&bed, 6).await;
    let ops = app(&bed, &queue, seen, &is_mended).ops().unwrap();
    let before = ids(&ops, &queue).await;
    let mut exported = Vec::new();
    let done = ops
        .export(&queue, &Filter::all(), 100, &mut exported)
        .await
        .unwrap();
    assert_eq!(done.done, 6);
    let mut discarded = Vec::new();
    let mut discarding = ops.discard(&queue, Filter::all(), 100).await.unwrap();
    while discarding
        .next(Some(&mut discarded))
        .await
        .unwrap()
        .is_some()
    {}
    assert_eq!(discarding.end().await.unwrap().done, 6);
    assert_eq!(discarded, exported);
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
    let done = ops.import(&queue, &mut &discarded[..]).await.unwrap();
    assert_eq!(done.done, 6);
    assert_eq!(ids(&ops, &queue).await, before);
    let mut again = Vec::new();
    ops.export(&queue, &Filter::all(), 100, &mut again)
        .await
        .unwrap();
    assert_eq!(
        String::from_utf8(again).unwrap(),
        String::from_utf8(exported).unwrap()
    );
    let error = ops
        .import(&queue, &mut &b"\nnothing"[..])
        .await
        .unwrap_err();
    assert!(matches!(error, OpsError::Line { line: 2, .. }), "{error}");
    ops.close().await;
    running.shut_down().await.unwrap();
}

/// Neither the handler nor what it needs is there: its payload decides.
pub(crate) async fn it_is_told_which_letters_this_build_would_take(bed: Arc<Bed>) {
    let (queue, seen, is_mended, running, handled) = failed(&bed, 1).await;
    bed.send(&queue, "place", r#"{"id":"seven"}"#).await;
    bed.send(&queue, "cancel", "1").await;
    bed.send(&queue, "batch", "1").await;
    let dead = format!("{queue}_dlq");
    eventually(DEADLINE, async || bed.ready_count(&dead).await == 4).await;
    running.shut_down().await.unwrap();
    let fits = async |ops: &Ops| {
        let letters = all(ops.look(&queue).await.unwrap()).await;
        letters
            .iter()
            .map(|letter| ops.fits(&queue, letter))
            .collect::<Vec<_>>()
    };
    let ops = app(&bed, &queue, seen, &is_mended).ops().unwrap();
    let [
        Fit::Fits,
        Fit::Unfit { reason, error },
        Fit::Unfit {
            reason: unknown, ..
        },
        _,
    ] = &fits(&ops).await[..]
    else {
        panic!("{:?}", fits(&ops).await);
    };
    assert_eq!(
        (reason.as_str(), unknown.as_str()),
        ("undecodable", "unknown-key")
    );
    assert!(error.contains("`id`"), "{error}");

    // the next build
    let batch = move |numbers: Batch<u32>| async move { seen.note(numbers.len().to_string()) };
    let place = move |order: serde_json::Value| async move { seen.note(order.to_string()) };
    let cancel = move || async move { seen.note("cancel") };
    let handlers = HandlerRegistry::new()
        .register("place", place)
        .register_with("cancel", HandlerOptions::new().queue(&queue), cancel)
        .register("batch", batch);
    let next = App::new(bed.url())
        .handlers(handlers)
        .queue(Queue::new(&queue).key(KeySource::header(KEY)));
    let ops = next.ops().unwrap();
    assert!(
        fits(&ops).await.iter().all(|fit| *fit == Fit::Fits),
        "{:?}",
        fits(&ops).await
    );
    let first = all(ops.look(&queue).await.unwrap()).await.remove(0);
    assert_eq!(
        ops.body_as_json(&queue, &first),
        Some(serde_json::json!({"id": 0}))
    );
    assert!(handled.is_empty(), "no handler ran");
    let handlers = &ops.program().handlers;
    let known: Vec<_> = handlers
        .iter()
        .map(|handler| (&*handler.keys[0], handler.payload.as_deref()))
        .collect();
    assert_eq!(known[0], ("batch", Some("u32")));
    assert_eq!(known[1], ("cancel", None));
    assert!(
        handlers[0].file.ends_with("contract/operations.rs"),
        "{}",
        handlers[0].file
    );
    ops.close().await;
}
