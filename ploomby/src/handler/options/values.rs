//! What the options of the attribute take. Each has a trait of its own, for the compiler to say what
//! it expected in the option's words.

use std::time::Duration;

use crate::{
    brake::Brake,
    handler::{OrderBy, Rate},
    layer::{AnyLayer, HandlerLayer},
    settle::Retry,
};

/// The value of `queue`.
#[diagnostic::on_unimplemented(
    message = "`queue` cannot be `{Self}`",
    label = "expected a queue's name",
    note = "`queue` takes text: queue = \"users\""
)]
pub trait QueueValue {
    /// The name.
    fn value(self) -> String;
}

#[diagnostic::do_not_recommend]
impl<T: Into<String>> QueueValue for T {
    fn value(self) -> String {
        self.into()
    }
}

/// The value of `retry`.
#[diagnostic::on_unimplemented(
    message = "`retry` cannot be `{Self}`",
    label = "expected a number of attempts, or a `Retry`",
    note = "`retry` takes a number or a `Retry`: retry = 5, or \
            retry = Retry::fixed(3, Duration::from_secs(10))"
)]
pub trait RetryValue {
    /// When to try again.
    fn value(self) -> Retry;
}

#[diagnostic::do_not_recommend]
impl<T: Into<Retry>> RetryValue for T {
    fn value(self) -> Retry {
        self.into()
    }
}

/// The value of `timeout`.
#[diagnostic::on_unimplemented(
    message = "`timeout` cannot be `{Self}`",
    label = "expected a time with its unit, or a `Duration`",
    note = "`timeout` takes a string literal or a `Duration`: timeout = \"10s\", or \
            timeout = Duration::from_secs(10)"
)]
pub trait TimeoutValue {
    /// The time.
    fn value(self) -> Duration;
}

#[diagnostic::do_not_recommend]
impl TimeoutValue for Duration {
    fn value(self) -> Duration {
        self
    }
}

/// The value of `unavailable_if`.
#[diagnostic::on_unimplemented(
    message = "`unavailable_if` cannot be `{Self}`",
    label = "expected a function of an error",
    note = "`unavailable_if` takes a function: unavailable_if = Unavailable::is_io, or \
            unavailable_if = |error: &anyhow::Error| error.is::<sqlx::Error>()"
)]
pub trait UnavailableIfValue {
    /// Whether an error is one of what the handler needs.
    fn value(self) -> Box<dyn Fn(&anyhow::Error) -> bool + Send + Sync>;
}

#[diagnostic::do_not_recommend]
impl<T: Fn(&anyhow::Error) -> bool + Send + Sync + 'static> UnavailableIfValue for T {
    fn value(self) -> Box<dyn Fn(&anyhow::Error) -> bool + Send + Sync> {
        Box::new(self)
    }
}

/// The value of `brake`.
#[diagnostic::on_unimplemented(
    message = "`brake` cannot be `{Self}`",
    label = "expected a number of failures, or a `Brake`",
    note = "`brake` takes a number or a `Brake`: brake = 50, or brake = Brake::none()"
)]
pub trait BrakeValue {
    /// When the brake goes on by itself.
    fn value(self) -> Brake;
}

#[diagnostic::do_not_recommend]
impl<T: Into<Brake>> BrakeValue for T {
    fn value(self) -> Brake {
        self.into()
    }
}

/// The value of `needs`.
#[diagnostic::on_unimplemented(
    message = "`needs` cannot be `{Self}`",
    label = "expected the name of a check",
    note = "`needs` takes the name that `App::check` gave to a check: needs = \"payment api\""
)]
pub trait NeedsValue {
    /// The name.
    fn value(self) -> String;
}

#[diagnostic::do_not_recommend]
impl<T: Into<String>> NeedsValue for T {
    fn value(self) -> String {
        self.into()
    }
}

/// The value of `concurrency`.
#[diagnostic::on_unimplemented(
    message = "`concurrency` cannot be `{Self}`",
    label = "expected a number of messages, a `usize`",
    note = "`concurrency` takes a number: concurrency = 4"
)]
pub trait ConcurrencyValue {
    /// The number of messages.
    fn value(self) -> usize;
}

#[diagnostic::do_not_recommend]
impl ConcurrencyValue for usize {
    fn value(self) -> usize {
        self
    }
}

/// The value of `rate`.
#[diagnostic::on_unimplemented(
    message = "`rate` cannot be `{Self}`",
    label = "expected a number of messages per s, m or h, or a `Rate`",
    note = "`rate` takes a string literal or a `Rate`: rate = \"100/s\", or rate = Rate::per_second(100).burst(10)"
)]
pub trait RateValue {
    /// The rate.
    fn value(self) -> Rate;
}

#[diagnostic::do_not_recommend]
impl RateValue for Rate {
    fn value(self) -> Rate {
        self
    }
}

/// The value of `ordered_by`.
#[diagnostic::on_unimplemented(
    message = "`ordered_by` cannot be `{Self}`",
    label = "expected an `OrderBy`, which says where the value stands",
    note = "`ordered_by` takes an `OrderBy`: ordered_by = OrderBy::header(\"customer\"), or \
            ordered_by = OrderBy::field(\"customer.id\")"
)]
pub trait OrderedByValue {
    /// Where the value stands.
    fn value(self) -> OrderBy;
}

#[diagnostic::do_not_recommend]
impl OrderedByValue for OrderBy {
    fn value(self) -> OrderBy {
        self
    }
}

/// The value of `batch_size`.
#[diagnostic::on_unimplemented(
    message = "`batch_size` cannot be `{Self}`",
    label = "expected a number of messages, a `usize`",
    note = "`batch_size` takes a number: batch_size = 100"
)]
pub trait BatchSizeValue {
    /// The number of messages.
    fn value(self) -> usize;
}

#[diagnostic::do_not_recommend]
impl BatchSizeValue for usize {
    fn value(self) -> usize {
        self
    }
}

/// The value of `batch_wait`.
#[diagnostic::on_unimplemented(
    message = "`batch_wait` cannot be `{Self}`",
    label = "expected a time with its unit, or a `Duration`",
    note = "`batch_wait` takes a string literal or a `Duration`: batch_wait = \"50ms\", or \
            batch_wait = Duration::from_millis(50)"
)]
pub trait BatchWaitValue {
    /// The time.
    fn value(self) -> Duration;
}

#[diagnostic::do_not_recommend]
impl BatchWaitValue for Duration {
    fn value(self) -> Duration {
        self
    }
}

/// The value of `layer`.
#[diagnostic::on_unimplemented(
    message = "`layer` cannot be `{Self}`",
    label = "expected a `tower::Layer` for handlers",
    note = "`layer` takes a layer: layer = ConcurrencyLimitLayer::new(4); its service takes a \
            `ploomby::Delivery`, responds with a `ploomby::Answer`, and has an error that converts to \
            `tower::BoxError`"
)]
pub trait LayerValue {
    /// The layer.
    fn value(self) -> AnyLayer;
}

#[diagnostic::do_not_recommend]
impl<T: HandlerLayer> LayerValue for T {
    fn value(self) -> AnyLayer {
        AnyLayer::new(self)
    }
}
