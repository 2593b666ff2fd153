//! `Option` and `Result` of an extractor: the handler decides what it means that there is none.

use std::marker::PhantomData;

use futures_util::FutureExt;

use super::{
    Argument, Extracting, Extractor, FromDelivery, Part, Place, Requirements,
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
    fn extract<'a>(delivery: &'d Delivery, place: &'a mut Place<Self>) -> Extracting<'a>
    where
        'd: 'a,
    {
        Extracting::ready(T::optional(delivery).map_err(rejected), place)
    }

    fn require(
        _: PhantomData<*const Self>,
        _: PhantomData<fn() -> Optional<Part>>,
        requirements: &mut Requirements,
    ) {
        if T::IS_OF_MESSAGE {
            requirements.message::<Self>();
        }
        requirements.optional(T::require);
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T> Argument<'d, Optional<Extractor>> for Option<T>
where
    T: FromDelivery<'d> + 'd,
{
    fn extract<'a>(delivery: &'d Delivery, place: &'a mut Place<Self>) -> Extracting<'a>
    where
        'd: 'a,
    {
        if let Err(trial) = delivery.end_trial() {
            return Extracting::done(Err(trial));
        }
        Extracting::extractor(T::optional(delivery), place)
    }

    fn require(
        _: PhantomData<*const Self>,
        _: PhantomData<fn() -> Optional<Extractor>>,
        requirements: &mut Requirements,
    ) {
        requirements.optional(T::require);
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T, R> Argument<'d, Tried<Part>> for Result<T, R>
where
    T: DeliveryPart<'d, Rejection = R>,
{
    fn extract<'a>(delivery: &'d Delivery, place: &'a mut Place<Self>) -> Extracting<'a>
    where
        'd: 'a,
    {
        Extracting::ready(Ok(T::part(delivery)), place)
    }

    fn require(
        _: PhantomData<*const Self>,
        _: PhantomData<fn() -> Tried<Part>>,
        requirements: &mut Requirements,
    ) {
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
    R: Send + 'd,
{
    fn extract<'a>(delivery: &'d Delivery, place: &'a mut Place<Self>) -> Extracting<'a>
    where
        'd: 'a,
    {
        if let Err(trial) = delivery.end_trial() {
            return Extracting::done(Err(trial));
        }
        Extracting::waiting(T::from_delivery(delivery).map(|result| place.fill(Ok(result))))
    }

    fn require(
        _: PhantomData<*const Self>,
        _: PhantomData<fn() -> Tried<Extractor>>,
        requirements: &mut Requirements,
    ) {
        T::require(requirements);
    }
}
