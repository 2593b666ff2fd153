//! A handler stays a function that anything can call.

use ploomby::{HandlerRegistry, extract::Key};

#[ploomby::handler("greet")]
async fn greet(name: &str, Key(key): Key) -> anyhow::Result<()> {
    anyhow::ensure!(!name.is_empty() && key == "greet", "nobody");
    Ok(())
}

#[ploomby::handler("count")]
async fn count(number: u32) {
    assert_eq!(number, 1);
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let key = Key("greet".to_owned());
    assert!(greet("Ada", key.clone()).await.is_ok());
    assert_eq!(greet("", key).await.unwrap_err().to_string(), "nobody");

    // also by hand, for another key
    let handlers = HandlerRegistry::linked().register("once more", count);
    assert!(handlers.check().is_ok() && handlers.contains("once more"));
}
