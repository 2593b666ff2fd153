const EACH: &str = "order.*";

#[ploomby::handler("order.*.created")]
async fn literal() {}

#[ploomby::handler(EACH)]
async fn constant() {}

fn main() {}
