#[ploomby::handler("create_user", retry = 3, retry = 5)]
async fn create_user() {}

#[ploomby::handler(timeout = "10s", "delete_user", timeout = "20s", queue = "users")]
async fn delete_user() {}

fn main() {}
