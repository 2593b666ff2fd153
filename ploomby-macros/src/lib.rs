//! The attributes `#[handler]` and `#[test]` of [ploomby](https://docs.rs/ploomby), which exports them.
//!
//! # Layout
//!
//! - `attr`: what stands in the parentheses;
//! - `function`: the signature that it stands on;
//! - `valid`: what a function must be like to be a handler;
//! - `expand`: the code that registers and calls it;
//! - `passed_on`: the attributes beside it that hold for that code as well;
//! - `testing`: tests;
//! - `error`, `span`: mistakes are reported all at once, each where it is.

use proc_macro::TokenStream;

mod attr;
mod error;
mod expand;
mod function;
mod passed_on;
mod span;
mod testing;
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
/// | `#[handler(KEY, Keys::OTHER)]` | the values of these constants, which are `&'static str`; also `concat!(…)` |
/// | `#[handler(pattern = "order.*.created")]` | a key that fits this pattern; there may be several |
/// | `#[handler(default)]` | a key that no other function is for, or no key at all |
/// | `#[handler("key", default)]` | this key, or what no other function is for |
///
/// Where the key of a message stands, in a header for one, is said where its queue is consumed. A
/// key belongs to one function; two for one key are an error at startup, which names both.
///
/// In a pattern, words stand between dots, `*` stands for one word, and `#` for any number of words, also none. A function
/// for the very key goes before one with a pattern, and the pattern that says more of the key before the other:
/// [`HandlerRegistry::register_pattern`] has the rules. Two of which none goes first are an error at startup, which names both. The
/// extractor [`Words`] is what stands in the key for the wildcards.
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
/// for headers by name and type, `Headers` for all, `Properties`, `Key`, `Words`, `RawBody`, `Attempt`, `Redelivered`,
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
/// | `Option` of a value | the same, also for `None` | the value, or `null` |
/// | an [`Outcome`] | what the outcome says | nothing, unless it is given up |
/// | `Ok` of one of these | the same | the same |
/// | `Err`, of a type that converts to `anyhow::Error` | see below | the error, once no attempt follows |
/// | `Ok(Ok(…))`, `Ok(Err(…))`, as `spawn_blocking(…).await` gives them | as of the inner `Result` | the same |
/// | a `Result` in an `Option`, a `Box`, a list, a map, a tuple or whatever else `std` keeps a value in; three in one another | it does not compile: `?` takes it out | |
/// | `Option<()>` | it does not compile: an `Outcome` or a `Result` says what `None` means | |
///
/// What a type of your own holds is a value, whatever it is: a `Result` in a field of it is sent as
/// `serde` writes it.
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
/// | `rate` | how many messages of a queue it begins within a time, in this program: `"100/s"`, `"30/m"`, `"1000/h"`, or a [`Rate`] | as the queue says: no limit |
/// | `layer` | a `tower::Layer` to put around it, such as `ConcurrencyLimitLayer::new(4)`, inside of those of its queue | none of its own |
/// | `ordered_by` | an [`OrderBy`]: messages with the same value there run one after another, others in parallel; more than one consumer of a queue that it handles is an error at startup | as the queue says: no order |
/// | `batch_size` | how many messages a [`Batch`] has, at most, as a number | as the queue says: 32 |
/// | `batch_wait` | how long the first message of a [`Batch`] waits for others: `"50ms"`, or a `Duration` | as the queue says: 100 ms |
/// | `unavailable_if` | a function that says of an error that something the handler needs is away, such as [`Unavailable::is_io`] | as the queue says: only [`Unavailable`] |
/// | `brake` | after how many failures in a row it gets one message a second, as a number, or a [`Brake`] | as the queue says: never |
/// | `needs` | the name of a check of the program, by [`App::check`]: while it fails, no message comes | what the queue needs |
/// | `crate` | the path to ploomby, for a crate that has it by another name, or behind a facade: see [there](#by-another-name) | `::ploomby` |
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
/// also in the body of a function, and in any crate. `allow`, `expect`, `cfg` and what `cfg_attr` makes of them
/// hold for what is registered as well.
///
/// An attribute that makes another function of it, such as `#[async_recursion]`, goes below `#[handler]`.
///
/// ## What is linked
///
/// The linker leaves out a crate of which nothing is used. Name one that has nothing but handlers once, in the
/// program, and in each integration test and benchmark that needs its handlers:
///
/// ```
/// # extern crate self as my_handlers;
/// use my_handlers as _;
/// ```
///
/// `#![warn(unused_crate_dependencies)]` in the program's root finds a dependency that nobody names. When it
/// starts, the program says what is registered, and from which crates: `12 handlers for 3 queues from shop,
/// shop_billing`; at the level `debug` each function with its place. A message that no handler is for says the
/// crates, too. Handlers of a crate that uses another version of ploomby are not among them: `cargo tree -d`
/// shows whether there are two.
///
/// In a `staticlib` that a C compiler links, the linker takes what is called, and nobody calls a
/// handler. Tell it to take all: `cc main.c -Wl,--whole-archive libshop.a -Wl,--no-whole-archive`, or `-Wl,-force_load,libshop.a`
/// on macOS.
///
/// ## By another name
///
/// The code that is written for a function names `::ploomby`. Where that is not to be had, say where it is:
///
/// ```
/// # mod facade { pub use ploomby; }
/// use facade::ploomby::handler;
///
/// #[handler("create_user", crate = facade::ploomby)]
/// async fn create_user(name: String) {}
/// ```
///
/// It is needed for a renamed dependency (`crate = mq`), behind a facade with `pub use ploomby;`, and in a
/// `macro_rules` for other crates (`#[$crate::ploomby::handler(crate = $crate::ploomby)]`). It is not needed behind a facade with
/// `pub use ploomby::*;` that the crate names `ploomby`: in Cargo.toml by `ploomby = { package = "facade" }`, or by
/// `extern crate facade as ploomby;` in its root.
///
/// ## In documentation
///
/// rustdoc makes one program of the doc tests of a crate, from edition 2024 on. Each has its own handlers there, so
/// that two may have one key.
///
/// # Errors
///
/// It does not compile where an option is unknown or has a value of another type, where the function
/// is not `async`, is generic, is `unsafe`, takes `self`, an
/// argument that is neither a payload nor an extractor, or a second payload, where it returns
/// something else, or where its future cannot be sent to another thread. The message says so at the
/// spot.
///
/// A type that stands for a reference, such as `type Message<'a> = &'a Delivery`, is not seen to be one: write
/// the `&` in the signature.
///
/// An associated function without `self` cannot be a handler either, though the compiler's message
/// is less clear: `const` items in this context need a name. Put the function outside of the
/// `impl`.
///
/// [`ploomby::extract`]: https://docs.rs/ploomby/latest/ploomby/extract/index.html
/// [`App::check`]: https://docs.rs/ploomby/latest/ploomby/struct.App.html#method.check
/// [`Brake`]: https://docs.rs/ploomby/latest/ploomby/struct.Brake.html
/// [`Rate`]: https://docs.rs/ploomby/latest/ploomby/struct.Rate.html
/// [`Unavailable`]: https://docs.rs/ploomby/latest/ploomby/struct.Unavailable.html
/// [`Unavailable::is_io`]: https://docs.rs/ploomby/latest/ploomby/struct.Unavailable.html#method.is_io
/// [`HandlerRegistry::register_pattern`]: https://docs.rs/ploomby/latest/ploomby/struct.HandlerRegistry.html#method.register_pattern
/// [`Words`]: https://docs.rs/ploomby/latest/ploomby/extract/struct.Words.html
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

