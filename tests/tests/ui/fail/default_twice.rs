#[ploomby::handler(default, "create_user", default)]
async fn unknown() {}

fn main() {}
