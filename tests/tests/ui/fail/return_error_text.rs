#[ploomby::handler("count")]
async fn count(name: String) -> Result<(), String> {
    match name.len() {
        0 => Err("no name".to_owned()),
        _ => Ok(()),
    }
}

fn main() {}
