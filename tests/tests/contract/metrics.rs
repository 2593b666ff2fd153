use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use ploomby::extract::{Attempt, RawBody};
use ploomby::{
    CallError, Distribution, HandlerMetrics, HandlerRegistry, KeySource, Metrics, Outcome,
    Publisher, Queue, QueueMetrics, Reason, Reply, Retry, RpcClient,
};
use ploomby_tests::{Bed, DEADLINE, KEY, eventually, eventually_some, seen};
use tokio::sync::Semaphore;

fn of_queue(metrics: &Metrics, queue: &str) -> QueueMetrics {
    let mut queues = metrics.queues().into_iter();
    queues.find(|of| of.queue() == queue).unwrap()
}

/// Its numbers, if it has had a message.
fn of_handler(metrics: &Metrics, queue: &str, name: &str) -> Option<HandlerMetrics> {
    let queue = of_queue(metrics, queue);
    let mut handlers = queue.handlers().iter();
    handlers.find(|of| of.handler().contains(name)).cloned()
}

/// The numbers of a handler once so many of its messages were settled in this way.
async fn once_settled(
    metrics: &Metrics,
    (queue, name): (&str, &str),
    outcome: Outcome,
    count: u64,
) -> HandlerMetrics {
    eventually_some(DEADLINE, async || {
        of_handler(metrics, queue, name).filter(|of| of.settled(outcome) >= count)
    })
    .await
}

fn charges((attempt, body): (u32, &[u8])) -> anyhow::Result<()> {
    match body {
        b"never" => bail!("no money"),
        b"later" if attempt == 1 => bail!("not yet"),
        _ => Ok(()),
    }
}

pub(crate) async fn messages_are_counted_by_what_becomes_of_them(bed: Arc<Bed>) {
    async fn charge(Attempt(attempt): Attempt, RawBody(body): RawBody) -> anyhow::Result<()> {
        charges((attempt, &body))
    }

    let queue = bed.queue_name();
    bed.remove_later(&format!("{queue}_retry_50ms"));
    let retry = Retry::fixed(2, Duration::from_millis(50));
    let consumed = Queue::new(&queue).key(KeySource::header(KEY)).retry(retry);
    let handlers = HandlerRegistry::new().register("charge", charge);
    let app = bed.start_queue(consumed, handlers).await;
    let metrics = app.metrics();
    for body in ["fine", "later", "never", "fine"] {
        bed.send(&queue, "charge", body).await;
    }
    bed.send(&queue, "unheard", "of").await;

    let at = (queue.as_str(), "charge");
    once_settled(&metrics, at, Outcome::Ack, 3).await;
    let charge = once_settled(&metrics, at, Outcome::DeadLetter, 1).await;
    let reason = Some(Reason::HandlerError);
    assert_eq!(charge.settled_for(Outcome::Ack, None), 3);
    assert_eq!(charge.settled_for(Outcome::Retry, reason), 2);
    assert_eq!(charge.settled_for(Outcome::DeadLetter, reason), 1);
    assert_eq!(charge.settled(Outcome::Requeue), 0);
    // two of them twice
    assert_eq!(charge.consumed(), 6);
    assert_eq!(charge.failed(Reason::HandlerError), 3);
    assert_eq!(charge.duration().count(), 6);
    assert_eq!(charge.in_flight(), 0);

    let unknown = once_settled(&metrics, (&queue, "_unknown"), Outcome::DeadLetter, 1).await;
    assert_eq!(unknown.consumed(), 1);
    assert_eq!(unknown.failed(Reason::UnknownKey), 1);
    assert_eq!(unknown.duration().count(), 0);
    app.shut_down().await.unwrap();
    // what was counted stays
    assert_eq!(
        of_handler(&metrics, &queue, "charge").unwrap().consumed(),
        6
    );
}

