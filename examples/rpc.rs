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

/// A value is the reply where the message asks for one. So is an `ErrorReply`, which tells who asked what
/// to do better: such a message is answered, and no dead letter.
#[handler("offer")]
async fn offer(request: Request, State(prices): State<Prices>) -> Result<u32, ErrorReply> {
    let price = prices.get(&*request.item).ok_or_else(|| {
        ErrorReply::new("unknown-item", "we do not sell it")
            .field("item", format!("`{}` is not on the list", request.item))
    })?;
    Ok(price * request.count)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("PLOOMBY_URL").unwrap_or_else(|_| "memory://rpc".to_owned());
    let prices = Prices::from([("tea", 450), ("milk", 120)]);
    let app = App::new(&url).state(prices).queue(Queue::new("offers"));
    let running = app.start().await?;
    let client = RpcClient::connect(&url).await?;

    for (item, count) in [("tea", 2), ("gold", 1)] {
        let item = item.to_owned();
        let request = Request { item, count };
        // the function names the handler; `call` does so by its key
        match client.call_handler("offers", offer, &request).await {
            Ok(cents) => println!("{count} {}: {cents} cents", request.item),
            Err(CallError::Remote(error)) => println!("{error}"),
            Err(error) => return Err(error.into()),
        }
    }

    // nobody consumes this queue: that shows at once, and not after a timeout
    if let Err(error) = client.call::<_, u32>("nobody", "offer", &()).await {
        println!("{error}");
    }
    client.close().await;
    running.shut_down().await?;
    Ok(())
}
