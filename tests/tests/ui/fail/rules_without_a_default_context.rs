use garde::Validate;
use ploomby::extract::Batch;

struct Limits {
    cents: u64,
}

#[derive(serde::Deserialize, Validate)]
#[garde(context(Limits as limits))]
struct Charge {
    #[garde(range(max = limits.cents))]
    cents: u64,
}

#[ploomby::handler("charge")]
async fn charge(charge: Charge) {
    println!("{}", charge.cents);
}

#[ploomby::handler("refund")]
async fn refund(charge: &Charge) {
    println!("{}", charge.cents);
}

#[ploomby::handler("charge_all")]
async fn charge_all(charges: Batch<Charge>) {
    println!("{}", charges.len());
}

fn main() {}
