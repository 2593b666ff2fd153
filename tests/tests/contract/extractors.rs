use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use ploomby::extract::{
    Attempt, Extension, FromDelivery, Header, HeaderRejection, Rejection, Requirements, State,
};
use ploomby::memory::{MemoryConsumerFactory, MemoryOptions};
use ploomby::rabbit::{RabbitConsumerFactory, RabbitOptions};
use ploomby::{
    App, Delivery, HandlerFunction, HandlerOptions, HandlerRegistry, KeySource, Message,
    MessageConsumerFactory, MessageConsumerRegistry, Queue, Reason, Retry, Running, Value,
};
use ploomby_tests::{Bed, Handled, KEY, Received, Seen, seen};
use serde::Deserialize;

#[derive(Clone)]
struct Greeting(&'static str);

#[derive(Clone)]
struct Language;

fn queue_of(name: &str) -> Queue {
    Queue::new(name).key(KeySource::header(KEY))
}

fn with_key(key: &str) -> Message {
    Message::new("1").with_header(KEY, key).unwrap()
}

async fn start_error(app: App) -> String {
    app.start().await.expect_err("it cannot start").to_string()
}

/// Publishes one message for this handler and returns its dead letter.
async fn dead_letter_of<M>(
    bed: &Bed,
    handler: impl HandlerFunction<M>,
    message: Message,
) -> Received {
    let queue = bed.queue_name();
    let handlers = HandlerRegistry::new().register("work", handler);
    let app = bed.start(&queue, handlers).await;
    bed.publish(&queue, message).await;
    let dead_letter = bed.dead_letter(&queue).await;
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await, "the original was acknowledged");
    dead_letter
}

fn assert_rejected(dead_letter: &Received, error: &str) {
    let reason = dead_letter.text("ploomby-reason");
    assert_eq!(reason, Reason::Rejected.as_str());
    assert_eq!(dead_letter.text("ploomby-error"), error);
    assert_eq!(dead_letter.headers["ploomby-attempts"], Value::I64(0));
}

