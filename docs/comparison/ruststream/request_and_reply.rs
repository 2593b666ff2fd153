use std::{error::Error, time::Duration};

use ruststream::OutgoingMessage;
use ruststream::codec::{Codec, JsonCodec};
use ruststream_lapin::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize, Outgoing)]
#[outgoing(name = "ask")]
struct Ask {
    terms: (u32, u32),
}

#[derive(Deserialize, Serialize, Outgoing)]
struct Sum {
    sum: u32,
}

#[subscriber(RabbitQueue::new("sums"), reply("sums.unrouted"))]
async fn add(ask: &Ask) -> Sum {
    Sum {
        sum: ask.terms.0 + ask.terms.1,
    }
}

async fn sum_of(sums: &impl RequestReply, ask: &Ask) -> Result<u32, Box<dyn Error + Send + Sync>> {
    let body = JsonCodec.encode(ask)?;
    let request = OutgoingMessage::new("sums", body.as_ref());
    let reply = sums.request(request, Duration::from_secs(30)).await?;
    let reply: Sum = JsonCodec.decode(reply.payload())?;
    Ok(reply.sum)
}

#[subscriber(RabbitQueue::new("ask"))]
async fn ask_sum(ask: &Ask, Out(sums): Out<impl RequestReply>) -> HandlerOutcome {
    match sum_of(sums, ask).await {
        Ok(sum) => println!("{sum}"),
        Err(_) => return HandlerOutcome::retry(),
    }
    HandlerOutcome::ack()
}

#[ruststream::app]
fn app() -> impl App {
    let broker = LapinBroker::new("amqp://localhost");
    RustStream::new(AppInfo::new("sums", "0.1.0")).with_broker(broker, |b| {
        b.include(ask_sum).out(DefaultSlot, Request::default()).build();
        b.include(add)
            .out_reply(Publish::default())
            .transform(DirectReplyTo);
    })
}
