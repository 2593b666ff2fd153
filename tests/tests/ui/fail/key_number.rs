#[ploomby::handler(42)]
async fn create_user() {}

#[ploomby::handler(b"create_user")]
async fn delete_user() {}

#[ploomby::handler('c')]
async fn rename_user() {}

#[ploomby::handler(-1)]
async fn restore_user() {}

fn main() {}