pub(crate) async fn a_message_is_in_flight_while_its_handler_is_at_work(bed: Arc<Bed>) {
    let gate = Arc::new(Semaphore::new(0));
    let (seen, mut handled) = seen();
    let passing = gate.clone();
    let handler = move || {
        let gate = passing.clone();
        async move {
            seen.note("begun");
            gate.acquire().await.unwrap().forget();
        }
    };
    let queue = bed.queue_name();
    let handlers = HandlerRegistry::new().register("wait", handler);
    let app = bed.start(&queue, handlers).await;
    let metrics = app.metrics();
    for _ in 0..2 {
        bed.send(&queue, "wait", "").await;
        handled.next_note().await;
    }
    let waiting = of_handler(&metrics, &queue, "a_message_is_in_flight").unwrap();
    assert_eq!((waiting.in_flight(), waiting.consumed()), (2, 0));
    gate.add_permits(1);
    let at = (queue.as_str(), "a_message_is_in_flight");
    let waiting = once_settled(&metrics, at, Outcome::Ack, 1).await;
    assert_eq!((waiting.in_flight(), waiting.consumed()), (1, 1));
    gate.add_permits(1);
    app.shut_down().await.unwrap();
    let waiting = of_handler(&metrics, &queue, "a_message_is_in_flight").unwrap();
    assert_eq!((waiting.in_flight(), waiting.consumed()), (0, 2));
}

pub(crate) async fn it_is_counted_how_long_messages_waited_that_say_when_they_were_sent(
    bed: Arc<Bed>,
) {
    async fn note() {}

    let queue = bed.queue_name();
    bed.declare(&queue, &[]).await;
    let publisher = Publisher::connect(bed.url()).await.unwrap();
    let publisher = publisher.key(KeySource::header(KEY));
    publisher.send(&queue, "note", &1).await.unwrap();
    let handlers = HandlerRegistry::new().register("note", note);
    let app = bed.start(&queue, handlers).await;
    let metrics = app.metrics();
    let at = (queue.as_str(), "note");
    let of = once_settled(&metrics, at, Outcome::Ack, 1).await;
    assert_eq!(of.queue_time().count(), 1);
    // a sender that does not say it
    bed.publish_as_it_is(
        &queue,
        ploomby::Message::new("").with_header(KEY, "note").unwrap(),
    )
    .await;
    let of = once_settled(&metrics, at, Outcome::Ack, 2).await;
    assert_eq!(of.queue_time().count(), 1);
    publisher.close().await;
    app.shut_down().await.unwrap();
}

