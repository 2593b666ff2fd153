use ploomby::extract::Valid;

#[derive(serde::Deserialize)]
struct User {
    name: String,
}

#[ploomby::handler("create_user")]
async fn create_user(Valid(user): Valid<User>) {
    println!("{}", user.name);
}

fn main() {}
