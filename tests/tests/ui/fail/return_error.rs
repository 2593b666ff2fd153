struct NotAnError;

#[ploomby::handler("count")]
async fn count(name: String) -> Result<(), NotAnError> {
    match name.len() {
        0 => Err(NotAnError),
        _ => Ok(()),
    }
}

fn main() {}
