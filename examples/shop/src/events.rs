//! What is sent through the exchange.

use ploomby::{Properties, Publisher};
use serde::{Deserialize, Serialize};

use crate::topology::events;

/// An order, as it was placed or paid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The number that the customer gave it.
    pub id: u32,
    /// Who placed it.
    pub customer: String,
    /// What it is about.
    pub article: String,
    /// What that costs.
    pub cents: u32,
}

/// Asks a customer how it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reminder {
    /// The number of the order.
    pub order: u32,
    /// Who placed it.
    pub customer: String,
}

/// Tells all who want to know that an order was `placed` or `paid`. Told twice, it has the same message id, by which each
/// inbox knows it.
pub(crate) async fn tell(publisher: &Publisher, what: &str, order: &Order) -> anyhow::Result<()> {
    let id = format!("order-{}-{what}", order.id);
    publisher
        .through(events(), &format!("order.{what}"))
        .key(&format!("order_{what}"))
        .payload(order)
        .properties(Properties::new().with_message_id(&id)?)
        .send()
        .await?;
    Ok(())
}
