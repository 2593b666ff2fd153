use ruststream_lapin::prelude::*;
use serde::Deserialize;

#[derive(Deserialize, MessageInfo)]
struct User {
    name: String,
}

#[derive(Deserialize, MessageInfo)]
struct Id {
    id: u64,
}

#[derive(InMessages)]
#[in_messages(header = "task_name")]
enum Task {
    #[in_messages(value = "create_user")]
    Create(User),
    #[in_messages(value = "rename_user")]
    Rename(User),
    #[in_messages(value = "delete_user")]
    Delete(Id),
}

#[subscriber(RabbitQueue::new("users"))]
async fn on_task(task: &Task) {
    match task {
        Task::Create(user) => println!("welcome, {}", user.name),
        Task::Rename(user) => println!("now {}", user.name),
        Task::Delete(user) => println!("goodbye, {}", user.id),
    }
}

#[ruststream::app]
fn app() -> impl App {
    let broker = LapinBroker::new("amqp://localhost");
    RustStream::new(AppInfo::new("users", "0.1.0")).with_broker(broker, |b| {
        b.include(on_task);
    })
}
