#[ploomby::handler(pattern)]
async fn without_a_value() {}

fn main() {}
