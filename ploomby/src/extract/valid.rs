use std::{fmt, fmt::Write, marker::PhantomData, ops::Deref};

use garde::Validate;

use super::{Argument, Extracting, Payload, Place, Requirements, payload::now};
use crate::{
    delivery::Delivery,
    outcome::{Failure, Reason, cut_field},
};

/// A payload that was validated, by the feature `garde`, for a handler that is registered by hand.
///
/// A function with [`#[handler]`](macro@crate::handler) needs no `Valid`: its payload is validated where
/// the type has rules. One that is [registered by hand](crate::HandlerRegistry::register) is a generic
/// function's argument, which cannot look for rules that a type may or may not have: there `Valid` asks
/// for them.
///
/// The rules stand on the payload's type, as [`garde`] has them. A message that breaks some goes to
/// the dead-letter queue with the reason `invalid` and an error that names each field with what is
/// wrong with it. The log tells how many rules were broken, and nothing of what they say.
///
/// It wraps any payload: owned, borrowing from the message, `Vec<T>`, or
#[cfg_attr(feature = "protobuf", doc = "[`Protobuf<T>`](super::Protobuf).")]
#[cfg_attr(not(feature = "protobuf"), doc = "`Protobuf<T>`.")]
///
/// A type of which the rules need a context validates with that context's default; where it has
/// none, there is [`Unvalidated`](super::Unvalidated).
///
/// ```
/// use garde::Validate;
/// use ploomby::{HandlerRegistry, extract::Valid};
/// use serde::Deserialize;
///
/// #[derive(Deserialize, Validate)]
/// struct CreateUser {
///     #[garde(length(min = 1, max = 100))]
///     name: String,
///     #[garde(range(min = 18))]
///     age: u8,
/// }
///
/// // it is validated
/// #[ploomby::handler("create_user")]
/// async fn create_user(user: CreateUser) {
///     println!("welcome, {}, {}", user.name, user.age);
/// }
///
/// // and so is this
/// let handlers = HandlerRegistry::new().register(
///     "create_user",
///     |Valid(user): Valid<CreateUser>| async move { println!("welcome, {}", user.name) },
/// );
/// ```
///
/// The version of `garde` is the one that ploomby was built with, 0.22: a `Validate` of another version is
/// another trait. Around a payload that has that one, `Valid` does not compile, and says so.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Valid<T>(pub T);

impl<T> Deref for Valid<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Valid<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Valid").finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T> Argument<'d, Payload> for Valid<T>
where
    T: Argument<'d, Payload> + Validate<Context: Default> + 'd,
{
    fn extract<'a>(delivery: &'d Delivery, place: &'a mut Place<Self>) -> Extracting<'a>
    where
        'd: 'a,
    {
        let valid = now(delivery).and_then(|payload: T| {
            validate(&payload)?;
            Ok(Self(payload))
        });
        Extracting::ready(valid, place)
    }

    fn require(
        _: PhantomData<*const Self>,
        _: PhantomData<fn() -> Payload>,
        requirements: &mut Requirements,
    ) {
        T::require(PhantomData, PhantomData, requirements);
    }
}

#[cfg(feature = "protobuf")]
impl<T: Validate> Validate for super::Protobuf<T> {
    type Context = T::Context;

    fn validate_into(
        &self,
        context: &T::Context,
        parent: &mut dyn FnMut() -> garde::Path,
        report: &mut garde::Report,
    ) {
        self.0.validate_into(context, parent, report);
    }
}

pub(super) fn validate<T: Validate<Context: Default>>(payload: &T) -> Result<(), Failure> {
    payload.validate().map_err(|report| invalid(&report))
}

/// More are not worth reading; a list of a million items may break a million rules.
const MAX_FAULTS: usize = 100;

#[cold]
fn invalid(report: &garde::Report) -> Failure {
    let count = report.iter().count();
    // each is cut as it is written down: a path holds keys of maps, and a hundred may share a long one
    let faults: Vec<_> = report
        .iter()
        .take(MAX_FAULTS)
        .map(|(path, error)| (cut_field(path.to_string()), cut_field(error.to_string())))
        .collect();
    let mut text = String::new();
    for (path, error) in &faults {
        let separator = if text.is_empty() { "" } else { "; " };
        // writing to a string cannot fail
        let _ = match &**path {
            "" => write!(text, "{separator}{error}"),
            path => write!(text, "{separator}field `{path}`: {error}"),
        };
    }
    if count > MAX_FAULTS {
        let _ = write!(text, "; {} more", count - MAX_FAULTS);
    }
    // the author's own messages hold what he likes
    let failure = Failure::new(Reason::Invalid, text)
        .logged_as(format!("the payload breaks {count} of its rules"));
    faults.into_iter().fold(failure, |failure, (path, error)| {
        failure.at_field(path, error)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[derive(Validate)]
    struct Line {
        #[garde(range(min = 1))]
        count: u32,
    }

    #[derive(Validate)]
    struct Order {
        #[garde(dive)]
        lines: HashMap<String, Vec<Line>>,
    }

    #[test]
    fn many_faults_below_one_long_key_take_little_room() {
        let lines = (0..200).map(|_| Line { count: 0 }).collect();
        let lines = HashMap::from([("k".repeat(1 << 20), lines)]);
        let failure = validate(&Order { lines }).unwrap_err();
        let reply = serde_json::to_string(&failure.error_reply(true)).unwrap();
        assert!(reply.len() < 256 * 1024, "{}", reply.len());
        assert!(
            failure.text.starts_with("field `lines.kkk"),
            "{}",
            failure.text
        );
    }
}
