use ploomby::{App, Queue, RpcClient};

#[ploomby::handler("add")]
async fn add((a, b): (u32, u32)) -> u32 {
    a + b
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = "amqp://localhost";
    let running = App::new(url).queue(Queue::new("sums")).start().await?;
    let client = RpcClient::connect(url).await?;
    println!("{}", client.call_handler("sums", add, &(2, 3)).await?);
    Ok(running.shut_down().await?)
}
