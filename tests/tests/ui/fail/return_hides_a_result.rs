#[ploomby::handler]
async fn in_an_option() -> Option<Result<u32, String>> {
    Some(Err("no".to_owned()))
}

#[ploomby::handler]
async fn in_a_box() -> Result<Box<Result<u32, String>>, std::fmt::Error> {
    Ok(Box::new(Err("no".to_owned())))
}

#[ploomby::handler]
async fn in_a_tuple() -> (u32, Result<u32, String>) {
    (1, Err("no".to_owned()))
}

#[ploomby::handler]
async fn in_two_places() -> (Result<u32, String>, Vec<Result<u32, String>>) {
    (Err("no".to_owned()), Vec::new())
}

fn main() {}
