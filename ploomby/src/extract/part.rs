use std::marker::PhantomData;

use super::{Argument, Extracting, Part, Place, Requirements, rejected};
use crate::delivery::Delivery;

/// What is there with the delivery: an extractor of ploomby's own, which nothing has to wait for and
/// that costs no allocation.
pub trait DeliveryPart<'d>: Sized {
    /// Why it could not be made.
    type Rejection: Into<anyhow::Error>;

    /// Whether it is of one message, so that a handler of a batch cannot take it.
    const IS_OF_MESSAGE: bool = true;

    /// Makes it.
    fn part(delivery: &'d Delivery) -> Result<Self, Self::Rejection>;

    /// Makes it for a handler that takes an `Option` of it.
    fn optional(delivery: &'d Delivery) -> Result<Option<Self>, Self::Rejection> {
        Ok(Self::part(delivery).ok())
    }

    /// What the program has to give for it.
    fn require(requirements: &mut Requirements) {
        let _ = requirements;
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T> Argument<'d, Part> for T
where
    T: DeliveryPart<'d>,
{
    fn extract<'a>(delivery: &'d Delivery, place: &'a mut Place<Self>) -> Extracting<'a>
    where
        'd: 'a,
    {
        Extracting::ready(T::part(delivery).map_err(rejected), place)
    }

    fn require(
        _: PhantomData<*const Self>,
        _: PhantomData<fn() -> Part>,
        requirements: &mut Requirements,
    ) {
        if T::IS_OF_MESSAGE {
            requirements.message::<Self>();
        }
        T::require(requirements);
    }
}
