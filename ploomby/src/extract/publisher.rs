use super::{Requirements, part::DeliveryPart, state::MissingState};
use crate::{delivery::Delivery, publisher::Publisher};

/// A publisher to the broker that the message came from, for a handler that sends messages itself.
///
/// [`App`](crate::App) connects one when a handler takes it; a program that builds its own consumers
/// gives one by
/// [`with_state`](crate::MessageConsumerRegistry::with_state), and any program may, to have it
/// another broker's. The key of what [`send`](Publisher::send) sends stands where the consumed
/// queue has its keys.
///
/// A handler that awaits what it sends, and returns its error, is acknowledged once the broker has
/// confirmed all of it: a crash in between handles the message again and sends it twice, and never
/// loses it.
///
/// ```
/// use ploomby::Publisher;
///
/// #[ploomby::handler("order_placed")]
/// async fn order_placed(order: u64, publisher: Publisher) -> anyhow::Result<()> {
///     publisher.send("parcels", "pack", &order).await?;
///     Ok(())
/// }
/// ```
#[diagnostic::do_not_recommend]
impl<'d> DeliveryPart<'d> for Publisher {
    type Rejection = MissingState;

    const IS_OF_MESSAGE: bool = false;

    fn part(delivery: &'d Delivery) -> Result<Self, MissingState> {
        let publisher = delivery.publisher();
        publisher.cloned().ok_or_else(MissingState::of::<Self>)
    }

    fn require(requirements: &mut Requirements) {
        requirements.state::<Self>();
    }
}
