//! Counts what happens to orders: many at once, in one transaction.

use ploomby::{
    extract::{Batch, State},
    handler,
};

use crate::{db::Db, events::Order, inbox::Inbox};

const COUNT: &str = "
    INSERT INTO counts (what, orders, cents) VALUES (?1, 1, ?2)
    ON CONFLICT (what) DO UPDATE SET orders = orders + 1, cents = cents + ?2";

/// Counts orders by what happened to them.
#[handler(
    "order_placed",
    "order_paid",
    queue = "analytics",
    batch_size = 100,
    batch_wait = "200ms",
    retry = 5
)]
async fn count(orders: Batch<Order>, State(db): State<Db>) -> anyhow::Result<()> {
    let mut work = db.begin().await?;
    for item in orders {
        // what belongs to one message stands with it, and not among the arguments
        let Some(inbox) = Inbox::of(item.delivery()) else {
            item.fail(anyhow::anyhow!("the message has no id"));
            continue;
        };
        if inbox.note(&mut work).await? {
            let what = item.delivery().key().unwrap_or_default().into_owned();
            let cents = item.payload().cents;
            sqlx::query(COUNT)
                .bind(what)
                .bind(cents)
                .execute(&mut *work)
                .await?;
        }
    }
    work.commit().await?;
    Ok(())
}
