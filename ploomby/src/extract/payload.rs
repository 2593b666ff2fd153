use serde::Deserialize;

use super::{Argument, Extracting, Payload};
use crate::{
    delivery::Delivery,
    settle::{Failure, Reason},
};

#[diagnostic::do_not_recommend]
impl<'d, T> Argument<'d, Payload> for T
where
    T: Deserialize<'d>,
{
    fn extract(delivery: &'d Delivery) -> Extracting<'d, Self, Payload> {
        Extracting::ready(decode(delivery.body()))
    }
}

/// Decodes JSON, and on an error once more to learn the path of the field: tracking it costs
/// about as much as decoding.
pub(super) fn decode<'d, T: Deserialize<'d>>(body: &'d [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let field = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
            Err(tracked) if tracked.path().iter().next().is_some() => {
                format!("field `{}`: ", tracked.path())
            }
            _ => String::new(),
        };
        let place = format!("line {} column {}", error.line(), error.column());
        // the path holds keys of maps, which are part of the body
        Failure::new(Reason::Undecodable, format!("{field}{error}"))
            .logged_as(format!("the body does not fit the payload at {place}"))
    })
}