pub(crate) async fn state_that_the_app_gives_reaches_the_handlers_of_all_queues(bed: Arc<Bed>) {
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register(
        "greet",
        move |name: String, State(greeting): State<Greeting>, State(sum): State<Arc<u32>>| async move {
            seen.note(format!("{}, {name}, {sum}", greeting.0));
        },
    );
    let queues = [bed.queue_name(), bed.queue_name()];
    let app = App::new(bed.url())
        .handlers(handlers)
        .state(Greeting("replaced"))
        .state(Greeting("hello"))
        .state(Arc::new(7_u32))
        .queue(queue_of(&queues[0]))
        .queue(queue_of(&queues[1]))
        .start()
        .await
        .unwrap();
    for queue in &queues {
        bed.send(queue, "greet", r#""Ada""#).await;
        assert_eq!(handled.next_note().await, "hello, Ada, 7");
    }
    app.shut_down().await.unwrap();
}

pub(crate) async fn state_that_a_registry_of_consumers_gives_reaches_its_handlers(bed: Arc<Bed>) {
    if bed.is_memory() {
        let factory = MemoryConsumerFactory::new(bed.url()).unwrap();
        gives_state(&bed, factory, MemoryOptions::new).await;
    } else {
        let factory = RabbitConsumerFactory::new(bed.url()).unwrap();
        gives_state(&bed, factory, RabbitOptions::new).await;
    }
}

async fn gives_state<F: MessageConsumerFactory>(
    bed: &Bed,
    factory: F,
    options: fn() -> F::Options,
) {
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register(
        "greet",
        move |State(greeting): State<Greeting>| async move { seen.note(greeting.0) },
    );
    let queue = bed.queue_name();
    let mut consumers = MessageConsumerRegistry::new(handlers, factory);
    let key = KeySource::header(KEY);
    let error = consumers
        .register(&queue, key.clone(), 1, options())
        .await
        .expect_err("there is no state yet")
        .to_string();
    assert!(error.contains("Greeting"), "{error}");
    let mut consumers = consumers.state(Greeting("hello"));
    consumers.register(&queue, key, 1, options()).await.unwrap();
    bed.send(&queue, "greet", "").await;
    assert_eq!(handled.next_note().await, "hello");
    consumers.disconnect_consumers().await.unwrap();
}

pub(crate) async fn state_that_nobody_gives_is_an_error_at_startup_with_all_other_faults(
    bed: Arc<Bed>,
) {
    async fn nothing() {}

    async fn greet(State(_): State<Greeting>, _: State<Language>) {}

    let line = line!() + 2;
    let handlers = HandlerRegistry::new()
        .register("greet", greet)
        .register("given", |State(_): State<u32>| async {})
        .register("twice", nothing)
        .register("twice", nothing)
        .register_with("idle", HandlerOptions::new().concurrency(0), nothing)
        .register_with("else", HandlerOptions::new().queue("elsewhere"), nothing);
    let app = App::new(bed.url())
        .handlers(handlers)
        .state(1_u32)
        .queue(queue_of(&bed.queue_name()));
    let error = start_error(app).await;
    let expected = [
        "give it by `App::state`",
        "extractors::Greeting`, `",
        "extractors::Language`: `",
        "::greet` at",
        &format!("extractors.rs:{line}"),
        "\"twice\"",
        "`concurrency`",
        "`elsewhere`",
    ];
    for part in expected {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("u32"), "{error}");
}

pub(crate) async fn state_that_a_handler_can_do_without_need_not_be_given(bed: Arc<Bed>) {
    let (seen, mut handled) = seen();
    let greeting = move |greeting: Option<State<Greeting>>| async move {
        seen.note(greeting.map_or("nothing", |State(greeting)| greeting.0));
    };
    let handlers = HandlerRegistry::new().register("greet", greeting);
    let queue = bed.queue_name();
    for (state, expected) in [(None, "nothing"), (Some(Greeting("hello")), "hello")] {
        let mut app = App::new(bed.url())
            .handlers(handlers.clone())
            .queue(queue_of(&queue));
        if let Some(state) = state {
            app = app.state(state);
        }
        let app = app.start().await.unwrap();
        bed.send(&queue, "greet", "").await;
        assert_eq!(handled.next_note().await, expected);
        app.shut_down().await.unwrap();
    }
}

/// An extractor of the user's that reads state.
struct Greeted(String);

impl<'d> FromDelivery<'d> for Greeted {
    type Rejection = anyhow::Error;

    async fn from_delivery(delivery: &'d Delivery) -> anyhow::Result<Self> {
        tokio::task::yield_now().await;
        let greeting = delivery.state::<Greeting>().context("no greeting")?;
        let name = delivery.headers().text("name").context("no name")?;
        Ok(Self(format!("{}, {name}", greeting.0)))
    }

    fn require(requirements: &mut Requirements) {
        requirements.state::<Greeting>();
    }
}

pub(crate) async fn an_extractor_of_the_users_says_which_state_it_needs(bed: Arc<Bed>) {
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new()
        .register("greet", move |Greeted(text): Greeted| async move {
            seen.note(text)
        });
    let queue = bed.queue_name();
    let app = || {
        App::new(bed.url())
            .handlers(handlers.clone())
            .queue(queue_of(&queue))
    };
    let error = start_error(app()).await;
    assert!(error.contains("extractors::Greeting`"), "{error}");
    assert!(error.contains("extractors.rs"), "{error}");
    let app = app().state(Greeting("hello")).start().await.unwrap();
    let message = with_key("greet").with_header("name", "Ada").unwrap();
    bed.publish(&queue, message).await;
    assert_eq!(handled.next_note().await, "hello, Ada");
    app.shut_down().await.unwrap();
}

pub(crate) async fn an_extractor_of_the_users_can_be_optional_or_tried(bed: Arc<Bed>) {
    struct Never;
    impl<'d> FromDelivery<'d> for Never {
        type Rejection = Rejection;

        async fn from_delivery(_: &'d Delivery) -> Result<Self, Rejection> {
            Err(Rejection::discard("never"))
        }
    }

    struct TenantOr;
    impl<'d> FromDelivery<'d> for TenantOr {
        type Rejection = anyhow::Error;

        async fn from_delivery(delivery: &'d Delivery) -> anyhow::Result<Self> {
            Self::optional(delivery).await?.context("no tenant")
        }

        async fn optional(delivery: &'d Delivery) -> anyhow::Result<Option<Self>> {
            match delivery.headers().text("tenant") {
                None => Ok(None),
                Some("Ada") => Ok(Some(Self)),
                Some(_) => Err(anyhow!("not a tenant")),
            }
        }
    }

    let (seen, mut handled) = seen();
    let handlers =
        HandlerRegistry::new().register(
            "work",
            move |never: Option<Never>,
                  tried: Result<Never, Rejection>,
                  tenant: Option<TenantOr>| async move {
                let tried = tried.err().map(|rejection| rejection.to_string());
                seen.note(format!(
                    "{} {tried:?} {}",
                    never.is_none(),
                    tenant.is_some()
                ));
            },
        );
    let queue = bed.queue_name();
    let app = bed.start(&queue, handlers).await;
    bed.publish(&queue, with_key("work")).await;
    assert_eq!(handled.next_note().await, r#"true Some("never") false"#);
    let with_tenant = |tenant| with_key("work").with_header("tenant", tenant).unwrap();
    bed.publish(&queue, with_tenant("Ada")).await;
    assert_eq!(handled.next_note().await, r#"true Some("never") true"#);
    bed.publish(&queue, with_tenant("Bob")).await;
    assert_rejected(&bed.dead_letter(&queue).await, "not a tenant");
    app.shut_down().await.unwrap();
}

#[derive(Deserialize)]
struct Borrowed<'m> {
    #[serde(rename = "x-tenant")]
    tenant: &'m str,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Plan {
    Free,
    LongTerm,
}

/// Checks that the text is borrowed from the message.
struct IsBorrowed;

impl<'d> FromDelivery<'d> for IsBorrowed {
    type Rejection = HeaderRejection;

    async fn from_delivery(delivery: &'d Delivery) -> Result<Self, HeaderRejection> {
        let borrowed: Borrowed<'d> = delivery.headers().decode()?;
        let lies_there = delivery.headers().text("x-tenant").unwrap();
        assert_eq!(borrowed.tenant.as_ptr(), lies_there.as_ptr(), "not copied");
        Ok(Self)
    }
}

fn traced() -> Message {
    let mut message = with_key("work");
    for (name, value) in [
        ("x-tenant", Value::from("Ada")),
        ("hops", Value::I64(7)),
        ("plan", Value::from("long-term")),
        ("other", Value::Bool(true)),
    ] {
        message = message.with_header(name, value).unwrap();
    }
    message
}

pub(crate) async fn headers_are_taken_by_name_and_type(bed: Arc<Bed>) {
    #[derive(Deserialize)]
    struct Owned {
        #[serde(rename = "x-tenant")]
        tenant: String,
        hops: i64,
        sampled: Option<bool>,
        #[serde(default)]
        tags: Vec<String>,
        plan: Plan,
    }

    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register(
        "work",
        move |Header(owned): Header<Owned>, _: IsBorrowed| async move {
            let Owned {
                tenant,
                hops,
                sampled,
                tags,
                plan,
            } = owned;
            seen.note(format!("{tenant} {hops} {sampled:?} {tags:?} {plan:?}"));
        },
    );
    let queue = bed.queue_name();
    let app = bed.start(&queue, handlers).await;
    bed.publish(&queue, traced()).await;
    assert_eq!(handled.next_note().await, "Ada 7 None [] LongTerm");
    let tags = Value::Array(vec!["a".into(), "b".into()]);
    let all = traced()
        .with_header("sampled", true)
        .unwrap()
        .with_header("tags", tags)
        .unwrap()
        .with_header("plan", "free")
        .unwrap();
    bed.publish(&queue, all).await;
    assert_eq!(
        handled.next_note().await,
        r#"Ada 7 Some(true) ["a", "b"] Free"#
    );
    app.shut_down().await.unwrap();
}

pub(crate) async fn a_header_that_is_missing_is_named(bed: Arc<Bed>) {
    #[derive(Deserialize)]
    struct Tenant {
        #[serde(rename = "x-tenant")]
        _tenant: String,
    }

    let handler = |_: Header<Tenant>| async {};
    let dead_letter = dead_letter_of(&bed, handler, with_key("work")).await;
    assert_rejected(&dead_letter, "the header `x-tenant` is missing");
}

pub(crate) async fn a_header_that_does_not_fit_is_named_and_its_value_is_not(bed: Arc<Bed>) {
    /// A type whose error quotes what it was given.
    struct Quoting;
    impl<'de> Deserialize<'de> for Quoting {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            Err(serde::de::Error::custom(format!("{text} is no tenant")))
        }
    }

    #[derive(Deserialize)]
    #[expect(dead_code)]
    struct Trace {
        hops: Option<u8>,
        plan: Option<Plan>,
        sampled: Option<bool>,
        quoting: Option<Quoting>,
        nested: Option<Nested>,
        letter: Option<char>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code)]
    struct Nested {
        number: u8,
        pair: Option<(u8, u8)>,
    }

    let secret = || Value::from("correct-horse");
    let number = Value::I64(31_415_926);
    let nested = |name: &str, value| Value::Table(vec![(name.to_owned(), value)]);
    for (header, value) in [
        ("hops", secret()),
        ("hops", number.clone()),
        ("hops", Value::F64(31_415_926.5)),
        ("plan", secret()),
        ("plan", number.clone()),
        ("sampled", secret()),
        ("quoting", secret()),
        ("letter", secret()),
        ("nested", nested("number", secret())),
        ("nested", nested("number", number.clone())),
        ("nested", nested("correct-horse", secret())),
        ("nested", secret()),
        ("nested", nested("pair", Value::Array(vec![number]))),
    ] {
        let message = with_key("work").with_header(header, value.clone()).unwrap();
        let handler = |_: Option<Header<Trace>>| async {};
        let dead_letter = dead_letter_of(&bed, handler, message).await;
        let error = dead_letter.text("ploomby-error");
        assert_rejected(&dead_letter, error);
        let begin = format!("the header `{header}` does not fit: ");
        assert!(error.starts_with(&begin), "{value:?}: {error}");
        assert!(error.len() > begin.len(), "{value:?}: {error}");
        for quoted in ["correct", "31415926", "31_415_926"] {
            assert!(!error.contains(quoted), "{value:?}: {error}");
        }
    }
}

