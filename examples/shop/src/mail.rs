//! Writes to the customers. The queue says that each gets their mails in order.

use ploomby::{extract::State, handler};
use sqlx::{Sqlite, Transaction};

use crate::{
    db::Db,
    events::{Order, Reminder},
    inbox::Inbox,
};

/// Thanks for an order.
#[handler("order_paid", queue = "mail", retry = 5)]
async fn thank(order: Order, inbox: Inbox, State(db): State<Db>) -> anyhow::Result<()> {
    let mut work = db.begin().await?;
    if inbox.note(&mut work).await? {
        let text = format!(
            "Order {} is paid: {} cents for {}.",
            order.id, order.cents, order.article
        );
        write(&mut work, &order.customer, &text).await?;
    }
    work.commit().await?;
    Ok(())
}

/// Asks how it was.
#[handler("remind", queue = "mail", retry = 5)]
pub(crate) async fn remind(
    reminder: Reminder,
    inbox: Inbox,
    State(db): State<Db>,
) -> anyhow::Result<()> {
    let mut work = db.begin().await?;
    if inbox.note(&mut work).await? {
        let text = format!("How do you like what you got by order {}?", reminder.order);
        write(&mut work, &reminder.customer, &text).await?;
    }
    work.commit().await?;
    Ok(())
}

/// Puts a mail where the mailer finds it, so that it is part of the transaction.
async fn write(work: &mut Transaction<'_, Sqlite>, customer: &str, text: &str) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO mails (customer, text) VALUES (?, ?)")
        .bind(customer)
        .bind(text)
        .execute(&mut **work)
        .await?;
    Ok(())
}
