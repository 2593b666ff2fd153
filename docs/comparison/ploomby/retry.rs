#[ploomby::handler("charge", retry = 5)]
async fn charge(cents: u64) -> anyhow::Result<()> {
    anyhow::ensure!(cents > 0, "nothing to charge");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), ploomby::Error> {
    ploomby::run("amqp://localhost", "payments", "task_name").await
}
