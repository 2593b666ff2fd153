#[derive(serde::Deserialize)]
struct User {
    name: String,
}

#[derive(serde::Deserialize)]
struct Address {
    street: String,
}

#[ploomby::handler("create_user")]
async fn create_user(user: User, address: Option<Address>) {
    drop((user.name, address.map(|address| address.street)));
}

fn main() {}
