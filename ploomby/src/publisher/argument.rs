use super::Publisher;
use crate::{
    delivery::Delivery,
    extract::{DeliveryPart, MissingState, Requirements},
};

/// The program's publisher, if it gave one. It writes keys to the place where the queue has them.
#[diagnostic::do_not_recommend]
impl<'d> DeliveryPart<'d> for Publisher {
    type Rejection = MissingState;

    const IS_OF_MESSAGE: bool = false;

    fn part(delivery: &'d Delivery) -> Result<Self, MissingState> {
        let publisher = delivery.state_of_queue(|publisher: &Self, key| publisher.clone().key(key));
        publisher.cloned().ok_or_else(MissingState::of::<Self>)
    }

    fn require(requirements: &mut Requirements) {
        requirements.state::<Self>();
    }
}
