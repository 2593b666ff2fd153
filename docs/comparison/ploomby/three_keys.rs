use serde::Deserialize;

#[derive(Deserialize)]
struct User {
    name: String,
}

#[derive(Deserialize)]
struct Id {
    id: u64,
}

#[ploomby::handler("create_user")]
async fn create(user: User) {
    println!("welcome, {}", user.name);
}

#[ploomby::handler("rename_user")]
async fn rename(user: User) {
    println!("now {}", user.name);
}

#[ploomby::handler("delete_user")]
async fn delete(user: Id) {
    println!("goodbye, {}", user.id);
}

#[tokio::main]
async fn main() -> Result<(), ploomby::Error> {
    ploomby::run("amqp://localhost", "users", "task_name").await
}
