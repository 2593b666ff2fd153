#[ploomby::handler("create_user")]
fn create_user(name: String) {
    drop(name);
}

fn main() {
    // the function is still there: one mistake, one message
    create_user("Ada".to_owned());
}
