use std::marker::PhantomData;

use serde::Deserialize;

use super::{Argument, Extracting, Payload, Place, Requirements};
use crate::{
    delivery::{Delivery, plain_body},
    outcome::{Failure, Reason},
};

#[diagnostic::do_not_recommend]
impl<'d, T> Argument<'d, Payload> for T
where
    T: Deserialize<'d>,
{
    fn extract<'a>(delivery: &'d Delivery, place: &'a mut Place<Self>) -> Extracting<'a>
    where
        'd: 'a,
    {
        Extracting::ready(decode(delivery), place)
    }

    fn require(
        _: PhantomData<*const Self>,
        _: PhantomData<fn() -> Payload>,
        requirements: &mut Requirements,
    ) {
        requirements.payload::<Self>();
    }
}

/// A payload of any kind: there is no waiting for it.
pub(super) fn now<'d, T: Argument<'d, Payload>>(delivery: &'d Delivery) -> Result<T, Failure> {
    let mut place = Place::empty();
    T::extract(delivery, &mut place).at_once()?;
    Ok(place.take())
}

/// Decodes the body as the message says, or else as the queue does.
pub(super) fn decode<'d, T: Deserialize<'d>>(delivery: &'d Delivery) -> Result<T, Failure> {
    let decoded = decode_body(delivery);
    delivery.note_decoded(&decoded);
    decoded
}

fn decode_body<'d, T: Deserialize<'d>>(delivery: &'d Delivery) -> Result<T, Failure> {
    let Some(codec) = delivery.codec()? else {
        return Err(is_not_taken());
    };
    codec.decode(plain_body(delivery)?)
}

/// A message in Protobuf for a handler whose payload is another.
#[cold]
fn is_not_taken() -> Failure {
    let text = "the content type says Protobuf, and the handler does not take its payload as \
                `Protobuf<T>`";
    Failure::new(Reason::UnsupportedContentType, text.to_owned())
}