pub(crate) async fn headers_can_be_optional_or_tried(bed: Arc<Bed>) {
    #[derive(Deserialize)]
    struct Hops {
        hops: u8,
    }

    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register(
        "work",
        move |hops: Option<Header<Hops>>, tried: Result<Header<Hops>, HeaderRejection>| async move {
            let tried = match tried {
                Ok(Header(hops)) => Ok(hops.hops),
                Err(error) => Err(error.to_string()),
            };
            seen.note(format!("{:?} {tried:?}", hops.map(|hops| hops.hops)));
        },
    );
    let queue = bed.queue_name();
    let app = bed.start(&queue, handlers).await;
    bed.publish(&queue, with_key("work")).await;
    assert_eq!(
        handled.next_note().await,
        r#"None Err("the header `hops` is missing")"#
    );
    bed.publish(&queue, traced()).await;
    assert_eq!(handled.next_note().await, "Some(7) Ok(7)");
    app.shut_down().await.unwrap();
}

pub(crate) async fn an_extension_that_no_layer_left_is_named(bed: Arc<Bed>) {
    let handler = |_: Extension<Greeting>| async {};
    let dead_letter = dead_letter_of(&bed, handler, with_key("work")).await;
    let error = dead_letter.text("ploomby-error");
    assert_rejected(&dead_letter, error);
    assert!(error.contains("extractors::Greeting"), "{error}");
    assert!(error.contains("layer"), "{error}");
}

