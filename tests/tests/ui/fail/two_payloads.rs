use ploomby::extract::Redelivered;

#[derive(serde::Deserialize)]
struct User {
    name: String,
}

#[derive(serde::Deserialize)]
struct Address {
    street: String,
}

#[ploomby::handler("create_user")]
async fn create_user(user: User, redelivered: Redelivered, address: Address) {
    drop((user.name, redelivered, address.street));
}

fn main() {}
