//! A RabbitMQ as the tests have it, for other programs: says its URL, and keeps it until standard input ends.

use std::io::{self, Write};

use ploomby_tests::rabbit;

#[tokio::main]
async fn main() -> io::Result<()> {
    println!("{}", rabbit().await.url());
    io::stdout().flush()?;
    tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await??;
    Ok(())
}
