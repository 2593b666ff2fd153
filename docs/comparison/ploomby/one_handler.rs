use serde::Deserialize;

#[derive(Deserialize)]
struct CreateUser {
    name: String,
}

#[ploomby::handler("create_user")]
async fn create_user(user: CreateUser) {
    println!("welcome, {}", user.name);
}

#[tokio::main]
async fn main() -> Result<(), ploomby::Error> {
    ploomby::run("amqp://localhost", "users", "task_name").await
}
