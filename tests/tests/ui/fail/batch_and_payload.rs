use ploomby::extract::Batch;

#[ploomby::handler("reading")]
async fn store(readings: Batch<u32>, sensor: String) {
    drop((readings, sensor));
}

fn main() {}
