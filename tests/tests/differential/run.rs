use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use futures_util::FutureExt;
use ploomby::{
    Delivery, HandlerRegistry, KeySource, Message, Outcome, Permanent, Properties, PublishError,
    Publisher, Queue, Retry, Running, Value,
};
use ploomby_tests::{Bed, KEY, Proxy, Received, eventually, rabbit};

use crate::program::{Act, Key, Limit, Place, Program, Sent, Step};

/// How long RabbitMQ may need for what the embedded broker has done.
const PATIENCE: Duration = Duration::from_secs(90);
const RETRY: Duration = Duration::from_millis(50);
/// How the queues end in which messages wait.
const WAITS: [&str; 5] = [
    "retry_50ms",
    "retry_1000ms",
    "delay_60ms",
    "delay_120ms",
    "delay_2000ms",
];
/// Longer than anything in a program waits.
const WHILE: Duration = Duration::from_millis(500);

/// Runs a program on both brokers.
pub(crate) async fn compare(seed: u64, program: Program) -> Result<(), String> {
    let told = |what: &str| format!("PLOOMBY_PROGRAM={seed}: {what}\n{program:#?}");
    let memory = Run::of(&program, Bed::memory().await, None).await;
    let memory = memory.map_err(|panic| told(&format!("on the embedded broker: {panic}")))?;
    let rabbit = Run::of(&program, Bed::rabbit().await, Some(&memory)).await;
    let rabbit = rabbit.map_err(|panic| told(&format!("on RabbitMQ: {panic}")))?;
    if memory == rabbit {
        return Ok(());
    }
    Err(told(&format!(
        "the embedded broker did\n{memory:#?}\nand RabbitMQ\n{rabbit:#?}"
    )))
}

/// What can be seen of a run, after each step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen(Vec<AfterStep>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct AfterStep {
    /// What came of each message that was sent, in their order.
    sent: Vec<String>,
    /// What the handlers were given, and what came of what they sent, until now. They run side by side.
    handled: Vec<String>,
    /// How many messages each queue has, without those that wait.
    counts: BTreeMap<Place, u32>,
    dead: u32,
    taken: Vec<String>,
}

struct Run<'a> {
    program: &'a Program,
    bed: Arc<Bed>,
    url: String,
    proxy: Option<Proxy>,
    names: Names,
    publisher: Publisher,
    handled: Arc<Mutex<Vec<String>>>,
    exists: BTreeMap<Place, bool>,
    app: Option<Running>,
    seen: Seen,
    /// What the other broker did.
    expected: Option<&'a Seen>,
    now: AfterStep,
}

#[derive(Clone)]
struct Names {
    work: String,
    left: String,
    right: String,
    nowhere: String,
}

impl Names {
    fn of(&self, place: Place) -> &str {
        match place {
            Place::Work => &self.work,
            Place::Left => &self.left,
            Place::Right => &self.right,
            Place::Nowhere => &self.nowhere,
        }
    }

    /// The same text for each run.
    fn hidden(&self, text: &str) -> String {
        let places = [Place::Work, Place::Left, Place::Right, Place::Nowhere];
        places.iter().fold(text.to_owned(), |text, place| {
            text.replace(self.of(*place), &format!("{place:?}"))
        })
    }
}

impl<'a> Run<'a> {
    /// Runs a program, and removes its queues.
    async fn of(
        program: &'a Program,
        bed: Bed,
        expected: Option<&'a Seen>,
    ) -> Result<Seen, String> {
        let seen = Mutex::new(Seen::default());
        let running = bed.run(async |bed| {
            let mut run = Run::new(program, bed, expected).await;
            run.start().await;
            for step in &program.steps {
                run.step(step).await;
            }
            run.end().await;
            *seen.lock().unwrap() = run.seen.clone();
            run.publisher.clone().close().await;
        });
        match AssertUnwindSafe(running).catch_unwind().await {
            Ok(()) => Ok(seen.into_inner().unwrap()),
            Err(panic) => Err(panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_default()),
        }
    }

    async fn new(program: &'a Program, bed: Arc<Bed>, expected: Option<&'a Seen>) -> Self {
        let (url, proxy) = match bed.is_memory() {
            true => (bed.url().to_owned(), None),
            false => {
                let rabbit = rabbit().await;
                let proxy = Proxy::before((rabbit.host().to_owned(), rabbit.port())).await;
                (proxy.url(), Some(proxy))
            }
        };
        let names = Names {
            work: bed.queue_name(),
            left: bed.queue_name(),
            right: bed.queue_name(),
            nowhere: bed.queue_name(),
        };
        for place in [Place::Work, Place::Left, Place::Right] {
            for wait in WAITS {
                bed.remove_later(&format!("{}_{wait}", names.of(place)));
            }
        }
        Self {
            program,
            publisher: Publisher::connect(bed.url())
                .await
                .unwrap()
                .key(KeySource::header(KEY)),
            url,
            proxy,
            names,
            handled: Arc::default(),
            exists: BTreeMap::new(),
            app: None,
            seen: Seen::default(),
            expected,
            now: AfterStep::default(),
            bed,
        }
    }

