use serde::de::DeserializeOwned;

#[ploomby::handler("store")]
async fn store<T: DeserializeOwned>(value: T) {
    drop(value);
}

fn main() {}
