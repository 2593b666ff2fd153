//! The `#[handler]` attribute of [ploomby](https://docs.rs/ploomby), which exports it.
//!
//! # Layout
//!
//! - `attr`: what stands in the parentheses;
//! - `valid`: what a function must be like to be a handler;
//! - `expand`: the code that registers and calls it.

use proc_macro::TokenStream;

mod attr;
mod expand;
mod valid;

/// Registers an async function as the handler of the messages with a key.
#[proc_macro_attribute]
pub fn handler(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::handler(attribute.into(), item.into()).into()
}
