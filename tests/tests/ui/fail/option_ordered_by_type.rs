#[ploomby::handler(ordered_by = "customer")]
async fn text() {}

#[ploomby::handler(ordered_by = ploomby::KeySource::header("customer"))]
async fn a_key_source() {}

fn main() {}
