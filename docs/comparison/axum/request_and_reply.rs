use axum::{Json, Router, routing::post};

async fn add(Json((a, b)): Json<(u32, u32)>) -> Json<u32> {
    Json(a + b)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/add", post(add));
    let listener = tokio::net::TcpListener::bind("0.0.0.0:3000").await?;
    axum::serve(listener, app).await
}
