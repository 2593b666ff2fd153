use ploomby::extract::Batch;

struct Reading;

#[ploomby::handler("reading")]
async fn store(readings: Batch<Reading>) {
    drop(readings);
}

fn main() {}
