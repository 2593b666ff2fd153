#[ploomby::handler(rate = 100)]
async fn a_number() {}

#[ploomby::handler(rate = 100_u16)]
async fn a_small_number() {}

fn main() {}
