use serde::de::DeserializeOwned;

#[ploomby::handler("store")]
async fn store(value: impl DeserializeOwned) {
    drop(value);
}

#[ploomby::handler("show")]
async fn show(value: &impl ToString) {
    drop(value.to_string());
}

fn main() {}
