use ploomby::{Delivery, extract::FromDelivery};

struct Tenant;

struct NotAnError;

impl<'d> FromDelivery<'d> for Tenant {
    type Rejection = NotAnError;

    async fn from_delivery(_: &'d Delivery) -> Result<Self, NotAnError> {
        Err(NotAnError)
    }
}

fn main() {}
