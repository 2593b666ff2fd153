use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};

#[derive(Clone)]
struct Prices {
    per_item: u64,
}

async fn order(
    State(prices): State<Prices>,
    headers: HeaderMap,
    Json(items): Json<u64>,
) -> Result<(), StatusCode> {
    let tenant = headers
        .get("tenant")
        .and_then(|tenant| tenant.to_str().ok())
        .ok_or(StatusCode::BAD_REQUEST)?;
    println!("{tenant} owes {}", items * prices.per_item);
    Ok(())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new()
        .route("/order", post(order))
        .with_state(Prices { per_item: 25 });
    let listener = tokio::net::TcpListener::bind("0.0.0.0:3000").await?;
    axum::serve(listener, app).await
}
