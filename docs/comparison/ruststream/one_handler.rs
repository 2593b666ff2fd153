use ruststream_lapin::prelude::*;
use serde::Deserialize;

#[derive(Deserialize, MessageInfo)]
struct CreateUser {
    name: String,
}

#[subscriber(RabbitQueue::new("users"))]
async fn create_user(user: &CreateUser) {
    println!("welcome, {}", user.name);
}

#[ruststream::app]
fn app() -> impl App {
    let broker = LapinBroker::new("amqp://localhost");
    RustStream::new(AppInfo::new("users", "0.1.0")).with_broker(broker, |b| {
        b.include(create_user);
    })
}
