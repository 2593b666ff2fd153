use std::fmt;

use bytes::Bytes;

use super::{Argument, Extracting, Part};
use crate::{
    delivery::Delivery,
    message::Properties,
    settle::{Failure, Reason},
};

/// The key of the message, which the default handler, or one with several keys, may want to know.
///
/// ```
/// use ploomby::extract::Key;
///
/// #[ploomby::handler(default)]
/// async fn unknown(Key(key): Key) {
///     println!("nobody handles {key:?}");
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(pub String);

#[diagnostic::do_not_recommend]
impl<'d> Argument<'d, Part> for Key {
    fn extract(delivery: &'d Delivery) -> Extracting<'d, Self, Part> {
        Extracting::ready(match delivery.try_key() {
            Ok(key) => Ok(Self(key.into_owned())),
            Err(error) => Err(Failure::new(Reason::MissingKey, error.to_string())),
        })
    }
}

/// The body of the message, as it was sent: a compressed one is not decompressed.
///
/// `Debug` prints its length alone.
#[derive(Clone, PartialEq, Eq)]
pub struct RawBody(pub Bytes);

impl fmt::Debug for RawBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawBody({} bytes)", self.0.len())
    }
}

#[diagnostic::do_not_recommend]
impl<'d> Argument<'d, Part> for RawBody {
    fn extract(delivery: &'d Delivery) -> Extracting<'d, Self, Part> {
        Extracting::ready(Ok(Self(delivery.message().body().clone())))
    }
}

/// Which attempt at the message this is: 1, unless a [`Retry`](crate::Retry) brought it back.
///
/// It travels with the message, whichever program tries. What comes back without having been
/// settled, after a crash for one, is the same attempt, [`Redelivered`].
///
/// ```
/// use ploomby::extract::Attempt;
///
/// #[ploomby::handler(retry = 5)]
/// async fn call_the_bank(Attempt(attempt): Attempt) {
///     println!("attempt {attempt} of 5");
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt(pub u32);

#[diagnostic::do_not_recommend]
impl<'d> Argument<'d, Part> for Attempt {
    fn extract(delivery: &'d Delivery) -> Extracting<'d, Self, Part> {
        Extracting::ready(Ok(Self(delivery.attempt())))
    }
}

/// Whether the message was delivered before and not settled, so that its handler may have run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redelivered(pub bool);

#[diagnostic::do_not_recommend]
impl<'d> Argument<'d, Part> for Redelivered {
    fn extract(delivery: &'d Delivery) -> Extracting<'d, Self, Part> {
        Extracting::ready(Ok(Self(delivery.is_redelivered())))
    }
}

/// The properties of the message, and its headers.
///
/// ```
/// use ploomby::Properties;
///
/// #[ploomby::handler("audit")]
/// async fn audit(properties: &Properties) {
///     println!("sent by {:?}", properties.get_app_id());
/// }
/// ```
#[diagnostic::do_not_recommend]
impl<'d> Argument<'d, Part> for Properties {
    fn extract(delivery: &'d Delivery) -> Extracting<'d, Self, Part> {
        Extracting::ready(Ok(delivery.properties().clone()))
    }
}

/// The delivery itself, of which nothing is copied.
#[diagnostic::do_not_recommend]
impl<'d> Argument<'d, Part> for Delivery {
    fn extract(delivery: &'d Delivery) -> Extracting<'d, Self, Part> {
        Extracting::ready(Ok(delivery.clone()))
    }
}
