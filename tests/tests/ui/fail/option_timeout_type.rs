const TIMEOUT: &str = "10s";

#[ploomby::handler(timeout = 5)]
async fn number() {}

#[ploomby::handler(timeout = TIMEOUT)]
async fn constant() {}

#[ploomby::handler(timeout = Some(std::time::Duration::from_secs(10)))]
async fn option() {}

fn main() {}
