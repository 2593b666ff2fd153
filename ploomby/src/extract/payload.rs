use serde::Deserialize;

use super::{Argument, Extracting, Payload};
use crate::{
    codec::{self, Format},
    delivery::Delivery,
    settle::Failure,
};

#[diagnostic::do_not_recommend]
impl<'d, T> Argument<'d, Payload> for T
where
    T: Deserialize<'d>,
{
    fn extract(delivery: &'d Delivery) -> Extracting<'d, Self, Payload> {
        Extracting::ready(decode(delivery))
    }
}

/// Decodes the body as the message says, or else as the queue does.
pub(super) fn decode<'d, T: Deserialize<'d>>(delivery: &'d Delivery) -> Result<T, Failure> {
    let codec = match Format::of(delivery.properties().get_content_type())? {
        Format::Unspecified => delivery.decoding().codec,
        Format::Serde(codec) => codec,
        #[cfg(feature = "protobuf")]
        Format::Protobuf => return Err(super::protobuf::is_not_taken()),
    };
    codec.decode(codec::plain_body(delivery)?)
}
