#[ploomby::handler("create_user")]
async fn create_user(name: &mut String) {
    name.clear();
}

fn main() {}
