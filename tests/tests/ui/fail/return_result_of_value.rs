use std::num::ParseIntError;

#[ploomby::handler("count")]
async fn count(number: String) -> Result<u32, ParseIntError> {
    number.parse()
}

fn main() {}
