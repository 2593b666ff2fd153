//! lapin alone: publishes, and waits for the confirms.

use std::{sync::Arc, time::Instant};

use futures_util::{StreamExt, future::try_join_all, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, PublisherConfirm,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use ploomby_benches::produce::{Production, WINDOW};

pub(crate) async fn produce(production: Production) -> anyhow::Result<()> {
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&production.url, properties).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let start = Instant::now();
    let failed = match production.callers {
        None => at_once(&channel, &production).await?,
        Some(callers) => {
            let production = Arc::new(production.clone());
            let share = production.messages / callers;
            let each = (0..callers).map(|caller| {
                let (channel, production) = (channel.clone(), production.clone());
                tokio::spawn(async move {
                    let mut failed = 0;
                    for id in caller * share..(caller + 1) * share {
                        failed += failure(publish(&channel, &production, id).await?.await?);
                    }
                    anyhow::Ok(failed)
                })
            });
            let each: Result<Vec<usize>, _> = try_join_all(each).await?.into_iter().collect();
            each?.into_iter().sum()
        }
    };
    production.done(start, failed).await;
    Ok(())
}

async fn at_once(channel: &Channel, production: &Production) -> anyhow::Result<usize> {
    let mut failed = 0;
    let mut under_way = FuturesUnordered::new();
    for id in 0..production.messages {
        if under_way.len() == WINDOW
            && let Some(confirmed) = under_way.next().await
        {
            failed += failure(confirmed?);
        }
        under_way.push(publish(channel, production, id).await?);
    }
    while let Some(confirmed) = under_way.next().await {
        failed += failure(confirmed?);
    }
    Ok(failed)
}

async fn publish(
    channel: &Channel,
    production: &Production,
    id: u64,
) -> anyhow::Result<PublisherConfirm> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(2);
    let body = serde_json::to_vec(&production.order(id))?;
    let queue = production.queue.as_str().into();
    Ok(channel
        .basic_publish("".into(), queue, options, &body, properties)
        .await?)
}

/// One for a message that did not arrive: the broker gave it back.
fn failure(confirmation: Confirmation) -> usize {
    match confirmation {
        Confirmation::Ack(None) => 0,
        _ => 1,
    }
}