pub(crate) async fn an_extension_can_be_optional(bed: Arc<Bed>) {
    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register(
        "work",
        move |greeting: Option<Extension<Greeting>>| async move {
            seen.note(format!("{}", greeting.is_some()));
        },
    );
    let queue = bed.queue_name();
    let app = bed.start(&queue, handlers).await;
    bed.publish(&queue, with_key("work")).await;
    assert_eq!(handled.next_note().await, "false");
    app.shut_down().await.unwrap();
}

/// What each rejection does, and an extractor that refuses with it as the message says.
fn rejection(which: &str) -> Rejection {
    let error = anyhow!("no route").context("the tenant is away");
    match which {
        "dead-letter" => Rejection::dead_letter(error),
        "retry" => Rejection::retry(error),
        "requeue" => Rejection::requeue(error),
        "discard" => Rejection::discard(error),
        other => panic!("{other}"),
    }
}

/// It refuses what was not delivered before.
struct Refused;

impl<'d> FromDelivery<'d> for Refused {
    type Rejection = Rejection;

    async fn from_delivery(delivery: &'d Delivery) -> Result<Self, Rejection> {
        let which = delivery.headers().text("which").unwrap();
        if which == "requeue" && delivery.is_redelivered() {
            return Ok(Self);
        }
        Err(rejection(which))
    }
}

