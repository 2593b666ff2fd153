//! The program: `cargo run -p ploomby-shop`. The README beside says what to do with it.

use std::{env, io, path::Path, process::ExitCode};

use clap::Parser;
use ploomby::{
    App,
    admin::{Access, Role},
};
use ploomby_shop::{Arguments, Bank, Db, Serve, Shop};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    let Arguments {
        amqp,
        database,
        bank_busy,
        serve,
        command,
    } = Arguments::parse();

    let mut app = ploomby_shop::app(&amqp).state(Bank::busy(bank_busy));
    if env::var_os("SHOP_ADMIN_TOKEN").is_some() {
        app = app.admin_access(Access::token_env("SHOP_ADMIN_TOKEN", Role::Admin));
    }
    let Some(command) = command else {
        let ended = run(app, &database, serve).await;
        return ended.map_or_else(
            |error| {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        );
    };
    // the database is opened where handlers run, and by nothing that only looks
    command.run(app.state_with(|| Db::open(database))).await
}

/// HTTP and handlers in one process, until it is told to stop.
async fn run(app: App, database: &Path, serve: Serve) -> anyhow::Result<()> {
    let db = Db::open(database).await?;
    let mut app = app.state(db.clone()).admin(serve.admin);
    if !serve.only.is_empty() {
        app = app.only(serve.only);
    }
    let running = app.start().await?;
    let shop = Shop::new(db, running.publisher().await?).await?;
    let listener = TcpListener::bind(&serve.http).await?;
    println!("the shop is open at http://{}", listener.local_addr()?);

    // customers are served until the handlers are done
    let serving = tokio::spawn(async { axum::serve(listener, shop.router()).await });
    running.until_signal().await?;
    serving.abort();
    Ok(())
}
