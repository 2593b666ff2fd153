//! A shop. Orders come in over HTTP, and handlers behind a topic exchange charge them, write to the customers, and count.
//!
//! - `arguments`: the command line;
//! - `web`: what customers ask for;
//! - `stock`: what articles cost, which `web` asks for by a call;
//! - `billing`: takes the money, by the `bank`;
//! - `mail`: writes to the customers, in the order of each;
//! - `analytics`: counts, many messages at once;
//! - `topology`: the exchange and the queues;
//! - `events`: what is sent through the exchange;
//! - `inbox`: which messages were handled, in the transaction of their work;
//! - `db`: the database.

use std::time::Duration;

use ploomby::App;

pub use self::{
    arguments::{Arguments, Serve},
    bank::Bank,
    db::Db,
    events::{Order, Reminder},
    web::Shop,
};

mod analytics;
mod arguments;
mod bank;
mod billing;
mod db;
mod events;
mod inbox;
mod mail;
mod stock;
mod topology;
mod web;

/// All queues of the shop. The handlers take a [`Db`] and a [`Bank`] as state, which `main` and the tests choose.
pub fn app(url: &str) -> App {
    let app = App::new(url)
        .named("shop", env!("CARGO_PKG_VERSION"))
        .wait_for_broker(Duration::from_secs(30));
    topology::queues().into_iter().fold(app, App::queue)
}
