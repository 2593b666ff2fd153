//! The command line: serving, and the commands that every program with ploomby can have.

use std::path::PathBuf;

use clap::{Args, Parser};
use ploomby::cli::Command;

/// A shop. Without a command it serves.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// Where RabbitMQ is, such as amqp://localhost; without it there is a broker inside the process
    #[arg(
        long,
        env = "SHOP_AMQP",
        default_value = "memory://shop",
        hide_env_values = true
    )]
    pub amqp: String,
    /// The database, a file
    #[arg(long, env = "SHOP_DATABASE", default_value = "shop.db")]
    pub database: PathBuf,
    /// How many charges the bank has too much to do for
    #[arg(long, env = "SHOP_BANK_BUSY", default_value_t = 0)]
    pub bank_busy: u32,
    /// Where it serves.
    #[command(flatten)]
    pub serve: Serve,
    /// In place of serving
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What holds for serving alone.
#[derive(Args, Debug)]
pub struct Serve {
    /// Where customers come
    #[arg(long, env = "SHOP_HTTP", default_value = "127.0.0.1:8080")]
    pub http: String,
    /// Where the page, the probes and the metrics are
    #[arg(long, env = "SHOP_ADMIN", default_value = "127.0.0.1:9090")]
    pub admin: String,
    /// Consumes only these queues
    #[arg(long, env = "SHOP_ONLY", value_delimiter = ',', value_name = "QUEUE")]
    pub only: Vec<String>,
}
