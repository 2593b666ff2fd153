use std::{fmt, marker::PhantomData};

use super::{Argument, Extracting, Payload, Place, Requirements};
use crate::{
    codec::{Format, aside},
    delivery::{Delivery, plain_body},
    outcome::{Failure, Reason},
};

/// A payload that is decoded from Protobuf, by the feature `protobuf`.
///
/// It takes messages with the content type `application/protobuf`, `application/x-protobuf` or
/// `application/vnd.google.protobuf`, and those that say nothing about their body: without a
/// content type, or with `text/plain` or `application/octet-stream`.
///
/// `Debug` prints nothing of the message.
///
/// ```
/// use ploomby::extract::Protobuf;
///
/// // `prost-build` writes such types from `.proto` files
/// #[derive(prost::Message)]
/// struct CreateUser {
///     #[prost(string, tag = "1")]
///     name: String,
/// }
///
/// #[ploomby::handler("create_user")]
/// async fn create_user(Protobuf(user): Protobuf<CreateUser>) {
///     println!("welcome, {}", user.name);
/// }
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Protobuf<T>(pub T);

impl<T> fmt::Debug for Protobuf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Protobuf").finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T> Argument<'d, Payload> for Protobuf<T>
where
    T: prost::Message + Default,
{
    fn extract<'a>(delivery: &'d Delivery, place: &'a mut Place<Self>) -> Extracting<'a>
    where
        'd: 'a,
    {
        Extracting::ready(decode(delivery).map(Self), place)
    }

    fn require(
        _: PhantomData<*const Self>,
        _: PhantomData<fn() -> Payload>,
        requirements: &mut Requirements,
    ) {
        requirements.payload::<Self>();
        #[cfg(feature = "asyncapi")]
        requirements.written_as("application/x-protobuf");
    }
}

fn decode<T: prost::Message + Default>(delivery: &Delivery) -> Result<T, Failure> {
    let decoded = decode_body(delivery);
    delivery.note_decoded(&decoded);
    decoded
}

fn decode_body<T: prost::Message + Default>(delivery: &Delivery) -> Result<T, Failure> {
    match delivery.format()? {
        Format::Unspecified | Format::Protobuf => {}
        Format::Serde(codec) => {
            let text = format!(
                "the content type says {codec:?}, and the handler takes `application/protobuf`"
            );
            return Err(Failure::new(Reason::UnsupportedContentType, text));
        }
    }
    let body = plain_body(delivery)?;
    aside(body.len(), || T::decode(body)).map_err(|error| {
        Failure::new(Reason::Undecodable, error.to_string())
            .logged_as("the body does not fit the payload as Protobuf".to_owned())
    })
}
