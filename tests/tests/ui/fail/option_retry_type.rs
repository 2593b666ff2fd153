#[ploomby::handler(retry = "5")]
async fn text() {}

#[ploomby::handler(retry = std::time::Duration::from_secs(10))]
async fn a_delay() {}

fn main() {}
