#[ploomby::handler("create_user" "add_user")]
async fn create_user() {}

fn main() {}
