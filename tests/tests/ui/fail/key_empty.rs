#[ploomby::handler("")]
async fn create_user() {}

fn main() {}
