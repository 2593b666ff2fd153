use super::{Requirements, part::DeliveryPart, state::MissingState};
use crate::{delivery::Delivery, publisher::Publisher};

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
