use axum::{Json, Router, routing::post};
use serde::Deserialize;

#[derive(Deserialize)]
struct User {
    name: String,
}

#[derive(Deserialize)]
struct Id {
    id: u64,
}

async fn create(Json(user): Json<User>) {
    println!("welcome, {}", user.name);
}

async fn rename(Json(user): Json<User>) {
    println!("now {}", user.name);
}

async fn delete(Json(user): Json<Id>) {
    println!("goodbye, {}", user.id);
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new()
        .route("/create_user", post(create))
        .route("/rename_user", post(rename))
        .route("/delete_user", post(delete));
    let listener = tokio::net::TcpListener::bind("0.0.0.0:3000").await?;
    axum::serve(listener, app).await
}
