use ploomby::extract::Batch;

#[ploomby::handler(batch_size = "100")]
async fn text(_: Batch<u32>) {}

#[ploomby::handler(batch_size = 4_u16)]
async fn another_number(_: Batch<u32>) {}

#[ploomby::handler(batch_wait = 50)]
async fn number(_: Batch<u32>) {}

fn main() {}
