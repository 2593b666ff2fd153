use std::ops::Deref;

use super::{MissingKey, part::DeliveryPart};
use crate::delivery::Delivery;

/// The words of the key that stand for the wildcards of the pattern that the handler has, in their order: for each `*` a
/// word, and for each `#` as few words as can be, with their dots, or an empty text for none. Empty if the handler has the
/// very key.
///
/// ```
/// use ploomby::extract::Words;
///
/// #[ploomby::handler(pattern = "order.*.created")]
/// async fn created(words: Words) {
///     // `eu` of `order.eu.created`
///     println!("an order in {}", words[0]);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl Deref for Words {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

#[diagnostic::do_not_recommend]
impl<'d> DeliveryPart<'d> for Words {
    type Rejection = MissingKey;

    fn part(delivery: &'d Delivery) -> Result<Self, MissingKey> {
        delivery.key_words().map(Self).map_err(MissingKey::new)
    }
}