pub(crate) async fn what_handlers_send_and_programs_call_is_counted(bed: Arc<Bed>) {
    async fn pass_on(publisher: Publisher, RawBody(to): RawBody) -> anyhow::Result<()> {
        let to = std::str::from_utf8(&to)?;
        // the queue that is missing is an error that is counted
        let _ = publisher.to(to).body("x").send().await;
        Ok(())
    }
    async fn answer() -> Reply<u32> {
        Reply(7)
    }

    let (queue, other) = (bed.queue_name(), bed.queue_name());
    let missing = format!("{other}_missing");
    bed.declare(&other, &[]).await;
    let handlers = HandlerRegistry::new()
        .register("pass_on", pass_on)
        .register("answer", answer);
    let app = bed.start(&queue, handlers).await;
    let metrics = app.metrics();
    for to in [&other, &other, &missing] {
        bed.send(&queue, "pass_on", to.as_str()).await;
    }
    once_settled(&metrics, (&queue, "pass_on"), Outcome::Ack, 3).await;
    let publisher = app.publisher().await.unwrap().key(KeySource::header(KEY));
    let outgoing = ["1", "2", "3"].map(|body| publisher.to(&other).body(body));
    publisher.send_all(outgoing).await.unwrap();
    let client = RpcClient::beside(&publisher).await.unwrap();
    assert_eq!(
        client.call::<_, u32>(&queue, "answer", &()).await.unwrap(),
        7
    );
    let called = client.call::<_, u32>(&missing, "answer", &()).await;
    assert!(matches!(called, Err(CallError::NobodyListens(_))));

    let sent = metrics.sent();
    let count = |operation: &str, to: &str, error: Option<&str>| {
        let mut all = sent.iter();
        let found = all.find(|sent| {
            (sent.operation(), sent.destination(), sent.error()) == (operation, to, error)
        });
        found.map_or(0, |sent| sent.count())
    };
    assert_eq!(count("send", &other, None), 5);
    assert_eq!(count("send", &missing, Some("unroutable")), 1);
    assert_eq!(count("call", &queue, None), 1);
    assert_eq!(count("call", &missing, Some("nobody-listens")), 1);
    assert_eq!(sent.len(), 4, "{sent:?}");
    client.close().await;
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_queue_tells_of_its_consumers_and_its_brakes(bed: Arc<Bed>) {
    async fn charge() {}

    let queue = bed.queue_name();
    let handlers = HandlerRegistry::new().register("charge", charge);
    let app = bed.start(&queue, handlers).await;
    let metrics = app.metrics();
    let says = |line: &str| {
        let line = line.replace("QUEUE", &format!("messaging_destination_name=\"{queue}\""));
        metrics.prometheus().lines().any(|known| known == line)
    };
    assert!(says("ploomby_consumer_up{QUEUE} 1"));
    assert!(says("ploomby_reconnects_total{QUEUE} 0"));
    assert!(says("ploomby_connection_blocked 0"));
    if !bed.is_memory() {
        // it is declared again; the embedded broker loses no moment over that
        bed.delete(&queue).await;
        let returned = async || of_queue(&metrics, &queue).health().reconnects() > 0;
        eventually(DEADLINE, returned).await;
        eventually(DEADLINE, async || says("ploomby_consumer_up{QUEUE} 1")).await;
    }
    assert!(app.pause_handler(&queue, "charge", "the test"));
    let path = of_queue(&metrics, &queue).health().brakes()[0]
        .handler()
        .to_owned();
    let braked = format!("ploomby_handler_braked{{QUEUE,ploomby_handler=\"{path}\"");
    assert!(says(&format!("{braked},cause=\"paused\"}} 1")));
    assert!(app.resume_handler(&queue, "charge"));
    bed.send(&queue, "charge", "").await;
    once_settled(&metrics, (&queue, "charge"), Outcome::Ack, 1).await;
    assert!(says(&format!("{braked},cause=\"paused\"}} 0")));
    app.shut_down().await.unwrap();
    assert!(says("ploomby_consumer_up{QUEUE} 0"));
}

/// The names and labels, by the letter: dashboards and alarms hang on them.
pub(crate) async fn prometheus_reads_all_of_it(bed: Arc<Bed>) {
    async fn charge(RawBody(body): RawBody) -> anyhow::Result<()> {
        charges((1, &body))
    }

    let queue = bed.queue_name();
    let consumed = Queue::new(&queue);
    let handlers = HandlerRegistry::new().register("charge", charge);
    let app = bed.start_queue(consumed, handlers).await;
    let metrics = app.metrics();
    let publisher = app.publisher().await.unwrap();
    for body in ["fine", "never"] {
        let message = publisher.to(&queue).key("charge").body(body);
        message.send().await.unwrap();
    }
    once_settled(&metrics, (&queue, "charge"), Outcome::Ack, 1).await;
    let charge = once_settled(&metrics, (&queue, "charge"), Outcome::DeadLetter, 1).await;
    let text = metrics.prometheus();
    let path = charge.handler();
    let of_queue = format!("messaging_destination_name=\"{queue}\"");
    let of_handler = format!("{of_queue},ploomby_handler=\"{path}\"");
    let reason = r#"reason="handler-error""#;
    let error = r#"error_type="handler-error""#;
    let of_send = format!(r#"{of_queue},messaging_operation_name="send""#);
    for line in [
        "# TYPE messaging_client_consumed_messages_total counter".to_owned(),
        format!("messaging_client_consumed_messages_total{{{of_handler}}} 1"),
        format!("messaging_client_consumed_messages_total{{{of_handler},{error}}} 1"),
        "# TYPE messaging_process_duration_seconds histogram".to_owned(),
        format!("messaging_process_duration_seconds_bucket{{{of_handler},le=\"+Inf\"}} 1"),
        format!("messaging_process_duration_seconds_bucket{{{of_handler},{error},le=\"3600\"}} 1"),
        format!("messaging_process_duration_seconds_count{{{of_handler}}} 1"),
        "# TYPE messaging_client_sent_messages_total counter".to_owned(),
        format!("messaging_client_sent_messages_total{{{of_send}}} 2"),
        "# TYPE messaging_client_operation_duration_seconds histogram".to_owned(),
        format!("messaging_client_operation_duration_seconds_count{{{of_send}}} 2"),
        "# TYPE ploomby_messages_settled_total counter".to_owned(),
        format!("ploomby_messages_settled_total{{{of_handler},outcome=\"ack\"}} 1"),
        format!(
            "ploomby_messages_settled_total{{{of_handler},outcome=\"dead_letter\",{reason}}} 1"
        ),
        "# TYPE ploomby_messages_in_flight gauge".to_owned(),
        format!("ploomby_messages_in_flight{{{of_handler}}} 0"),
        "# TYPE ploomby_message_queue_time_seconds histogram".to_owned(),
        "# TYPE ploomby_handler_braked gauge".to_owned(),
        format!("ploomby_handler_braked{{{of_handler},cause=\"unavailable\"}} 0"),
        "# TYPE ploomby_consumer_up gauge".to_owned(),
        format!("ploomby_consumer_up{{{of_queue}}} 1"),
        "# TYPE ploomby_reconnects_total counter".to_owned(),
        format!("ploomby_reconnects_total{{{of_queue}}} 0"),
        "# TYPE ploomby_connection_blocked gauge".to_owned(),
        "ploomby_connection_blocked 0".to_owned(),
        "# TYPE ploomby_replies_dropped_total counter".to_owned(),
        format!("ploomby_replies_dropped_total{{{of_queue},cause=\"refused\"}} 0"),
        "# TYPE ploomby_replies_unroutable_total counter".to_owned(),
        format!("ploomby_replies_unroutable_total{{{of_queue}}} 0"),
    ] {
        assert!(
            text.lines().any(|known| known == line),
            "no {line} in\n{text}"
        );
    }
    let sums = text.lines().filter(|line| line.contains("_sum{")).count();
    assert_eq!(sums, text.matches("le=\"+Inf\"").count());
    assert!(of_handler_is_whole(&charge.duration()));
    app.shut_down().await.unwrap();
}

/// Each bucket has what those below it have.
fn of_handler_is_whole(times: &Distribution) -> bool {
    let counts: Vec<_> = times.buckets().map(|(_, count)| count).collect();
    counts.is_sorted() && counts.last() == Some(&times.count())
}

/// The names in the dashboard and in the alarms, each of which is to be in what the program says.
pub(crate) async fn dashboard_and_alarms_name_what_there_is(bed: Arc<Bed>) {
    const LABELS: [&str; 3] = [
        "messaging_destination_name",
        "messaging_operation_name",
        "ploomby_handler",
    ];

    let queue = bed.queue_name();
    let handlers = HandlerRegistry::new().register("any", async || {});
    let app = bed.start(&queue, handlers).await;
    let text = app.metrics().prometheus();
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut known: Vec<String> = LABELS.map(str::to_owned).to_vec();
    for (name, kind) in families.filter_map(|family| family.split_once(' ')) {
        match kind {
            "histogram" => {
                known.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")))
            }
            _ => known.push(name.to_owned()),
        }
    }
    for file in [
        include_str!("../../../docs/metrics/grafana.json"),
        include_str!("../../../docs/metrics/alerts.yml"),
    ] {
        let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let words = file.split(|character: char| !is_name(character));
        let names =
            words.filter(|word| word.starts_with("ploomby_") || word.starts_with("messaging_"));
        let names: Vec<_> = names.collect();
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            assert!(
                known.iter().any(|known| known == name),
                "{name} is not in\n{text}"
            );
        }
    }
    app.shut_down().await.unwrap();
}
