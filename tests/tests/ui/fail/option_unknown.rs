#[ploomby::handler("create_user", prefetch = 3)]
async fn create_user() {}

#[ploomby::handler(retries(3))]
async fn delete_user() {}

#[ploomby::handler(key = "rename_user")]
async fn rename_user() {}

#[ploomby::handler(create_group)]
async fn create_group() {}

fn main() {}
