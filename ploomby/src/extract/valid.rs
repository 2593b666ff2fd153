use std::{fmt, fmt::Write, marker::PhantomData, ops::Deref};

use garde::Validate;

use super::{Argument, Extracting, Payload, Place, Requirements, payload::now};
use crate::{
    delivery::Delivery,
    settle::{Failure, Reason},
};

/// A payload that was validated, by the feature `garde`.
///
/// The rules stand on the payload's type, as [`garde`] has them. A message that breaks some goes to
/// the dead-letter queue with the reason `invalid` and an error that names each field with what is
/// wrong with it. The log tells how many rules were broken, and nothing of what they say.
///
/// It wraps any payload: owned, borrowing from the message, `Vec<T>`, or
#[cfg_attr(feature = "protobuf", doc = "[`Protobuf<T>`](super::Protobuf).")]
#[cfg_attr(not(feature = "protobuf"), doc = "`Protobuf<T>`.")]
///
/// A type of which the rules need a context validates with that context's default.
///
/// ```
/// use garde::Validate;
/// use ploomby::extract::Valid;
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
/// #[ploomby::handler("create_user")]
/// async fn create_user(Valid(user): Valid<CreateUser>) {
///     println!("welcome, {}, {}", user.name, user.age);
/// }
/// ```
///
/// A payload is validated where the handler says so, and nowhere else. Were it for every type that has
/// rules, some would be skipped in silence: rules whose context has no default, those of another
/// version of `garde`, all of a handler that is registered by hand. With `Valid` each of these is
/// validated, or does not compile.
///
/// The version of `garde` is the one that ploomby was built with: a `Validate` of another version
/// is another trait, which the compiler says at the argument.
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
        let valid = now(delivery).and_then(|payload: T| match payload.validate() {
            Ok(()) => Ok(Self(payload)),
            Err(report) => Err(invalid(&report)),
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

/// More are not worth reading; a list of a million items may break a million rules.
const MAX_FAULTS: usize = 100;

#[cold]
fn invalid(report: &garde::Report) -> Failure {
    let mut text = String::new();
    for (path, error) in report.iter().take(MAX_FAULTS) {
        let separator = if text.is_empty() { "" } else { "; " };
        // writing to a string cannot fail
        let _ = match path.to_string() {
            path if path.is_empty() => write!(text, "{separator}{error}"),
            path => write!(text, "{separator}field `{path}`: {error}"),
        };
    }
    let faults = report.iter().count();
    if faults > MAX_FAULTS {
        let _ = write!(text, "; {} more", faults - MAX_FAULTS);
    }
    // a path holds keys of maps, and the author's own messages hold what he likes
    let failure = Failure::new(Reason::Invalid, text)
        .logged_as(format!("the payload breaks {faults} of its rules"));
    let faults = report.iter().take(MAX_FAULTS);
    faults.fold(failure, |failure, (path, error)| {
        failure.at_field(path.to_string(), error.to_string())
    })
}
