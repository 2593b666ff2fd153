//! Takes the money for an order, and tells who wants to know.

use std::time::Duration;

use ploomby::{Properties, Publisher, extract::State, handler};

use crate::{
    bank::{Bank, Refusal},
    db::Db,
    events::{Order, Reminder, tell},
    inbox::Inbox,
    mail::remind,
};

/// When a customer is asked how it was. A shop in earnest waits for days.
pub(crate) const REMIND_AFTER: Duration = Duration::from_secs(5);

/// Takes the money for an order.
#[handler("order_placed", queue = "billing", retry = 5, timeout = "10s")]
async fn charge(
    order: Order,
    inbox: Inbox,
    State(db): State<Db>,
    State(bank): State<Bank>,
    publisher: Publisher,
) -> anyhow::Result<()> {
    // the bank is no part of the transaction: it knows the order by its number, and charges it once
    bank.charge(order.id, order.cents)
        .await
        .map_err(Refusal::into_error)?;

    let mut work = db.begin().await?;
    if !inbox.note(&mut work).await? {
        return Ok(());
    }
    sqlx::query("INSERT INTO invoices (order_id, cents) VALUES (?, ?)")
        .bind(order.id)
        .bind(order.cents)
        .execute(&mut *work)
        .await?;
    // before the commit: a crash in between sends both again, with the same ids, and forgets neither
    tell(&publisher, "paid", &order).await?;
    let reminder = Reminder {
        order: order.id,
        customer: order.customer,
    };
    publisher
        .to("mail")
        .handler(remind, &reminder)
        .properties(Properties::new().with_message_id(&format!("order-{}-reminder", order.id))?)
        .delay(REMIND_AFTER)
        .send()
        .await?;
    work.commit().await?;
    Ok(())
}
