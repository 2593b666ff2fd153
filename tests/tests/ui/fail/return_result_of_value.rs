struct Receipt {
    number: u32,
}

#[ploomby::handler("charge")]
async fn charge(cents: u32) -> anyhow::Result<Receipt> {
    Ok(Receipt { number: cents })
}

fn main() {}
