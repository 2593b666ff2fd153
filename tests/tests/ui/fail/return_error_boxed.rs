use std::error::Error;

#[ploomby::handler("count")]
async fn count(number: String) -> Result<(), Box<dyn Error>> {
    number.parse::<u32>()?;
    Ok(())
}

fn main() {}
