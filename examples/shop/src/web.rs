//! What customers ask for, over HTTP.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, put},
};
use ploomby::{CallError, Publisher, RpcClient};
use serde::{Deserialize, Serialize};

use crate::{
    db::Db,
    events::{Order, tell},
    stock::price,
};

/// What the routes need.
#[derive(Clone, Debug)]
pub struct Shop {
    db: Db,
    publisher: Publisher,
    client: RpcClient,
}

#[derive(Deserialize)]
struct Wish {
    customer: String,
    article: String,
}

#[derive(Serialize)]
struct Mail {
    customer: String,
    text: String,
}

#[derive(Serialize)]
struct Count {
    what: String,
    orders: u32,
    cents: u32,
}

/// An error that a customer sees.
enum Refused {
    Unknown(String),
    Failed(anyhow::Error),
}

impl Shop {
    /// Calls over the connection of the publisher.
    pub async fn new(db: Db, publisher: Publisher) -> anyhow::Result<Self> {
        let client = RpcClient::beside(&publisher).await?;
        Ok(Self {
            db,
            publisher,
            client,
        })
    }

    /// The routes, for `axum::serve`.
    pub fn router(self) -> Router {
        Router::new()
            .route("/orders/{id}", put(place))
            .route("/mails", get(mails))
            .route("/counts", get(counts))
            .with_state(self)
    }
}

/// Places an order. Who gets no answer does it again: the order has its number from the customer, and an event that is told
/// twice is handled once.
async fn place(
    State(shop): State<Shop>,
    Path(id): Path<u32>,
    Json(wish): Json<Wish>,
) -> Result<(StatusCode, Json<Order>), Refused> {
    let cents = shop
        .client
        .call_handler("stock", price, &wish.article)
        .await?;
    let order = Order {
        id,
        customer: wish.customer,
        article: wish.article,
        cents,
    };
    sqlx::query("INSERT OR IGNORE INTO orders (id, customer, article, cents) VALUES (?, ?, ?, ?)")
        .bind(order.id)
        .bind(&order.customer)
        .bind(&order.article)
        .bind(order.cents)
        .execute(shop.db.pool())
        .await?;
    tell(&shop.publisher, "placed", &order).await?;
    Ok((StatusCode::ACCEPTED, Json(order)))
}

async fn mails(State(shop): State<Shop>) -> Result<Json<Vec<Mail>>, Refused> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT customer, text FROM mails ORDER BY id")
            .fetch_all(shop.db.pool())
            .await?;
    let mails = rows
        .into_iter()
        .map(|(customer, text)| Mail { customer, text });
    Ok(Json(mails.collect()))
}

async fn counts(State(shop): State<Shop>) -> Result<Json<Vec<Count>>, Refused> {
    let rows: Vec<(String, u32, u32)> =
        sqlx::query_as("SELECT what, orders, cents FROM counts ORDER BY what")
            .fetch_all(shop.db.pool())
            .await?;
    let counts = rows.into_iter().map(|(what, orders, cents)| Count {
        what,
        orders,
        cents,
    });
    Ok(Json(counts.collect()))
}

impl From<CallError> for Refused {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Remote(reply) => Self::Unknown(reply.message().to_owned()),
            error => Self::Failed(error.into()),
        }
    }
}

impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Unknown(why) => (StatusCode::UNPROCESSABLE_ENTITY, why).into_response(),
            Self::Failed(error) => {
                eprintln!("not answered: {error:#}");
                (StatusCode::SERVICE_UNAVAILABLE, "try again").into_response()
            }
        }
    }
}