    async fn start(&mut self) {
        self.declare(Place::Right).await;
        self.declare(Place::Left).await;
        self.start_app().await;
    }

    async fn start_app(&mut self) {
        let program = self.program;
        let mut queue = Queue::new(&self.names.work).retry(Retry::fixed(program.attempts, RETRY));
        queue = queue.key(KeySource::header(KEY));
        if program.is_quorum {
            queue = queue.queue_argument("x-queue-type", "quorum");
        }
        if program.one_at_a_time {
            queue = queue.concurrency(1);
        }
        let app = Bed::start_at(&self.url, queue, self.handlers()).await;
        self.exists.insert(Place::Work, true);
        self.app = Some(app);
    }

    async fn stop_app(&mut self) {
        if let Some(app) = self.app.take() {
            app.shut_down().await.unwrap();
        }
    }

    fn handlers(&self) -> HandlerRegistry {
        let (handled, names) = (self.handled.clone(), self.names.clone());
        // what is sent as the broker has not noticed the cut comes once more
        let is_cut = self
            .program
            .steps
            .iter()
            .any(|step| matches!(step, Step::Cut));
        let work = move |acts: Vec<u32>, delivery: Delivery, publisher: Publisher| {
            let (handled, names) = (handled.clone(), names.clone());
            async move {
                let redelivered = (!is_cut).then(|| delivery.is_redelivered());
                handle(&acts, &delivery, redelivered, &publisher, &names, &handled).await
            }
        };
        HandlerRegistry::new().register("work", work)
    }

    async fn declare(&mut self, place: Place) {
        if self.exists.get(&place) == Some(&true) {
            return;
        }
        let mut arguments: Vec<(&str, Value)> = Vec::new();
        if place == Place::Left {
            let right = self.names.right.clone();
            match self.program.limit {
                Limit::Length(most) => arguments.push(("x-max-length", Value::I32(most))),
                Limit::Ttl(ttl) => arguments.push(("x-message-ttl", Value::I32(ttl))),
                Limit::None | Limit::Expiration => {}
            }
            if self.program.dies_to_right {
                arguments.push(("x-dead-letter-exchange", "".into()));
                if self.program.dies_by_key {
                    arguments.push(("x-dead-letter-routing-key", right.into()));
                }
            }
        }
        self.bed.declare(self.names.of(place), &arguments).await;
        self.exists.insert(place, true);
    }

    async fn step(&mut self, step: &Step) {
        self.now = AfterStep::default();
        match step {
            Step::Publish(burst) => self.publish(burst).await,
            Step::WhileStopped(burst) => {
                self.stop_app().await;
                self.publish(burst).await;
                self.start_app().await;
            }
            Step::Cut => {
                if let Some(proxy) = &self.proxy {
                    proxy.cut();
                }
            }
            // what comes to a quorum queue of RabbitMQ that was deleted and is there again may be refused for a moment
            Step::Delete(Place::Work) if self.program.is_quorum => {}
            Step::Delete(place) => {
                self.bed.delete(self.names.of(*place)).await;
                self.exists.insert(*place, false);
                if *place == Place::Work {
                    // the program declares it again
                    self.bed.until_exists(&self.names.work).await;
                    self.exists.insert(Place::Work, true);
                }
            }
            Step::Declare(place) => self.declare(*place).await,
            Step::Gone(message) => {
                self.declare(message.to).await;
                self.publish(std::slice::from_ref(message)).await;
                self.bed.delete(self.names.of(message.to)).await;
                self.exists.insert(message.to, false);
                tokio::time::sleep(Duration::from_secs(2) + WHILE).await;
                self.declare(message.to).await;
            }
            Step::Take(place) => self.take(*place).await,
        }
        self.settle().await;
        self.seen.0.push(std::mem::take(&mut self.now));
    }

    async fn end(&mut self) {
        self.stop_app().await;
        let work = self.names.work.clone();
        for place in [Place::Work, Place::Left, Place::Right] {
            self.now = AfterStep::default();
            self.take(place).await;
            self.seen.0.push(std::mem::take(&mut self.now));
        }
        let dead = self.bed.take_all(&format!("{work}_dlq")).await;
        let mut taken: Vec<_> = dead.iter().map(|message| self.told(message)).collect();
        taken.sort();
        self.seen.0.push(AfterStep {
            taken,
            ..AfterStep::default()
        });
    }

