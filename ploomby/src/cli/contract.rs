//! The contract of a program: what others may send to it.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};

use super::{
    Fault, Found,
    screen::Screen,
    surroundings::{broken, show, sum_up},
};
use crate::app::App;

/// `asyncapi`.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Asyncapi {
    #[command(subcommand)]
    comparison: Option<Comparison>,
    /// In YAML instead of JSON
    #[arg(long)]
    yaml: bool,
    /// Writes it to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Fails where a payload or a reply has no schema
    #[arg(long)]
    strict: bool,
}

/// What the contract is compared with.
#[derive(Clone, Debug, Subcommand)]
enum Comparison {
    /// Says what this build breaks of an older document, in JSON
    #[command(after_help = "Ends with 4 if anything is broken.")]
    Diff {
        /// The older document
        old: PathBuf,
        /// A line of JSON each
        #[arg(long)]
        json: bool,
    },
}

impl Asyncapi {
    pub(super) fn execute(self, app: &App, screen: &mut Screen) -> Result<Found, Fault> {
        if let Some(Comparison::Diff { old, json }) = self.comparison {
            let findings = broken(app, &old)?;
            show(&findings, json, screen)?;
            return sum_up(&findings, json, screen);
        }
        let contract = app.program().contract();
        let undescribed = contract.undescribed();
        if self.strict && !undescribed.is_empty() {
            let lines = undescribed
                .iter()
                .map(|it| format!("\n  `{}` of {}", it.type_name, it.handler));
            return Err(Fault::Failed(format!(
                "these have no schema: derive `schemars::JsonSchema` for them, or say `payload_schema` and `reply_schema` \
                 where they are registered by hand{}",
                lines.collect::<String>()
            )));
        }
        let mut text = match self.yaml {
            true => contract.to_yaml(),
            false => format!("{:#}", contract.as_json()),
        };
        match &self.output {
            Some(file) => {
                text.truncate(text.trim_end().len());
                text.push('\n');
                fs::write(file, text).map_err(|error| Fault::of_file("write", file, &error))?;
            }
            None => screen.document(&text)?,
        }
        Ok(Found::Nothing)
    }
}