/// Makes a test of an async function that takes a [`TestApp`]: one with all handlers that are linked, on a broker, a
/// clock and a runtime of its own. By ploomby's feature `testing`.
///
/// ```test_harness
/// use ploomby::testing::TestApp;
///
/// #[ploomby::handler("charge", queue = "billing", retry = 3)]
/// async fn charge(cents: u64) -> anyhow::Result<()> {
///     anyhow::ensure!(cents > 0, "nothing to pay");
///     Ok(())
/// }
///
/// #[ploomby::test]
/// async fn a_charge_of_nothing_is_given_up(app: TestApp) {
///     let app = app.start().await;
///     app.send("billing", "charge", &0).await.handled("charge").attempts(3);
///     app.dead_letters("billing").once();
/// }
/// # fn main() {}
/// ```
///
/// It may return what a test may return, and carry its attributes, such as `#[ignore]` and `#[should_panic]`. The runtime
/// has one thread. Behind a facade, `#[ploomby::test(crate = facade::ploomby)]` says where ploomby is.
///
/// # Errors
///
/// It does not compile where the function is not `async`, is generic, or takes something else.
///
/// [`TestApp`]: https://docs.rs/ploomby/latest/ploomby/testing/struct.TestApp.html
#[proc_macro_attribute]
pub fn test(attribute: TokenStream, item: TokenStream) -> TokenStream {
    testing::test(attribute.into(), &item.into()).into()
}
