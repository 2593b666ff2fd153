#[ploomby::handler("create_user", retrys = 3)]
async fn create_user() {}

#[ploomby::handler("delete_user", Timeout = "10s")]
async fn delete_user() {}

fn main() {
    drop((create_user(), delete_user()));
}
