#[ploomby::handler("create_user", retry)]
async fn create_user() {}

#[ploomby::handler("delete_user", timeout, concurrency = 4)]
async fn delete_user() {}

#[ploomby::handler(concurrency(4))]
async fn rename_user() {}

#[ploomby::handler(queue = , retry = 5)]
async fn restore_user() {}

#[ploomby::handler(queue =)]
async fn archive_user() {}

fn main() {}