#[derive(Debug)]
struct Wrapped(Rejection);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wrapped")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// The handlers that refuse in each way there is.
fn refusing(seen: &'static Seen) -> HandlerRegistry {
    async fn taken(delivery: &Delivery) -> Option<Rejection> {
        Refused::from_delivery(delivery).await.err()
    }

    struct Cause(Option<Rejection>);
    impl<'d> FromDelivery<'d> for Cause {
        type Rejection = Infallible;

        async fn from_delivery(delivery: &'d Delivery) -> Result<Self, Infallible> {
            Ok(Self(taken(delivery).await))
        }
    }

    /// An extractor whose error holds a rejection.
    struct Indirect;
    impl<'d> FromDelivery<'d> for Indirect {
        type Rejection = anyhow::Error;

        async fn from_delivery(delivery: &'d Delivery) -> anyhow::Result<Self> {
            Refused::from_delivery(delivery)
                .await
                .context("cannot tell the tenant")?;
            Ok(Self)
        }
    }

    let handled = move |cause: Option<Rejection>| match cause {
        Some(cause) => Err(cause),
        None => {
            seen.note("handled");
            Ok(())
        }
    };
    HandlerRegistry::new()
        .register("extractor", move |_: Refused| async move { handled(None) })
        .register("indirect", move |_: Indirect| async move { handled(None) })
        .register("handler", move |Cause(cause): Cause| async move {
            handled(cause)
        })
        .register("context", move |Cause(cause): Cause| async move {
            handled(cause)
                .context("first")
                .context("cannot tell the tenant")
        })
        .register("wrapped", move |Cause(cause): Cause| async move {
            handled(cause)
                .map_err(Wrapped)
                .context("cannot tell the tenant")
        })
}

const DELAY: Duration = Duration::from_millis(50);

async fn refuse(bed: &Bed, which: &str, key: &str) -> (String, Running, Handled) {
    let (seen, handled) = seen();
    let queue = bed.queue_name();
    bed.remove_later(&format!("{queue}_retry_50ms"));
    bed.remove_later(&format!("{queue}_retry_1000ms"));
    let set_up = queue_of(&queue).retry(Retry::fixed(3, DELAY));
    let app = bed.start_queue(set_up, refusing(seen)).await;
    let message = with_key(key).with_header("which", which).unwrap();
    bed.publish(&queue, message).await;
    (queue, app, handled)
}

/// Where the refusal comes from, what the error says then, and which reason it is.
const WAYS: [(&str, &str, Reason); 5] = [
    ("extractor", "", Reason::Rejected),
    ("indirect", "cannot tell the tenant: ", Reason::Rejected),
    ("handler", "", Reason::HandlerError),
    (
        "context",
        "cannot tell the tenant: first: ",
        Reason::HandlerError,
    ),
    (
        "wrapped",
        "cannot tell the tenant: wrapped: ",
        Reason::HandlerError,
    ),
];

pub(crate) async fn a_rejection_for_the_dead_letter_queue_is_not_tried_again(bed: Arc<Bed>) {
    for (key, context, reason) in WAYS {
        let (queue, app, _) = refuse(&bed, "dead-letter", key).await;
        let dead_letter = bed.dead_letter(&queue).await;
        assert_eq!(dead_letter.text("ploomby-reason"), reason.as_str(), "{key}");
        let error = format!("{context}the tenant is away: no route");
        assert_eq!(dead_letter.text("ploomby-error"), error, "{key}");
        let attempts = Value::I64(i64::from(reason == Reason::HandlerError));
        assert_eq!(dead_letter.headers["ploomby-attempts"], attempts, "{key}");
        app.shut_down().await.unwrap();
        assert!(bed.is_empty(&queue).await);
    }
}

