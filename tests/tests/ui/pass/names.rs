//! What is in the user's scope does not confuse the generated code.

#![allow(dead_code, non_snake_case, unused_macros)]

#[path = "../deliver.rs"]
mod deliver;

mod hostile {
    use serde::Deserialize;

    pub struct State;
    pub struct Result;
    pub struct Option;
    pub struct Vec;
    pub struct Future;
    pub struct Send;
    pub struct Pin;
    pub struct Delivery;
    pub struct Key;
    pub struct Outcome;
    pub struct Ok;
    pub struct Err;
    pub struct Some;
    pub struct None;
    pub struct From;
    pub mod std {}
    pub mod core {}
    pub mod ploomby {}
    pub mod inventory {}

    #[derive(Deserialize)]
    pub struct Box {
        name: String,
    }

    macro_rules! concat {
        () => {};
    }
    macro_rules! file {
        () => {};
    }
    macro_rules! line {
        () => {};
    }
    macro_rules! module_path {
        () => {};
    }

    #[::ploomby::handler("hostile")]
    async fn handler(
        value: Box,
        name: &::ploomby::Delivery,
    ) -> ::core::result::Result<(), ::anyhow::Error> {
        ::core::assert_eq!((&*value.name, name.queue()), ("Ada", "queue"));
        ::core::result::Result::Ok(())
    }

    #[::ploomby::handler]
    async fn Free(value: &Box) {
        ::core::assert_eq!(value.name, "Ada");
    }
}

/// Methods that are found on every type.
mod blanket {
    pub trait Blanket {
        fn kind(&self) {}
        fn lend(&self) {}
        fn await_(&self) {}
        fn map_err(&self) {}
    }

    impl<T: ?Sized> Blanket for T {}

    #[ploomby::handler("blanket")]
    async fn handler(name: &str) -> anyhow::Result<()> {
        assert_eq!(name, "Ada");
        Ok(())
    }
}

/// Items that a pattern with their names would mean, such as the columns that diesel's `dsl::*` brings.
mod constants {
    #![allow(non_camel_case_types, non_upper_case_globals)]

    pub struct about;
    pub struct check;
    pub struct delivery;
    pub struct extract;
    pub struct fill;
    pub struct into_answer;
    pub struct into_failure;
    pub struct kind;
    pub struct make;
    pub struct require;
    pub const returned: u8 = 0;
    pub const room: u8 = 0;
    pub static rules: u8 = 0;
    pub static sorted: u8 = 0;
    pub static argument0: u8 = 0;

    #[ploomby::handler("constants", concurrency = 2)]
    async fn handler(name: &str) -> anyhow::Result<()> {
        // `assert_eq` has a variable `kind`, and takes it for what stands above
        assert!(name == "Ada");
        Ok(())
    }
}

fn main() {
    use deliver::{Settled::Acked, deliver};

    assert_eq!(deliver("hostile", r#"{"name": "Ada"}"#), Acked);
    assert_eq!(deliver("Free", r#"{"name": "Ada"}"#), Acked);
    assert_eq!(deliver("blanket", r#""Ada""#), Acked);
    assert_eq!(deliver("constants", r#""Ada""#), Acked);
}
