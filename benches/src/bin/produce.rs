//! Publishes messages and says how long it took until the last was confirmed, and how many did not arrive.
//!
//! `produce MANNER URL QUEUE [messages=COUNT] [body=BYTES] [callers=COUNT]`: by `ploomby` or `amqprs`. With
//! callers each of them publishes one message after the other; without, all are handed over, of which 1,024 are
//! under way at once. Then it does nothing until it is killed. amqprs alone counts confirms, and does not know a queue that is missing.

use std::{sync::Arc, time::Instant};

use amqprs::{
    BasicProperties,
    channel::{BasicPublishArguments, ConfirmSelectArguments},
    connection::Connection,
};
use anyhow::bail;
use futures_util::future::try_join_all;
use ploomby::Publisher;
use ploomby_benches::{
    arguments::Arguments,
    client,
    confirms::Confirms,
    produce::{Production, WINDOW},
};
use tokio::sync::Semaphore;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::of_this_program();
    let manner = arguments.next("MANNER")?;
    let production = Production::read(&mut arguments)?;
    arguments.end()?;
    // on a worker, where a client's own tasks run: the main thread is slower to wake
    tokio::spawn(async move {
        match manner.as_str() {
            "ploomby" => by_ploomby(production).await,
            "amqprs" => by_amqprs(production).await,
            _ => bail!("{manner} is neither ploomby nor amqprs"),
        }
    })
    .await?
}

async fn by_ploomby(production: Production) -> anyhow::Result<()> {
    let publisher = Publisher::connect(&production.url).await?;
    let start = Instant::now();
    let failed = match production.callers {
        None => {
            let messages = (0..production.messages).map(|id| {
                publisher
                    .to(&production.queue)
                    .payload(&production.order(id))
            });
            match publisher.send_all(messages).await {
                Ok(()) => 0,
                Err(error) => error.failed().len(),
            }
        }
        Some(callers) => {
            let production = Arc::new(production.clone());
            let share = production.messages / callers;
            let each = (0..callers).map(|caller| {
                let (publisher, production) = (publisher.clone(), production.clone());
                tokio::spawn(async move {
                    for id in caller * share..(caller + 1) * share {
                        let order = production.order(id);
                        publisher
                            .to(&production.queue)
                            .payload(&order)
                            .send()
                            .await?;
                    }
                    anyhow::Ok(())
                })
            });
            for done in try_join_all(each).await? {
                done?;
            }
            0
        }
    };
    production.done(start, failed).await;
    Ok(())
}

async fn by_amqprs(production: Production) -> anyhow::Result<()> {
    let connection = Connection::open(&client::arguments(&production.url)?).await?;
    let channel = connection.open_channel(None).await?;
    let window = match production.callers {
        Some(callers) => usize::try_from(callers)?,
        None => WINDOW,
    };
    let room = Arc::new(Semaphore::new(window));
    channel
        .register_callback(Confirms::new(room.clone()))
        .await?;
    channel
        .confirm_select(ConfirmSelectArguments::new(false))
        .await?;
    let to = BasicPublishArguments::new("", &production.queue)
        .mandatory(true)
        .finish();
    let properties = BasicProperties::default()
        .with_content_type("application/json")
        .with_delivery_mode(2)
        .finish();
    let start = Instant::now();
    for id in 0..production.messages {
        room.acquire().await?.forget();
        let body = serde_json::to_vec(&production.order(id))?;
        channel
            .basic_publish(properties.clone(), body, to.clone())
            .await?;
    }
    let _all = room.acquire_many(u32::try_from(window)?).await?;
    production.done(start, 0).await;
    Ok(())
}
