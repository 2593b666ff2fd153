//! rust-rabbit, which is on lapin 3.

use ploomby_benches::order::Order;
use rust_rabbit::{Connection, Consumer};

use crate::Options;

pub(crate) async fn consume(options: Options) -> anyhow::Result<()> {
    let connection = Connection::new(&options.url).await?;
    let consumer = Consumer::builder(connection, options.queue)
        .with_prefetch(options.prefetch)
        .build();
    let handle = |order: Order| async move {
        order.process();
        Ok(())
    };
    Ok(consumer.consume(handle).await?)
}
