#[ploomby::handler("create_user")]
async fn create_user(name: &'static str) {
    println!("{name}");
}

#[ploomby::handler("create_users")]
async fn create_users(names: Vec<&'static str>) {
    println!("{names:?}");
}

fn main() {}
