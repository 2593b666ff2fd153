use std::{fmt, ops::Deref};

use serde::Deserialize;

use super::part::DeliveryPart;
use crate::{delivery::Delivery, message::HeaderRejection};

/// Headers of the message, decoded into a struct with a field for each: typed and named in one place.
/// Text is borrowed from the message.
///
/// A header that is missing or does not fit its field sends the message to the dead-letter queue.
/// A field that is an `Option`, or has `#[serde(default)]`, may be missing. With `Option<Header<T>>` all
/// of them may be missing; a header that is there and does not fit is still refused. Headers that `T` does
/// not name are ignored. A number fits any integer that can hold it. Neither the error nor the log tells a
/// header's value.
///
/// ```
/// use ploomby::extract::Header;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Trace<'m> {
///     #[serde(rename = "x-tenant")]
///     tenant: &'m str,
///     #[serde(rename = "x-hops", default)]
///     hops: u32,
/// }
///
/// #[ploomby::handler("audit")]
/// async fn audit(Header(trace): Header<Trace<'_>>) {
///     println!("{} after {} hops", trace.tenant, trace.hops);
/// }
/// ```
///
/// For all headers, or names that only the running program knows, take
/// [`Headers`](crate::Headers).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Header<T>(pub T);

impl<T> Deref for Header<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Headers carry secrets, too.
impl<T> fmt::Debug for Header<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<'d, T> DeliveryPart<'d> for Header<T>
where
    T: Deserialize<'d>,
{
    type Rejection = HeaderRejection;

    fn part(delivery: &'d Delivery) -> Result<Self, HeaderRejection> {
        delivery.headers().decode().map(Self)
    }

    fn optional(delivery: &'d Delivery) -> Result<Option<Self>, HeaderRejection> {
        match Self::part(delivery) {
            Ok(header) => Ok(Some(header)),
            Err(HeaderRejection::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
