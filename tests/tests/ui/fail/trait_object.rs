#[ploomby::handler("create_user")]
async fn create_user(name: &dyn std::fmt::Debug) {
    println!("{name:?}");
}

fn main() {}
