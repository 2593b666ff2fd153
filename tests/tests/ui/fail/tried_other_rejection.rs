use ploomby::extract::{Key, Rejection};

#[ploomby::handler("create_user")]
async fn create_user(key: Result<Key, Rejection>) {
    drop(key);
}

fn main() {}
