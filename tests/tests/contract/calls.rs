//! Calls of handlers as users write them, seen from who calls.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use garde::Validate;
use ploomby::extract::{Attempt, Valid};
use ploomby::{
    App, CallError, Codec, ErrorReply, HandlerRegistry, Queue, Retry, RpcClient, handler,
};
use ploomby_tests::{Bed, DEADLINE};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct User {
    id: u32,
    name: String,
}

#[derive(Deserialize, Serialize, Validate)]
struct SignUp {
    #[garde(length(min = 1))]
    name: String,
    #[garde(range(min = 18))]
    age: u32,
}

#[handler("calls-add")]
async fn add((a, b): (u32, u32)) -> u32 {
    a + b
}

#[handler("calls-work")]
async fn work() {}

#[handler("calls-find")]
async fn find(id: u32) -> Option<User> {
    let name = "Ada".to_owned();
    (id == 7).then_some(User { id, name })
}

#[handler("calls-divide")]
async fn divide((a, b): (u32, u32)) -> anyhow::Result<u32> {
    let quotient = a.checked_div(b);
    quotient.ok_or_else(|| anyhow::anyhow!("division by zero").context("cannot share"))
}

#[handler("calls-rename")]
async fn rename(user: User) -> Result<User, ErrorReply> {
    if user.name.is_empty() {
        let error = ErrorReply::new("no-name", "a user needs a name");
        return Err(error.field("name", "is empty"));
    }
    Ok(user)
}

#[handler("calls-sign-up")]
async fn sign_up(Valid(user): Valid<SignUp>) -> String {
    user.name
}

#[handler("calls-panic")]
async fn panic() -> u32 {
    panic!("no luck")
}

#[handler("calls-sleep", timeout = PAUSE)]
async fn sleep_long() -> u32 {
    sleep(Duration::from_secs(3_600)).await;
    7
}

#[handler("calls-third-time", retry = Retry::fixed(5, PAUSE))]
async fn third_time(Attempt(attempt): Attempt) -> anyhow::Result<u32> {
    anyhow::ensure!(attempt == 3, "not yet");
    Ok(attempt)
}

#[handler("calls-never", retry = Retry::fixed(3, PAUSE))]
async fn never(Attempt(attempt): Attempt) -> anyhow::Result<u32> {
    anyhow::bail!("attempt {attempt} failed")
}

#[handler("calls-slowly")]
async fn slowly(number: u32) -> u32 {
    // the replies come in another order than the requests
    sleep(Duration::from_micros(u64::from(number % 7) * 500)).await;
    number * 2
}

/// An app with all handlers of this file, and a client; afterwards nothing is left but so many dead
/// letters.
async fn calling(bed: Arc<Bed>, dead_letters: usize, test: impl AsyncFnOnce(&RpcClient, &str)) {
    let queue = bed.queue_name();
    bed.remove_later(&format!("{queue}_retry_50ms"));
    let app = App::new(bed.url())
        .handlers(HandlerRegistry::linked())
        // a machine that is busy with other tests is no reason to drop a reply
        .queue(Queue::new(&queue).expose_errors().reply_within(DEADLINE))
        .start()
        .await
        .unwrap();
    let client = RpcClient::connect(bed.url()).await.unwrap();
    test(&client, &queue).await;
    assert_eq!(client.in_flight(), 0);
    client.close().await;
    app.shut_down().await.unwrap();
    assert!(bed.is_empty(&queue).await);
    let dead = bed.take_all(&format!("{queue}_dlq")).await;
    assert_eq!(dead.len(), dead_letters);
}

async fn call<R: DeserializeOwned>(
    client: &RpcClient,
    queue: &str,
    key: &str,
    payload: impl Serialize,
) -> R {
    let called = client.call(queue, key, &payload).await;
    called.unwrap_or_else(|error| panic!("{key}: {error}"))
}

/// The error that this call is answered with.
async fn refused(
    client: &RpcClient,
    queue: &str,
    key: &str,
    payload: impl Serialize,
) -> ErrorReply {
    let called = client.call::<_, serde_json::Value>(queue, key, &payload);
    match called.await {
        Err(CallError::Remote(error)) => error,
        other => panic!("{key}: {other:?}"),
    }
}

fn fields(error: &ErrorReply) -> Vec<(&str, &str)> {
    let fields = error.fields().iter();
    fields
        .map(|fault| (fault.field(), fault.message()))
        .collect()
}

pub(crate) async fn a_value_a_unit_and_an_option_come_back(bed: Arc<Bed>) {
    calling(bed, 0, async |client, queue| {
        assert_eq!(call::<u32>(client, queue, "calls-add", (2, 3)).await, 5);
        call::<()>(client, queue, "calls-work", ()).await;
        let id = 7;
        let name = "Ada".to_owned();
        let found: Option<User> = call(client, queue, "calls-find", id).await;
        assert_eq!(found, Some(User { id, name }));
        let found: Option<User> = call(client, queue, "calls-find", 8).await;
        assert_eq!(found, None);
    })
    .await;
}