    async fn publish(&mut self, burst: &[Sent]) {
        for sent in burst {
            let message = self.message(sent);
            let mut outgoing = self.publisher.to(self.names.of(sent.to)).verbatim(message);
            if let Some(delay) = sent.delay {
                outgoing = outgoing.delay(Duration::from_millis(delay));
            }
            if sent.transient {
                outgoing = outgoing.transient();
            }
            let result = outgoing.send().await;
            self.now.sent.push(kind_of(&result).to_owned());
        }
    }

    fn message(&self, sent: &Sent) -> Message {
        let acts: Vec<_> = sent.acts.iter().map(|act| code(*act)).collect();
        let body = match sent.decodes {
            true => format!("{acts:?}"),
            false => "[".to_owned(),
        };
        let mut properties = Properties::new()
            .with_message_id(&format!("sent {}", sent.number))
            .unwrap();
        if let Some(expiration) = sent.expiration {
            properties = properties.with_expiration(Duration::from_millis(expiration));
        }
        let mut headers: Vec<(&str, Value)> = vec![("number", i64::from(sent.number).into())];
        match sent.key {
            Key::Known => headers.push((KEY, "work".into())),
            Key::Unknown => headers.push((KEY, "nobody".into())),
            Key::None => {}
        }
        for (name, places) in [("CC", &sent.cc), ("BCC", &sent.bcc)] {
            if !places.is_empty() {
                let places = places.iter().map(|place| self.names.of(*place).into());
                headers.push((name, Value::Array(places.collect())));
            }
        }
        let mut message = Message::new(body).with_properties(properties);
        for (name, value) in headers {
            message = message.with_header(name, value).unwrap();
        }
        if sent.has_died {
            let death = Value::Table(vec![
                ("queue".into(), self.names.of(sent.to).into()),
                ("reason".into(), "expired".into()),
                ("count".into(), Value::I64(1)),
                ("exchange".into(), "".into()),
                ("routing-keys".into(), Value::Array(Vec::new())),
            ]);
            let deaths = Value::Array(vec![death]);
            message = message.with_header("x-death", deaths).unwrap();
        }
        message
    }

    /// Waits until nothing is under way: on RabbitMQ, until all is as on the embedded broker.
    async fn settle(&mut self) {
        let at = self.seen.0.len();
        if self.program.expires() {
            tokio::time::sleep(WHILE).await;
        }
        match self.expected.and_then(|expected| expected.0.get(at)) {
            None => {
                // twice in a row: a message may go from one queue to another between two looks
                let mut quiet = None;
                eventually(PATIENCE, async || {
                    let handled = self.handled.lock().unwrap().len();
                    let was_quiet = quiet.replace(handled) == Some(handled);
                    if self.busy() > 0 {
                        quiet = None;
                    }
                    was_quiet && quiet.is_some()
                })
                .await;
                self.look().await;
            }
            Some(expected) => {
                let start = Instant::now();
                loop {
                    self.look().await;
                    let is_same = self.now.handled == expected.handled
                        && self.now.counts == expected.counts
                        && self.now.dead == expected.dead;
                    if is_same {
                        return;
                    }
                    assert!(
                        start.elapsed() < PATIENCE,
                        "after step {at} there should be\n{expected:#?}\nand there is\n{:#?}",
                        self.now
                    );
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
            }
        }
    }

    /// How many messages wait in the queues of the embedded broker, or are with a handler.
    fn busy(&self) -> usize {
        let places = [Place::Work, Place::Left, Place::Right];
        let names = places.map(|place| self.names.of(place));
        let waits = names.iter().flat_map(|queue| {
            let waits = WAITS.iter().map(move |wait| format!("{queue}_{wait}"));
            waits.map(|queue| self.bed.busy_count(&queue))
        });
        waits.sum::<usize>() + self.bed.busy_count(&self.names.work)
    }

    async fn look(&mut self) {
        let mut handled = self.handled.lock().unwrap().clone();
        handled.sort();
        self.now.handled = handled;
        self.now.counts.clear();
        for place in [Place::Work, Place::Left, Place::Right] {
            if self.exists.get(&place) == Some(&true) {
                let count = self.bed.ready_count(self.names.of(place)).await;
                self.now.counts.insert(place, count);
            }
        }
        let dead = format!("{}_dlq", self.names.work);
        self.now.dead = self.bed.ready_count(&dead).await;
    }

    async fn take(&mut self, place: Place) {
        if self.exists.get(&place) != Some(&true) {
            return;
        }
        let taken = self.bed.take_all(self.names.of(place)).await;
        self.now.taken = taken.iter().map(|message| self.told(message)).collect();
        // what handlers sent came in any order
        self.now.taken.sort();
    }

    /// All of a message that is the same on each broker.
    fn told(&self, message: &Received) -> String {
        let headers = message.headers.iter().filter(|(name, _)| {
            // when, in which words, and what the broker adds in
            // ways of its own; a quorum queue of RabbitMQ counts by itself what comes back
            let differs = [
                "ploomby-failed-at",
                "ploomby-error",
                "ploomby-redeliveries",
                "CC",
                "ploomby-CC",
            ];
            !differs.contains(&name.as_str()) && !name.contains("x-")
        });
        let headers: Vec<_> = headers.collect();
        let id = message.message_id.as_deref().unwrap_or("none");
        let id = if id.starts_with("sent ") { id } else { "new" };
        self.names.hidden(&format!(
            "{} {headers:?} id {id} expiration {:?} persistent {}",
            String::from_utf8_lossy(&message.body),
            message.expiration,
            message.persistent,
        ))
    }
}

fn kind_of(result: &Result<(), PublishError>) -> &'static str {
    match result {
        Ok(()) => "there",
        Err(PublishError::Unroutable(_)) => "unroutable",
        Err(PublishError::Refused(_)) => "refused",
        Err(PublishError::Invalid(_)) => "invalid",
        Err(_) => "unknown",
    }
}

