use std::{any::type_name, ops::Deref};

use thiserror::Error;

use super::part::DeliveryPart;
use crate::delivery::Delivery;

/// What a layer left with the delivery, by
/// [`Delivery::extensions_mut`](crate::Delivery::extensions_mut): who sent the message, the span that
/// it belongs to.
///
/// A message that no layer left such a value with is dead-lettered; `Option<Extension<T>>` takes
/// that, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extension<T>(pub T);

impl<T> Deref for Extension<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T> DeliveryPart<'d> for Extension<T>
where
    T: Clone + Send + Sync + 'static,
{
    type Rejection = MissingExtension;

    fn part(delivery: &'d Delivery) -> Result<Self, MissingExtension> {
        match delivery.extensions().get::<T>() {
            Some(extension) => Ok(Self(extension.clone())),
            None => Err(MissingExtension(type_name::<T>())),
        }
    }
}

/// No layer left a value of this type.
#[derive(Debug, Error)]
#[error(
    "the delivery has no extension of type `{0}`: put the layer that sets it around the handler"
)]
pub struct MissingExtension(&'static str);