pub(crate) async fn a_rejection_for_a_retry_is_tried_until_no_attempt_is_left(bed: Arc<Bed>) {
    for (key, context, reason) in WAYS {
        let (queue, app, _) = refuse(&bed, "retry", key).await;
        let dead_letter = bed.dead_letter(&queue).await;
        assert_eq!(dead_letter.text("ploomby-reason"), reason.as_str(), "{key}");
        let error = format!("{context}the tenant is away: no route");
        assert_eq!(dead_letter.text("ploomby-error"), error, "{key}");
        // the last attempt did not come to the handler where an extractor refused it
        let attempts = Value::I64(2 + i64::from(reason == Reason::HandlerError));
        assert_eq!(dead_letter.headers["ploomby-attempts"], attempts, "{key}");
        app.shut_down().await.unwrap();
        assert!(bed.is_empty(&queue).await);
    }
}

pub(crate) async fn a_rejection_for_a_retry_is_handled_once_it_is_no_more(bed: Arc<Bed>) {
    struct Third;
    impl<'d> FromDelivery<'d> for Third {
        type Rejection = Rejection;

        async fn from_delivery(delivery: &'d Delivery) -> Result<Self, Rejection> {
            match delivery.attempt() {
                3 => Ok(Self),
                _ => Err(Rejection::retry("too early")),
            }
        }
    }

    let (seen, mut handled) = seen();
    let handlers = HandlerRegistry::new().register(
        "work",
        move |_: Third, Attempt(attempt): Attempt| async move {
            seen.note(attempt.to_string());
        },
    );
    let queue = bed.queue_name();
    bed.remove_later(&format!("{queue}_retry_50ms"));
    let set_up = queue_of(&queue).retry(Retry::fixed(3, DELAY));
    let app = bed.start_queue(set_up, handlers).await;
    bed.publish(&queue, with_key("work")).await;
    assert_eq!(handled.next_note().await, "3");
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&format!("{queue}_dlq")).await);
}

pub(crate) async fn a_rejection_without_a_retry_policy_ends_in_the_dead_letter_queue(
    bed: Arc<Bed>,
) {
    struct Never;
    impl<'d> FromDelivery<'d> for Never {
        type Rejection = Rejection;

        async fn from_delivery(_: &'d Delivery) -> Result<Self, Rejection> {
            Err(Rejection::retry("too early"))
        }
    }

    let dead_letter = dead_letter_of(&bed, |_: Never| async {}, with_key("work")).await;
    assert_rejected(&dead_letter, "too early");
}

pub(crate) async fn a_rejection_that_requeues_brings_the_message_back(bed: Arc<Bed>) {
    for (key, ..) in WAYS {
        let (queue, app, mut handled) = refuse(&bed, "requeue", key).await;
        assert_eq!(handled.next_note().await, "handled", "{key}");
        app.shut_down().await.unwrap();
        assert!(bed.is_empty(&format!("{queue}_dlq")).await, "{key}");
    }
}

pub(crate) async fn a_rejection_that_discards_leaves_nothing(bed: Arc<Bed>) {
    for (key, ..) in WAYS {
        let (queue, app, _) = refuse(&bed, "discard", key).await;
        // what comes after it goes the same way and shows that it is done with
        let last = with_key("extractor")
            .with_header("which", "dead-letter")
            .unwrap();
        bed.publish(&queue, last).await;
        let dead_letter = bed.dead_letter(&queue).await;
        assert_eq!(dead_letter.text("which"), "dead-letter", "{key}");
        app.shut_down().await.unwrap();
        assert!(bed.is_empty(&queue).await, "{key}");
        assert!(bed.is_empty(&format!("{queue}_dlq")).await, "{key}");
        assert!(bed.is_empty(&format!("{queue}_retry_50ms")).await, "{key}");
    }
}
