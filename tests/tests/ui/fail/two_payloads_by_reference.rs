#[derive(serde::Deserialize)]
struct User {
    name: String,
}

#[ploomby::handler("create_user")]
async fn create_user(user: &User, street: &str) {
    drop((&user.name, street));
}

fn main() {}
