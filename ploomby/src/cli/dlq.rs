//! Commands about dead letters.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};

pub use self::editing::EditOf;
use self::moving::Consent;
use super::{
    Fault, Found,
    arguments::{Where, Which, duration, known, rate},
    screen::Screen,
};
use crate::{
    app::App,
    ops::{GroupBy, Ops},
};

mod editing;
mod looking;
pub(super) mod moving;
mod progress;
mod showing;

/// What can be done with dead letters.
#[derive(Clone, Debug, Subcommand)]
#[non_exhaustive]
pub enum Dlq {
    /// Lists letters, the oldest first
    List(List),
    /// Counts letters by what they have in common
    Groups(GroupsOf),
    /// Shows a letter: what failed where, its headers and its body
    Show(Show),
    /// Sends letters back to where they failed
    Replay(ReplayOf),
    /// Changes a letter in an editor, and sends it if this build takes it
    Edit(EditOf),
    /// Takes letters out of their queue for good
    Discard(Discard),
    /// Writes letters to a file, or to the standard output
    Export(Export),
    /// Puts letters that were exported into a dead-letter queue
    Import(Import),
    /// Says which letters this build would take
    #[command(after_help = "Ends with 4 if this build would take any.")]
    Check(Check),
}

/// `dlq list`.
#[derive(clap::Args, Clone, Debug)]
pub struct List {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    which: Which,
    /// Lists so many at most
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
    /// A line of JSON each
    #[arg(long)]
    json: bool,
}

/// `dlq groups`.
#[derive(clap::Args, Clone, Debug)]
pub struct GroupsOf {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    which: Which,
    /// error (the default), key, reason, handler or build
    #[arg(long, value_enum, default_value_t = By::Error, hide_default_value = true, hide_possible_values = true)]
    by: By,
    /// A line of JSON each
    #[arg(long)]
    json: bool,
}

/// What letters of a group have in common.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[non_exhaustive]
pub enum By {
    /// The error, without numbers, ids, quoted text and addresses
    Error,
    /// The key
    Key,
    /// The reason
    Reason,
    /// The handler
    Handler,
    /// Name and version of the program
    Build,
}

/// `dlq show`.
#[derive(clap::Args, Clone, Debug)]
pub struct Show {
    /// The name of the letter, or the end of it
    id: String,
    #[command(flatten)]
    place: Where,
    /// All headers, and the whole body
    #[arg(long)]
    full: bool,
}

/// `dlq replay`.
#[derive(clap::Args, Clone, Debug)]
pub struct ReplayOf {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    which: Which,
    /// Moves nothing, and says what would be
    #[arg(long)]
    dry_run: bool,
    /// Replays so many first: if one comes back, no more
    #[arg(long, value_name = "N")]
    canary: Option<usize>,
    /// How long to wait for the canaries
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "TIME")]
    canary_wait: Duration,
    /// How fast, such as 200/s
    #[arg(long, value_parser = rate, value_name = "N/s")]
    rate: Option<Duration>,
    /// Replays so many at most
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// To this queue, not to the one where they failed
    #[arg(long, value_name = "QUEUE")]
    to: Option<String>,
    #[command(flatten)]
    consent: Consent,
    /// A line of JSON each
    #[arg(long)]
    json: bool,
}

/// `dlq discard`.
#[derive(clap::Args, Clone, Debug)]
pub struct Discard {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    which: Which,
    /// Writes each letter to this file first
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Discards so many at most
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    consent: Consent,
    /// A line of JSON each
    #[arg(long)]
    json: bool,
}

/// `dlq export`.
#[derive(clap::Args, Clone, Debug)]
pub struct Export {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    which: Which,
    /// The file (default: the standard output)
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// `dlq import`.
#[derive(clap::Args, Clone, Debug)]
pub struct Import {
    /// The file; `-` is the standard input
    file: PathBuf,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    consent: Consent,
}

/// `dlq check`.
#[derive(clap::Args, Clone, Debug)]
pub struct Check {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    which: Which,
    /// A line of JSON each
    #[arg(long)]
    json: bool,
}

impl Dlq {
    pub(super) async fn execute(self, app: App, screen: &mut Screen) -> Result<Found, Fault> {
        known(&app, self.place())?;
        let ops = app.ops()?;
        let ended = self.with(&ops, screen).await;
        ops.close().await;
        ended
    }

    async fn with(self, ops: &Ops, screen: &mut Screen) -> Result<Found, Fault> {
        match self {
            Self::List(list) => list.execute(ops, screen).await,
            Self::Groups(groups) => groups.execute(ops, screen).await,
            Self::Show(show) => show.execute(ops, screen).await,
            Self::Check(check) => check.execute(ops, screen).await,
            Self::Replay(replay) => replay.execute(ops, screen).await,
            Self::Edit(edit) => edit.execute(ops, screen).await,
            Self::Discard(discard) => discard.execute(ops, screen).await,
            Self::Export(export) => export.execute(ops, screen).await,
            Self::Import(import) => import.execute(ops).await,
        }
    }

    fn place(&self) -> &Where {
        match self {
            Self::List(List { place, .. })
            | Self::Groups(GroupsOf { place, .. })
            | Self::Show(Show { place, .. })
            | Self::Replay(ReplayOf { place, .. })
            | Self::Edit(EditOf { place, .. })
            | Self::Discard(Discard { place, .. })
            | Self::Export(Export { place, .. })
            | Self::Import(Import { place, .. })
            | Self::Check(Check { place, .. }) => place,
        }
    }
}

impl From<By> for GroupBy {
    fn from(by: By) -> Self {
        match by {
            By::Error => Self::Error,
            By::Key => Self::Key,
            By::Reason => Self::Reason,
            By::Handler => Self::Handler,
            By::Build => Self::Build,
        }
    }
}
