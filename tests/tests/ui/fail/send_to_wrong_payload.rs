use ploomby::Publisher;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct CreateUser { name: String }
#[derive(Deserialize, Serialize)]
struct DeleteUser { name: String }

#[ploomby::handler("create_user")]
async fn create_user(user: CreateUser) { drop(user.name); }

async fn send(publisher: Publisher, user: DeleteUser) {
    publisher.send_to("users", create_user, &user).await.unwrap();
}

fn main() { let _ = send; }
