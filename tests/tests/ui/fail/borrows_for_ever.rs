#[derive(serde::Deserialize)]
struct User {
    name: &'static str,
}

#[ploomby::handler("create_user")]
async fn create_user(user: User) {
    println!("{}", user.name);
}

fn main() {}
