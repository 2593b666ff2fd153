use std::time::Duration;

#[ploomby::handler(layer = Duration::from_secs(10))]
async fn a_time() {}

#[ploomby::handler(layer = tower::layer::layer_fn(|_: ploomby::HandlerService| "service"))]
async fn a_layer_of_no_service() {}

fn main() {}
