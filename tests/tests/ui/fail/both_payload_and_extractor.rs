use std::convert::Infallible;

use ploomby::{Delivery, extract::FromDelivery};

#[derive(serde::Deserialize)]
struct User {
    name: String,
}

impl<'d> FromDelivery<'d> for User {
    type Rejection = Infallible;

    async fn from_delivery(_: &'d Delivery) -> Result<Self, Infallible> {
        Ok(Self {
            name: "Ada".to_owned(),
        })
    }
}

#[ploomby::handler("create_user")]
async fn create_user(user: User) {
    println!("{}", user.name);
}

fn main() {}
