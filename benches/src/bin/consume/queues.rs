//! amqprs alone: many queues and their dead letters are declared, and consumed.

use std::{future::pending, sync::Arc};

use amqprs::{
    FieldTable, FieldValue,
    channel::{BasicConsumeArguments, BasicQosArguments, QueueDeclareArguments},
    connection::Connection,
};
use futures_util::future::try_join_all;
use ploomby_benches::client;

use crate::Options;

pub(crate) async fn consume(options: &Options) -> anyhow::Result<()> {
    let connection = Arc::new(Connection::open(&client::arguments(&options.url)?).await?);
    let each = options.names().map(|name| one(&connection, options, name));
    let _consumers = try_join_all(each).await?;
    options.started();
    pending().await
}

async fn one(
    connection: &Connection,
    options: &Options,
    name: String,
) -> anyhow::Result<impl Sized + use<>> {
    let channel = connection.open_channel(None).await?;
    for queue in [format!("{name}_dlq"), name.clone()] {
        let mut declare = QueueDeclareArguments::durable_client_named(&queue);
        if options.is_quorum {
            let mut arguments = FieldTable::new();
            arguments.insert(
                "x-queue-type".try_into()?,
                FieldValue::from("quorum".to_owned()),
            );
            declare.arguments(arguments);
        }
        channel.queue_declare(declare).await?;
    }
    channel
        .basic_qos(BasicQosArguments::new(0, options.prefetch, false))
        .await?;
    let consume = BasicConsumeArguments::new(&name, "");
    let (_, deliveries) = channel.basic_consume_rx(consume).await?;
    Ok((channel, deliveries))
}
