//! The shop, from the order to the mail. `PLOOMBY_TESTING_URL` runs it on a RabbitMQ.

mod faults;
mod orders;
mod web;

use ploomby::testing::{TestApp, TestRunning};
use ploomby_shop::{Bank, Db, Order};
use tempfile::TempDir;

/// The shop of `main`, with a database and a bank of the test's own.
async fn open(db: &Db, bank: &Bank) -> TestRunning {
    test_app(db, bank).start().await
}

fn test_app(db: &Db, bank: &Bank) -> TestApp {
    // the URL is that of the test, whatever stands here
    TestApp::of(ploomby_shop::app("memory://shop"))
        .state(db.clone())
        .state(bank.clone())
}

fn order(id: u32, cents: u32) -> Order {
    Order {
        id,
        customer: "Ada".to_owned(),
        article: "tea".to_owned(),
        cents,
    }
}

/// A database in a folder that is removed with it.
async fn empty() -> (TempDir, Db) {
    let folder = TempDir::new().expect("there is room for a folder");
    let db = Db::open(folder.path().join("shop.db")).await;
    (folder, db.expect("the file is new"))
}

/// How many invoices and mails there are.
async fn written(db: &Db) -> (u32, u32) {
    sqlx::query_as("SELECT (SELECT count(*) FROM invoices), (SELECT count(*) FROM mails)")
        .fetch_one(db.pool())
        .await
        .expect("both tables are there")
}
