//! The `#[handler]` attribute of [ploomby](https://docs.rs/ploomby), which exports it.
//!
//! # Layout
//!
//! - `attr`: what stands in the parentheses;
//! - `valid`: what a function must be like to be a handler;
//! - `expand`: the code that registers and calls it;
//! - `error`, `span`: mistakes are reported all at once, each where it is.

use proc_macro::TokenStream;

mod attr;
mod error;
mod expand;
mod span;
mod valid;

/// Registers an async function as the handler of the messages with a key.
///
/// ```
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct CreateUser {
///     name: String,
/// }
///
/// #[ploomby::handler("create_user")]
/// async fn create_user(user: CreateUser) -> anyhow::Result<()> {
///     println!("welcome, {}", user.name);
///     Ok(())
/// }
/// ```
///
/// # Keys
///
/// | attribute | the function handles the messages with |
/// |---|---|
/// | `#[handler]` | its own name as the key |
/// | `#[handler("key")]` | this key |
/// | `#[handler("key", "other key")]` | one of these keys |
/// | `#[handler(default)]` | a key that no other function has |
/// | `#[handler("key", default)]` | this key, or one that no other function has |
///
/// Where the key of a message stands, in a header for one, is said where its queue is consumed. A
/// key belongs to one function; two for one key are an error at startup, which names both.
///
/// # Arguments
///
/// A message has one body, so there is at most one **payload**: any type that implements
/// `serde::Deserialize`. The others, any number of them and in any order, are **extractors**: what
/// is in [`ploomby::extract`], and your own types that implement [`FromDelivery`]. Traits tell
/// which is which, never a type's name.
///
/// Each is taken by value or by reference. What borrows from the message is not copied: a payload
/// with a lifetime, `&str`, and `&Delivery`, which is the message with all that came with it.
///
/// ```
/// use ploomby::{Delivery, extract::Redelivered, handler};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Order<'m> {
///     id: u64,
///     customer: &'m str,
/// }
///
/// #[handler("order_placed", "order_changed")]
/// async fn order(order: Order<'_>, Redelivered(again): Redelivered, delivery: &Delivery) {
///     let Order { id, customer } = order;
///     println!("{id} for {customer} by {}, again: {again}", delivery.routing_key());
/// }
///
/// #[handler]
/// async fn greet(name: &str) {
///     println!("hello, {name}");
/// }
///
/// #[handler]
/// async fn heartbeat() {}
/// ```
///
/// The extractors of ploomby are what the program gave (`State<T>`), what came with the message (`Header<T>`
/// for headers by name and type, `Headers` for all, `Properties`, `Key`, `RawBody`, `Attempt`, `Redelivered`,
/// `Delivery`), what a layer left with it (`Extension<T>`), and a `Publisher` to send messages with. Where one
/// fails, the message is dead-lettered, unless its error is a `Rejection` that says otherwise. With `Option`
/// around it the handler is called all the same, but for headers that are there and do not fit, and with `Result`
/// it gets the error. State that the program does not give is an error at startup, unless it is optional.
///
/// ```
/// use ploomby::{extract::{Header, State}, handler};
/// use serde::Deserialize;
///
/// #[derive(Clone)]
/// struct Rates {
///     percent: u64,
/// }
///
/// #[derive(Deserialize)]
/// struct Origin<'m> {
///     tenant: &'m str,
/// }
///
/// #[handler("fee")]
/// async fn fee(cents: u64, State(rates): State<Rates>, origin: Option<Header<Origin<'_>>>) {
///     let tenant = origin.as_ref().map_or("nobody", |origin| origin.tenant);
///     println!("{tenant} pays {}", cents * rates.percent / 100);
/// }
/// ```
///
/// A payload is decoded from JSON, unless the content type of the message names another format that
/// ploomby's features turned on. In JSON `&[u8]` and `Vec<u8>` are lists of numbers. For the bytes
/// of the body take
/// [`RawBody`](https://docs.rs/ploomby/latest/ploomby/extract/struct.RawBody.html).
///
/// In place of a payload, [`Batch`] takes several messages at once.
///
/// By its feature `protobuf`, `Protobuf<T>` is a payload that is decoded from Protobuf.
///
/// By its feature `garde`, a payload whose type is `garde::Validate`, and each item of a [`Batch`], is
/// validated before the function is called, with the default of the context that its rules need. The
/// dead letter of one that breaks them names each field. What the payload holds counts as `garde` says:
/// a field with `dive`, each item of a `Vec<T>`, a tuple where all its types are `Validate` and none
/// where one is not. `Unvalidated<T>` is a payload as it was decoded. Rules of another version of `garde`
/// are those of another trait, and not seen.
///
/// # Return values
///
/// | what it returns | what becomes of the message | what who asked is told |
/// |---|---|---|
/// | `()` | it is acknowledged | that it is done: `null` |
/// | a value, any type that implements `serde::Serialize` | it is acknowledged, once the reply is sent | the value |
/// | an [`Outcome`] | what the outcome says | nothing, unless it is given up |
/// | `Ok` of one of these | the same | the same |
/// | `Err`, of a type that converts to `anyhow::Error` | see below | the error, once no attempt follows |
///
/// ```
/// use ploomby::{ErrorReply, Outcome, handler};
///
/// #[handler]
/// async fn charge(cents: u64) -> Result<Outcome, std::io::Error> {
///     if cents == 0 {
///         // nothing to do
///         return Ok(Outcome::Discard);
///     }
///     println!("charged {cents}");
///     Ok(Outcome::Ack)
/// }
///
/// // a value is the reply, where the message asks for one
/// #[handler]
/// async fn divide((a, b): (u32, u32)) -> Result<u32, ErrorReply> {
///     let error = || ErrorReply::new("division-by-zero", "there is no such number");
///     a.checked_div(b).ok_or_else(error)
/// }
/// ```
///
/// On success the message is acknowledged. On an error or a panic it is tried again where `retry`
/// says so, and else goes to the dead-letter queue, with the reason. A message whose payload cannot
/// be decoded or that an extractor refused goes there at once, unless the extractor says otherwise by a
/// `Rejection`; the function is not called then.
///
/// ## Replies
///
/// A message asks for a reply by its `reply_to`, as those of
/// [`RpcClient`](https://docs.rs/ploomby/latest/ploomby/struct.RpcClient.html) do; one without is simply
/// handled. The reply has the correlation id of the message, and its content type; it is confirmed by the
/// broker before the message is acknowledged. What a reply looks like, programs in other languages read at
/// [`ErrorReply`].
///
/// A message that fails is answered once it is given up, and after its last attempt, with an error: its
/// code is the reason of the dead letter, such as `handler-error`, `undecodable` or `timeout`, its message is
/// the error with its causes, and it names the fields of the payload that are at fault. An error that is an
/// [`ErrorReply`], or has one among its causes, is the answer as it is: such a message is answered, not tried
/// again, and no dead letter. Where nobody asked, it is an error like any other.
///
/// # Options
///
/// ```
/// use std::time::Duration;
/// use ploomby::{Retry, handler};
///
/// #[handler("charge", queue = "billing", retry = 5, timeout = "10s", concurrency = 4)]
/// async fn charge(cents: u64) -> anyhow::Result<()> {
///     println!("charged {cents}");
///     Ok(())
/// }
///
/// // a value is any expression
/// #[handler(retry = Retry::fixed(3, Duration::from_secs(10)).retry_if(|error| error.is::<std::io::Error>()))]
/// async fn send_receipt(to: &str) -> anyhow::Result<()> {
///     println!("sent to {to}");
///     Ok(())
/// }
/// ```
///
/// | option | value | without it |
/// |---|---|---|
/// | `queue` | the name of the one queue whose messages it handles, as text | all queues |
/// | `retry` | how many attempts there are in all, as a number, or a [`Retry`] | as the queue says: no retry |
/// | `timeout` | how long it may take: `"500ms"`, `"10s"`, `"5m"`, `"2h"`, `"1d"`, or a `Duration` | as the queue says: no limit |
/// | `concurrency` | how many messages of a queue it works at in the same moment, in this program | as many as the queue allows |
/// | `layer` | a `tower::Layer` to put around it, such as `ConcurrencyLimitLayer::new(4)`, inside of those of its queue | none of its own |
/// | `ordered_by` | an [`OrderBy`]: messages with the same value there run one after another, others in parallel; more than one consumer of a queue that it handles is an error at startup | as the queue says: no order |
/// | `batch_size` | how many messages a [`Batch`] has, at most, as a number | as the queue says: 32 |
/// | `batch_wait` | how long the first message of a [`Batch`] waits for others: `"50ms"`, or a `Duration` | as the queue says: 100 ms |
///
/// They go before what the queue says, and stand in any order, each once, before or behind the keys.
/// Beside options alone the function's name is the key. What an option cannot be, such as a queue
/// that nobody consumes or a concurrency of 0, is an error at startup.
///
/// A handler past its `timeout` is dropped where it waits: at an `.await`. One that computes or blocks
/// its thread goes on until it comes to the next, and its message is held for as long. What it spawned,
/// and what it sent to another system, is not undone: it may have done its work, so that only a
/// handler that may run twice belongs together with `timeout` and `retry`.
///
/// # What becomes of the function
///
/// It stays as it is, and a unit test calls it like any other:
///
/// ```
/// #[ploomby::handler]
/// async fn resize(width: u32) -> anyhow::Result<()> {
///     anyhow::ensure!(width > 0, "nothing to show");
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert!(resize(640).await.is_ok());
/// assert!(resize(0).await.is_err());
/// # }
/// ```
///
/// It is registered when the program is linked, wherever it stands: in any module, private or not,
/// also in the body of a function, and in any crate. The linker leaves out a crate of which nothing
/// is used. Name one that has nothing but handlers once, in the program:
///
/// ```
/// # extern crate self as my_handlers;
/// use my_handlers as _;
/// ```
///
/// # Errors
///
/// It does not compile where an option is unknown or has a value of another type, where the function
/// is not `async`, is generic, is `unsafe`, takes `self`, an
/// argument that is neither a payload nor an extractor, or a second payload, where it returns
/// something else, or where its future cannot be sent to another thread. The message says so at the
/// spot.
///
/// An associated function without `self` cannot be a handler either, though the compiler's message
/// is less clear: `const` items in this context need a name. Put the function outside of the
/// `impl`.
///
/// [`ploomby::extract`]: https://docs.rs/ploomby/latest/ploomby/extract/index.html
/// [`Batch`]: https://docs.rs/ploomby/latest/ploomby/extract/struct.Batch.html
/// [`ErrorReply`]: https://docs.rs/ploomby/latest/ploomby/struct.ErrorReply.html
/// [`FromDelivery`]: https://docs.rs/ploomby/latest/ploomby/extract/trait.FromDelivery.html
/// [`OrderBy`]: https://docs.rs/ploomby/latest/ploomby/struct.OrderBy.html
/// [`Outcome`]: https://docs.rs/ploomby/latest/ploomby/enum.Outcome.html
/// [`Retry`]: https://docs.rs/ploomby/latest/ploomby/struct.Retry.html
#[proc_macro_attribute]
pub fn handler(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::handler(attribute.into(), &item.into()).into()
}
