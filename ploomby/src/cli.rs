//! The command line of a program, by the feature `cli`: what it handles, how much waits, and its dead letters.
//!
//! [`App::main`] is the `main` of a program that has no command line of its own. One that has flattens [`Command`] into
//! it:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use clap::{Parser, Subcommand};
//! use ploomby::{App, Queue};
//!
//! #[derive(Parser)]
//! struct Arguments {
//!     #[command(subcommand)]
//!     command: Own,
//! }
//!
//! #[derive(Subcommand)]
//! enum Own {
//!     /// Changes the tables of the database
//!     Migrate,
//!     #[command(flatten)]
//!     Ploomby(ploomby::cli::Command),
//! }
//!
//! #[tokio::main]
//! async fn main() -> ExitCode {
//!     let app = App::new("amqp://localhost").queue(Queue::new("billing"));
//!     match Arguments::parse().command {
//!         Own::Migrate => ExitCode::SUCCESS,
//!         Own::Ploomby(command) => command.run(app).await,
//!     }
//! }
//! ```
//!
//! Such a program makes the scripts for its users' shells by `clap_complete` from its own command; one whose `main` is
//! [`App::main`] has a command for it: `completions bash`, `zsh`, `fish`, `elvish` or `powershell`.
//!
//! # Exit codes
//!
//! 0: done. 1: failed. 2: the command line is wrong, or what it asks for needs `--yes`. 3: partly done. 4: found what was
//! looked for, by `check` and `asyncapi diff` what does not
//! work, by `dlq check` letters that this build would take.
//!
//! # JSON
//!
//! With `--json` each line of the output is an object with its version in `v`: [`HandlerInfo`](crate::ops::HandlerInfo),
//! [`QueueDepths`](crate::ops::QueueDepths), [`Summary`](crate::ops::Summary), [`Group`](crate::ops::Group),
//! [`Finding`](crate::ops::Finding), [`Declaration`](crate::ops::Declaration),
//! [`ExchangeDeclaration`](crate::ops::ExchangeDeclaration), [`BindingDeclaration`](crate::ops::BindingDeclaration), [`Leftover`](crate::ops::Leftover),
//! [`Rehearsed`](crate::ops::Rehearsed). What moves
//! messages writes `{"v":1,"act":"replay","dry_run":false,"id":"…","queue":"…"}` for each, and for many letters
//! `{"v":1,"act":"replay","dry_run":false,"done":2,"total":3,"not_looked_at":0}` at the end; with `--dry-run` the same, where
//! `dry_run` is true.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};
use clap_complete::Shell;

#[cfg(feature = "asyncapi")]
pub use self::contract::Asyncapi;
use self::screen::Screen;
pub use self::{
    dlq::{By, Check, Discard, Dlq, EditOf, Export, GroupsOf, Import, List, ReplayOf, Show},
    message::{Call, Publish, Try},
    program::{Handlers, Queues, Run},
    surroundings::{CheckAll, Topology},
};
use crate::{
    app::{App, Error},
    ops::OpsError,
};

mod arguments;
#[cfg(feature = "asyncapi")]
mod contract;
mod dlq;
mod message;
mod program;
mod screen;
mod surroundings;

/// What a program can be told to do.
#[derive(Clone, Debug, Subcommand)]
#[non_exhaustive]
pub enum Command {
    /// Handles messages until the program is told to stop
    Run(Run),
    /// Lists the handlers of the program, without a broker
    Handlers(Handlers),
    /// Says what would keep the program from working
    #[command(after_help = "Ends with 4 if anything would.")]
    Check(CheckAll),
    /// Lists what the program declares: queues, exchanges and bindings
    Topology(Topology),
    /// Says how much waits in the queues of the program
    Queues(Queues),
    /// Sends a message to a handler, once it is known to decode
    Publish(Publish),
    /// Calls a handler, and writes the value that it returns
    Call(Call),
    /// Runs a handler in this process on a message that nobody settles
    Try(Try),
    /// Writes what other programs may send, as AsyncAPI 3
    #[cfg(feature = "asyncapi")]
    Asyncapi(Asyncapi),
    /// Looks at dead letters, and moves them
    #[command(subcommand)]
    Dlq(Box<Dlq>),
}

/// A service that handles messages. Without a command it runs.
#[derive(Parser)]
#[command(after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Whole>,
}

// what a program without a command line of its own can be told to do; a doc comment would be the help's first line
#[derive(Subcommand)]
enum Whole {
    #[command(flatten)]
    Command(Command),
    /// Writes a script that has a shell complete commands and options
    Completions {
        /// Your shell
        shell: Shell,
    },
}

/// Why a command ended.
enum Fault {
    /// The command line asks for what cannot be.
    Usage(String),
    /// The output is closed: nobody reads on.
    Closed,
    Failed(String),
    /// After some of it was done.
    Partly(String),
}

/// What a command that went well found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    WhatWasLookedFor,
    /// What was tried failed, which is told.
    Failure,
}

impl App {
    /// The `main` of a program: does what its command line says, and runs it where that says nothing. What looks at the
    /// program alone neither connects nor makes [state](Self::state_with).
    ///
    /// ```no_run
    /// use std::process::ExitCode;
    /// use ploomby::{App, Queue};
    ///
    /// #[tokio::main]
    /// async fn main() -> ExitCode {
    ///     App::new("amqp://localhost")
    ///         .named(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
    ///         .queue(Queue::new("billing"))
    ///         .main()
    ///         .await
    /// }
    /// ```
    pub async fn main(self) -> ExitCode {
        self.main_with(std::env::args_os()).await
    }

