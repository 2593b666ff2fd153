//! Orders over HTTP.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use ploomby::Publisher;
use ploomby_shop::{Bank, Shop};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{empty, test_app};

async fn ask(router: &Router, method: &str, path: &str, body: Value) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 10_000).await.unwrap();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn an_order_is_placed_and_what_became_of_it_is_seen() {
    let ((_folder, db), bank) = (empty().await, Bank::default());
    let app = test_app(&db, &bank);
    let url = app.url();
    let app = app.start().await;
    let publisher = Publisher::connect(&url).await.unwrap();
    let router = Shop::new(db, publisher).await.unwrap().router();

    // the price is asked for by a call, which a handler answers
    let wish = json!({"customer": "Ada", "article": "tea"});
    let (status, answer) = ask(&router, "PUT", "/orders/1", wish).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    assert!(answer.contains("450"), "{answer}");
    app.run().await;
    let (_, mails) = ask(&router, "GET", "/mails", Value::Null).await;
    assert!(mails.contains("Order 1 is paid"), "{mails}");
    let (_, counts) = ask(&router, "GET", "/counts", Value::Null).await;
    assert!(counts.contains("order_paid"), "{counts}");

    let wish = json!({"customer": "Ada", "article": "gold"});
    let (status, answer) = ask(&router, "PUT", "/orders/2", wish).await;
    assert_eq!(
        (status, &*answer),
        (StatusCode::UNPROCESSABLE_ENTITY, "we do not sell it")
    );
}
