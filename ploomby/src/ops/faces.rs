//! What the command line and the page have in common: how letters are told to people, and edited by them.

pub(crate) use self::{
    clean::clean,
    form::Form,
    pretty::readable,
    words::{ago, fit, keys, letters, payload, place, value},
};
#[cfg(feature = "cli")]
pub(crate) use self::{
    clean::escaped,
    form::FormError,
    pretty::{is_json, pretty},
    words::reply,
};

mod clean;
mod form;
mod pretty;
mod words;