const ACTS: [Act; 14] = [
    Act::Succeed,
    Act::Fail,
    Act::FailForGood,
    Act::Panic,
    Act::DeadLetter,
    Act::Discard,
    Act::Retry,
    Act::Requeue,
    Act::Forward(Place::Left),
    Act::Forward(Place::Right),
    Act::Forward(Place::Nowhere),
    Act::ForwardVerbatim(Place::Left),
    Act::ForwardVerbatim(Place::Right),
    Act::Later,
];

/// As a body says it.
fn code(act: Act) -> usize {
    ACTS.iter().position(|other| *other == act).unwrap()
}

async fn handle(
    acts: &[u32],
    delivery: &Delivery,
    redelivered: Option<bool>,
    publisher: &Publisher,
    names: &Names,
    handled: &Mutex<Vec<String>>,
) -> anyhow::Result<Outcome> {
    let attempt = delivery.attempt();
    let at = usize::try_from(attempt - 1)?.min(acts.len() - 1);
    let act = ACTS[usize::try_from(acts[at])?];
    let mut headers: Vec<_> = delivery
        .headers()
        .iter()
        .filter(|(name, _)| {
            // a quorum queue of RabbitMQ counts by itself what comes back, without a copy that says so
            let of_copies = [
                "ploomby-redeliveries",
                "ploomby-exchange",
                "ploomby-routing-key",
            ];
            !name.contains("x-") && !name.contains("CC") && !of_copies.contains(name)
        })
        .collect();
    headers.sort_by_key(|(one, _)| *one);
    let note = |text: String| handled.lock().unwrap().push(names.hidden(&text));
    note(format!(
        "{act:?} at attempt {attempt}, redelivered: {redelivered:?}, by {:?}: {headers:?}",
        delivery.routing_key(),
    ));
    let message = || delivery.message().clone();
    match act {
        Act::Succeed => Ok(Outcome::Ack),
        Act::Fail => Err(anyhow!("no")),
        Act::FailForGood => Err(Permanent::msg("never").into()),
        Act::Panic => panic!("on purpose"),
        Act::DeadLetter => Ok(Outcome::DeadLetter),
        Act::Discard => Ok(Outcome::Discard),
        Act::Retry => Ok(Outcome::Retry),
        Act::Requeue if delivery.is_redelivered() => Ok(Outcome::Ack),
        Act::Requeue => Ok(Outcome::Requeue),
        Act::Forward(place) => {
            let result = publisher
                .to(names.of(place))
                .message(message())
                .send()
                .await;
            note(format!("forwarded to {place:?}: {}", kind_of(&result)));
            Ok(result.map(|()| Outcome::Ack)?)
        }
        Act::ForwardVerbatim(place) => {
            let result = publisher
                .to(names.of(place))
                .verbatim(message())
                .send()
                .await;
            note(format!("forwarded to {place:?}: {}", kind_of(&result)));
            Ok(result.map(|()| Outcome::Ack)?)
        }
        Act::Later if delivery.headers().contains("again") => Ok(Outcome::Ack),
        Act::Later => {
            let again = publisher.to(&names.work).message(message());
            let again = again.header("again", true);
            let result = again.delay(Duration::from_millis(60)).send().await;
            note(format!("sent later: {}", kind_of(&result)));
            Ok(result.map(|()| Outcome::Ack)?)
        }
    }
}
