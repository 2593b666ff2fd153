use ploomby::extract::Batch;

#[ploomby::handler(batch_wait = "50")]
async fn no_unit(_: Batch<u32>) {}

#[ploomby::handler("key", batch_size, batch_wait = "5ms")]
async fn no_value(_: Batch<u32>) {}

fn main() {}
