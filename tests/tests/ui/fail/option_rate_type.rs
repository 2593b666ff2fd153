#[ploomby::handler(rate = 100)]
async fn a_number() {}

#[ploomby::handler(rate = std::time::Duration::from_secs(1))]
async fn a_duration() {}

fn main() {}
