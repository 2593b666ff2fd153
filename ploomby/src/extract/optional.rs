//! `Option` and `Result` of an extractor: the handler decides what it means that there is none.

use std::marker::PhantomData;

use futures_util::{FutureExt, TryFutureExt};

use super::{
    Argument, Extracting, Extractor, FromDelivery, Part, Requirements,
    kind::{Optional, Tried},
    part::DeliveryPart,
    rejected,
};
use crate::delivery::Delivery;

#[diagnostic::do_not_recommend]
impl<'d, T> Argument<'d, Optional<Part>> for Option<T>
where
    T: DeliveryPart<'d>,
{
    fn extract(delivery: &'d Delivery) -> Extracting<'d, Self, Optional<Part>> {
        Extracting::ready(T::optional(delivery).map_err(rejected))
    }

    fn require(_: PhantomData<*const Self>, requirements: &mut Requirements) {
        if T::IS_OF_MESSAGE {
            requirements.message::<Self>();
        }
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T> Argument<'d, Optional<Extractor>> for Option<T>
where
    T: FromDelivery<'d> + 'd,
{
    fn extract(delivery: &'d Delivery) -> Extracting<'d, Self, Optional<Extractor>> {
        Extracting::waiting(Box::pin(T::optional(delivery).map_err(rejected)))
    }

    fn require(_: PhantomData<*const Self>, requirements: &mut Requirements) {
        let mut own = Requirements::default();
        T::require(&mut own);
        requirements.without_state(own);
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T, R> Argument<'d, Tried<Part>> for Result<T, R>
where
    T: DeliveryPart<'d, Rejection = R>,
{
    fn extract(delivery: &'d Delivery) -> Extracting<'d, Self, Tried<Part>> {
        Extracting::ready(Ok(T::part(delivery)))
    }

    fn require(_: PhantomData<*const Self>, requirements: &mut Requirements) {
        if T::IS_OF_MESSAGE {
            requirements.message::<Self>();
        }
        T::require(requirements);
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T, R> Argument<'d, Tried<Extractor>> for Result<T, R>
where
    T: FromDelivery<'d, Rejection = R> + 'd,
    R: 'd,
{
    fn extract(delivery: &'d Delivery) -> Extracting<'d, Self, Tried<Extractor>> {
        Extracting::waiting(Box::pin(T::from_delivery(delivery).map(Ok)))
    }

    fn require(_: PhantomData<*const Self>, requirements: &mut Requirements) {
        T::require(requirements);
    }
}
