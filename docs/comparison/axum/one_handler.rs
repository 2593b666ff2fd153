use axum::{Json, Router, routing::post};
use serde::Deserialize;

#[derive(Deserialize)]
struct CreateUser {
    name: String,
}

async fn create_user(Json(user): Json<CreateUser>) {
    println!("welcome, {}", user.name);
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/create_user", post(create_user));
    let listener = tokio::net::TcpListener::bind("0.0.0.0:3000").await?;
    axum::serve(listener, app).await
}