pub(crate) async fn an_error_of_a_handler_comes_back_with_its_causes(bed: Arc<Bed>) {
    calling(bed, 1, async |client, queue| {
        assert_eq!(call::<u32>(client, queue, "calls-divide", (6, 3)).await, 2);
        let error = refused(client, queue, "calls-divide", (6, 0)).await;
        assert_eq!(error.code(), "handler-error");
        assert_eq!(error.message(), "cannot share: division by zero");
        assert!(error.fields().is_empty());
    })
    .await;
}

pub(crate) async fn an_error_for_who_called_comes_back_as_it_is(bed: Arc<Bed>) {
    calling(bed, 0, async |client, queue| {
        let user = |name: &str| User {
            id: 7,
            name: name.to_owned(),
        };
        let renamed: User = call(client, queue, "calls-rename", user("Ada")).await;
        assert_eq!(renamed, user("Ada"));
        let error = refused(client, queue, "calls-rename", user("")).await;
        assert_eq!(error.code(), "no-name");
        assert_eq!(error.message(), "a user needs a name");
        assert_eq!(fields(&error), [("name", "is empty")]);
    })
    .await;
}

pub(crate) async fn a_payload_that_does_not_fit_comes_back_with_its_fields(bed: Arc<Bed>) {
    calling(bed, 3, async |client, queue| {
        let wrong = serde_json::json!({"id": "seven", "name": "Ada"});
        let error = refused(client, queue, "calls-rename", wrong).await;
        assert_eq!(error.code(), "undecodable");
        let [(field, message)] = fields(&error)[..] else {
            panic!("{error}");
        };
        assert_eq!(field, "id");
        assert!(message.contains("invalid type"), "{message}");

        let wrong = SignUp {
            name: String::new(),
            age: 17,
        };
        let error = refused(client, queue, "calls-sign-up", wrong).await;
        assert_eq!(error.code(), "invalid");
        let mut faults = fields(&error);
        faults.sort_unstable();
        assert_eq!(
            faults,
            [("age", "lower than 18"), ("name", "length is lower than 1")]
        );

        let error = refused(client, queue, "calls-nobody", 7).await;
        assert_eq!(error.code(), "unknown-key");
        assert!(error.message().contains("calls-nobody"), "{error}");
    })
    .await;
}

pub(crate) async fn a_panic_and_a_timeout_come_back_as_errors(bed: Arc<Bed>) {
    calling(bed, 2, async |client, queue| {
        let error = refused(client, queue, "calls-panic", ()).await;
        assert_eq!((error.code(), error.message()), ("panic", "no luck"));
        let error = refused(client, queue, "calls-sleep", ()).await;
        assert_eq!(error.code(), "timeout");
    })
    .await;
}

pub(crate) async fn a_call_that_is_tried_again_is_answered_by_the_attempt_that_decides(
    bed: Arc<Bed>,
) {
    calling(bed, 1, async |client, queue| {
        let attempt: u32 = call(client, queue, "calls-third-time", ()).await;
        assert_eq!(attempt, 3);
        let error = refused(client, queue, "calls-never", ()).await;
        assert_eq!(error.code(), "handler-error");
        assert_eq!(error.message(), "attempt 3 failed");
    })
    .await;
}

pub(crate) async fn values_and_errors_come_back_in_each_codec(bed: Arc<Bed>) {
    calling(bed, 4, async |client, queue| {
        for codec in [Codec::MessagePack, Codec::Cbor] {
            let client = &client.clone().codec(codec);
            assert_eq!(call::<u32>(client, queue, "calls-add", (2, 3)).await, 5);
            call::<()>(client, queue, "calls-work", ()).await;
            let found: Option<User> = call(client, queue, "calls-find", 8).await;
            assert_eq!(found, None);
            let user = User {
                id: 7,
                name: String::new(),
            };
            let error = refused(client, queue, "calls-rename", user).await;
            assert_eq!(fields(&error), [("name", "is empty")]);
            let wrong = serde_json::json!({"id": "seven", "name": "Ada"});
            let error = refused(client, queue, "calls-rename", wrong).await;
            assert_eq!((error.code(), fields(&error)[0].0), ("undecodable", "id"));
            let error = refused(client, queue, "calls-divide", (6, 0)).await;
            assert_eq!(error.code(), "handler-error");
        }
    })
    .await;
}

pub(crate) async fn a_thousand_calls_at_once_get_each_its_own_value(bed: Arc<Bed>) {
    const CALLS: u32 = 1_000;

    calling(bed, 0, async |client, queue| {
        let calls = stream::iter(0..CALLS).map(async |number| {
            let doubled: u32 = call(client, queue, "calls-slowly", number).await;
            assert_eq!(doubled, number * 2);
        });
        let done = calls.buffer_unordered(CALLS as usize).count().await;
        assert_eq!(done, CALLS as usize);
    })
    .await;
}
