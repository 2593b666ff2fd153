#[ploomby::handler("create_user")]
struct CreateUser {
    name: String,
}

fn main() {
    let _ = CreateUser {
        name: "Ada".to_owned(),
    };
}
