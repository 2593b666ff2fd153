use std::{fmt, marker::PhantomData, ops::Deref};

use super::{Argument, Extracting, Payload, Place, Requirements, payload::now};
use crate::delivery::Delivery;

/// A payload that is not validated, although its type has rules, by the feature `garde`.
///
/// It is for rules that need a context of the program's own, and for a handler that says itself what
/// becomes of a payload that breaks them. It wraps what [`Valid`](super::Valid) does.
///
/// ```
/// use garde::Validate;
/// use ploomby::extract::{State, Unvalidated};
/// use serde::Deserialize;
///
/// /// Without a default.
/// #[derive(Clone)]
/// struct Limits {
///     cents: u64,
/// }
///
/// #[derive(Deserialize, Validate)]
/// #[garde(context(Limits as limits))]
/// struct Charge {
///     #[garde(range(max = limits.cents))]
///     cents: u64,
/// }
///
/// #[ploomby::handler("charge")]
/// async fn charge(
///     Unvalidated(charge): Unvalidated<Charge>,
///     State(limits): State<Limits>,
/// ) -> anyhow::Result<()> {
///     charge.validate_with(&limits)?;
///     println!("{} charged", charge.cents);
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Unvalidated<T>(pub T);

impl<T> Deref for Unvalidated<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Unvalidated<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unvalidated").finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T> Argument<'d, Payload> for Unvalidated<T>
where
    T: Argument<'d, Payload> + 'd,
{
    fn extract<'a>(delivery: &'d Delivery, place: &'a mut Place<Self>) -> Extracting<'a>
    where
        'd: 'a,
    {
        Extracting::ready(now(delivery).map(Self), place)
    }

    fn require(
        _: PhantomData<*const Self>,
        _: PhantomData<fn() -> Payload>,
        requirements: &mut Requirements,
    ) {
        T::require(PhantomData, PhantomData, requirements);
    }
}
