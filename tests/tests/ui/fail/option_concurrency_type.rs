#[ploomby::handler(concurrency = "4")]
async fn text() {}

#[ploomby::handler(concurrency = 4_u16)]
async fn another_number() {}

fn main() {}
