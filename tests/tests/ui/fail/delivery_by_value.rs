#[ploomby::handler("create_user")]
async fn create_user(delivery: ploomby::Delivery) {
    drop(delivery);
}

fn main() {}
