//! Which messages were handled. A message is noted in the transaction that does its work: both are there, or neither.

use ploomby::{
    Delivery,
    extract::{FromDelivery, Rejection},
};
use sqlx::{Sqlite, Transaction};

/// The queue and the id of a message: an argument of handlers.
pub(crate) struct Inbox {
    queue: String,
    message_id: String,
}

impl Inbox {
    pub(crate) fn of(delivery: &Delivery) -> Option<Self> {
        Some(Self {
            queue: delivery.queue().to_owned(),
            message_id: delivery.properties().message_id()?.to_owned(),
        })
    }

    /// Notes the message. Whether it is new: the work of one that is not was done by an earlier transaction.
    pub(crate) async fn note(&self, work: &mut Transaction<'_, Sqlite>) -> sqlx::Result<bool> {
        let noted = sqlx::query("INSERT OR IGNORE INTO inbox (queue, message_id) VALUES (?, ?)")
            .bind(&self.queue)
            .bind(&self.message_id)
            .execute(&mut **work)
            .await?;
        Ok(noted.rows_affected() == 1)
    }
}

impl<'d> FromDelivery<'d> for Inbox {
    type Rejection = Rejection;

    async fn from_delivery(delivery: &'d Delivery) -> Result<Self, Rejection> {
        Self::of(delivery).ok_or_else(|| Rejection::dead_letter("the message has no id"))
    }
}
