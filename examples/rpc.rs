//! Calls: a handler returns a value, which goes back to who asked, and an error arrives as an error.

use std::collections::HashMap;

use ploomby::{App, CallError, ErrorReply, Queue, RpcClient, extract::State, handler};
use serde::{Deserialize, Serialize};

/// Cents, by what they buy.
type Prices = HashMap<&'static str, u32>;

#[derive(Deserialize, Serialize)]
struct Request {
    item: String,
    count: u32,
}

#[derive(Debug, Deserialize, Serialize)]
struct Offer {
    cents: u32,
}

/// A value is the reply where the message asks for one. So is an `ErrorReply`, which tells who asked what
/// to do better: such a message is answered, and no dead letter.
#[handler("offer")]
async fn offer(request: Request, State(prices): State<Prices>) -> Result<Offer, ErrorReply> {
    let Some(price) = prices.get(&*request.item) else {
        let error = ErrorReply::new("unknown-item", "we do not sell it");
        return Err(error.field("item", format!("`{}` is not on the list", request.item)));
    };
    let cents = price * request.count;
    Ok(Offer { cents })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://rpc".to_owned());
    let app = App::new(&url)
        .state(Prices::from([("tea", 450), ("milk", 120)]))
        .queue(Queue::new("offers"))
        .start()
        .await?;
    let client = RpcClient::connect(&url).await?;

    for (item, count) in [("tea", 2), ("gold", 1)] {
        let item = item.to_owned();
        let request = Request { item, count };
        match client.call::<_, Offer>("offers", "offer", &request).await {
            Ok(offer) => println!("{count} {}: {} cents", request.item, offer.cents),
            Err(CallError::Remote(error)) => {
                println!(
                    "{count} {}: {} ({})",
                    request.item,
                    error.message(),
                    error.code()
                );
                for fault in error.fields() {
                    println!("  {}: {}", fault.field(), fault.message());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }

    // what the handler cannot read is told to who asked, too, with the field that is wrong
    let wrong = serde_json::json!({"item": "tea", "count": "two"});
    let answer = client.call::<_, Offer>("offers", "offer", &wrong).await;
    if let Err(error) = answer {
        println!("{error}");
    }
    // nobody consumes this queue: that shows at once, and not after a timeout
    let answer = client.call::<_, Offer>("orders", "offer", &wrong).await;
    if let Err(error) = answer {
        println!("{error}");
    }

    client.close().await;
    app.shut_down().await?;
    Ok(())
}
