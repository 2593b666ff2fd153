struct Receipt {
    number: u32,
}

#[ploomby::handler("charge")]
async fn charge(cents: u32) -> Receipt {
    Receipt { number: cents }
}

fn main() {}