    /// The same with these arguments, the first of which is the name of the program.
    pub async fn main_with(self, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
        let program = self.program();
        let (name, version) = match program
            .name
            .as_deref()
            .and_then(|name| name.split_once('/'))
        {
            Some((name, version)) => (name.to_owned(), version.to_owned()),
            None => ("this program".to_owned(), "without a version".to_owned()),
        };
        let mut arguments = arguments.into_iter().peekable();
        let called = arguments.peek().map(file_name);
        let called = called.unwrap_or_else(|| name.clone());
        let command = Arguments::command().name(name).version(version);
        let matches = command.try_get_matches_from(arguments);
        let parsed = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
        let command = match parsed {
            Ok(Arguments { command }) => command,
            Err(error) => {
                // there is nobody left to tell
                let _ = error.print();
                return match error.kind() {
                    ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                    _ => ExitCode::from(USAGE),
                };
            }
        };
        match command {
            None => Command::Run(Run::default()).run(self).await,
            Some(Whole::Command(command)) => command.run(self).await,
            Some(Whole::Completions { shell }) => completions(shell, &called),
        }
    }
}

/// What a program is called by, without the folder that it lies in.
fn file_name(path: &OsString) -> String {
    let name = Path::new(path).file_name().unwrap_or(path);
    name.to_string_lossy().into_owned()
}

/// Writes a script that completes the command line of a program that is called so.
fn completions(shell: Shell, called: &str) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), called, &mut script);
    match io::stdout().write_all(&script).map_err(Fault::from) {
        Ok(()) | Err(Fault::Closed) => ExitCode::SUCCESS,
        Err(Fault::Usage(text) | Fault::Failed(text) | Fault::Partly(text)) => told(&text, FAILED),
    }
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed; 2 wrong command line, or --yes is missing;\n\
                          3 partly done; 4 found what was looked for (check, diff, dlq check)";

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const PARTLY: u8 = 3;
const FOUND: u8 = 4;

impl Command {
    /// Does what it says with this app, and gives [the code](self#exit-codes) that the process ends with.
    pub async fn run(self, app: App) -> ExitCode {
        let mut screen = Screen::of_process();
        let ended = self.execute(app, &mut screen).await;
        let ended = ended.and_then(|found| {
            screen.flush()?;
            Ok(found)
        });
        match ended {
            Ok(Found::Nothing) | Err(Fault::Closed) => ExitCode::SUCCESS,
            Ok(Found::WhatWasLookedFor) => ExitCode::from(FOUND),
            Ok(Found::Failure) => ExitCode::from(FAILED),
            Err(Fault::Usage(text)) => told(&text, USAGE),
            Err(Fault::Failed(text)) => told(&text, FAILED),
            Err(Fault::Partly(text)) => told(&text, PARTLY),
        }
    }

    async fn execute(self, app: App, screen: &mut Screen) -> Result<Found, Fault> {
        match self {
            Self::Run(run) => run.execute(app).await,
            Self::Handlers(handlers) => handlers.execute(&app, screen),
            Self::Check(check) => check.execute(app, screen).await,
            Self::Topology(topology) => topology.execute(app, screen).await,
            Self::Queues(queues) => queues.execute(app, screen).await,
            Self::Publish(publish) => publish.execute(app, screen).await,
            Self::Call(call) => call.execute(app, screen).await,
            Self::Try(tried) => tried.execute(app, screen).await,
            #[cfg(feature = "asyncapi")]
            Self::Asyncapi(contract) => contract.execute(&app, screen),
            Self::Dlq(dlq) => dlq.execute(app, screen).await,
        }
    }
}

fn told(text: &str, code: u8) -> ExitCode {
    // there is nobody left to tell
    let _ = screen::tell_error(text);
    ExitCode::from(code)
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<OpsError> for Fault {
    fn from(error: OpsError) -> Self {
        match error {
            OpsError::NoQueue(..) | OpsError::NoDeadLetterQueue(_) => {
                Self::Usage(error.to_string())
            }
            OpsError::File(error) => error.into(),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl Fault {
    /// What was to be done with a file.
    fn of_file(what: &str, file: &Path, error: &io::Error) -> Self {
        Self::Failed(format!("cannot {what} `{}`: {error}", file.display()))
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the command and those below it.
    fn helps(command: &mut clap::Command, found: &mut Vec<String>) {
        found.push(command.render_help().to_string());
        found.push(command.render_long_help().to_string());
        for inner in command.get_subcommands_mut() {
            helps(inner, found);
        }
    }

    #[test]
    fn the_help_of_each_command_fits_a_terminal() {
        let mut found = Vec::new();
        let mut command = Arguments::command();
        command.build();
        helps(&mut command, &mut found);
        assert!(found.len() > 36, "{}", found.len());
        let lines = found.iter().flat_map(|help| help.lines());
        let too_long: Vec<_> = lines.filter(|line| line.chars().count() > 80).collect();
        assert!(too_long.is_empty(), "{too_long:#?}");
        assert!(found[0].starts_with("A service that handles messages. Without a command it runs"));
        assert!(found[0].contains("4 found"));
    }
}
