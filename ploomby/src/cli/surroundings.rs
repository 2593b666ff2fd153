//! Commands about what is around the program: whether all is as it should be, and what it declares.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::{Fault, Found, dlq::moving::Consent, screen::Screen};
use crate::{
    app::App,
    message::Value,
    ops::{
        BindingDeclaration, Declaration, Deletion, ExchangeDeclaration, Finding, Leftover, Level,
        Ops, QueuePurpose,
    },
};

/// `check`.
#[derive(Args, Clone, Debug)]
pub struct CheckAll {
    /// Checks only what needs no broker
    #[arg(long, conflicts_with = "sample")]
    offline: bool,
    /// Decodes so many waiting messages, and puts them back
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Finds what breaks this AsyncAPI 3 document in JSON
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// A line of JSON each
    #[arg(long)]
    json: bool,
}

/// `topology`.
#[derive(Args, Clone, Debug)]
pub struct Topology {
    /// Declares what is missing
    #[arg(long)]
    apply: bool,
    /// Lists retry and delay queues that no policy uses
    #[arg(long, conflicts_with = "apply")]
    leftovers: bool,
    /// Deletes those of them that are empty
    #[arg(long, requires = "leftovers")]
    delete_empty: bool,
    #[command(flatten)]
    consent: Consent,
    /// A line of JSON each
    #[arg(long)]
    json: bool,
}

impl CheckAll {
    pub(super) async fn execute(self, app: App, screen: &mut Screen) -> Result<Found, Fault> {
        let mut findings = app.check_offline();
        if let Some(file) = &self.against {
            findings.extend(broken(&app, file)?);
        }
        show(&findings, self.json, screen)?;
        // a URL that means no broker is among the findings
        if !self.offline {
            if let Ok(ops) = app.ops_beside() {
                screen.flush()?;
                let online = self.online(&ops).await;
                ops.close().await;
                show(&online, self.json, screen)?;
                findings.extend(online);
            }
        }
        sum_up(&findings, self.json, screen)
    }

    async fn online(&self, ops: &Ops) -> Vec<Finding> {
        let mut findings = ops.check().await;
        if let Some(most) = self.sample {
            match ops.sample(most).await {
                Ok(more) => findings.extend(more),
                // the check has said so already
                Err(_) if findings.iter().any(|finding| finding.level == Level::Bad) => {}
                Err(error) => findings.push(Finding::of_sample(&error)),
            }
        }
        findings
    }
}

/// What was found, a line of JSON each or for people.
pub(super) fn show(findings: &[Finding], json: bool, screen: &mut Screen) -> Result<(), Fault> {
    for finding in findings {
        if json {
            screen.json(finding)?;
            continue;
        }
        let mark = match finding.level {
            Level::Good => "✓",
            Level::Doubtful => "!",
            Level::Bad => "✗",
        };
        screen.wrapped(
            &format!("{mark} "),
            &format!("{}: {}", finding.about, finding.text),
        )?;
        if let Some(remedy) = &finding.remedy {
            screen.wrapped("    → ", remedy)?;
        }
    }
    Ok(())
}

/// How many there are that matter, and whether one of them is bad.
pub(super) fn sum_up(
    findings: &[Finding],
    json: bool,
    screen: &mut Screen,
) -> Result<Found, Fault> {
    let count = |level| {
        findings
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    };
    let (bad, doubtful) = (count(Level::Bad), count(Level::Doubtful));
    if !json {
        screen.line(&format!("{bad} ✗, {doubtful} !"))?;
    }
    Ok(match bad {
        0 => Found::Nothing,
        _ => Found::WhatWasLookedFor,
    })
}

/// What a document of AsyncAPI says that the program breaks.
pub(super) fn broken(app: &App, file: &Path) -> Result<Vec<Finding>, Fault> {
    let text = std::fs::read(file);
    let text = text.map_err(|error| Fault::of_file("read", file, &error))?;
    let document = serde_json::from_slice(&text)
        .map_err(|error| Fault::Usage(format!("`{}` is no JSON: {error}", file.display())))?;
    let broken = app.program().against(&document);
    broken.map_err(|error| Fault::Usage(format!("`{}`: {error}", file.display())))
}

impl Topology {
    pub(super) async fn execute(self, app: App, screen: &mut Screen) -> Result<Found, Fault> {
        if self.leftovers {
            return self.left(app, screen).await;
        }
        let program = app.program();
        if !self.apply {
            self.show(&program.topology(), screen)?;
            self.show_exchanges(&program.exchanges(), screen)?;
            self.show_bindings(&program.bindings(), screen)?;
            return Ok(Found::Nothing);
        }
        let ops = app.ops()?;
        let declared = ops.declare().await;
        ops.close().await;
        let declared = declared?;
        if declared.is_empty() && !self.json {
            let mut exchanges = program.exchanges().into_iter();
            match exchanges.any(|exchange| exchange.is_declared) {
                false => screen.line("nothing was missing")?,
                true => screen.line("no queue was missing; exchanges and bindings are there")?,
            }
            return Ok(Found::Nothing);
        }
        self.show(&declared, screen)?;
        Ok(Found::Nothing)
    }

    fn show(&self, declared: &[Declaration], screen: &mut Screen) -> Result<(), Fault> {
        let titles = ["QUEUE", "FOR", "ARGUMENTS"];
        self.list(screen, titles, declared, |declaration| {
            let purpose = match declaration.purpose {
                QueuePurpose::Consumed => "consumed",
                QueuePurpose::DeadLetters => "dead letters",
                QueuePurpose::Retry => "retry",
            };
            let arguments = all_shown(&declaration.arguments, declaration.is_declared);
            [declaration.name.clone(), purpose.to_owned(), arguments]
        })
    }

    fn show_exchanges(
        &self,
        exchanges: &[ExchangeDeclaration],
        screen: &mut Screen,
    ) -> Result<(), Fault> {
        let titles = ["EXCHANGE", "TYPE", "ARGUMENTS"];
        self.further(screen, titles, exchanges, |exchange| {
            let kind = exchange.kind.clone().unwrap_or_default();
            let mut arguments = all_shown(&exchange.arguments, exchange.is_declared);
            let marks = [
                (!exchange.is_durable, "transient "),
                (exchange.is_auto_delete, "auto-delete "),
            ];
            for (_, mark) in marks.iter().filter(|(is_so, _)| *is_so) {
                arguments.insert_str(0, mark);
            }
            [exchange.exchange.clone(), kind, arguments]
        })
    }

    fn show_bindings(
        &self,
        bindings: &[BindingDeclaration],
        screen: &mut Screen,
    ) -> Result<(), Fault> {
        let titles = ["FROM", "TO", "KEY OR HEADERS"];
        self.further(screen, titles, bindings, |binding| {
            let arguments = all_shown(&binding.arguments, binding.is_declared);
            let takes = format!("{} {arguments}", binding.routing_key);
            let takes = takes.trim().to_owned();
            [binding.source.clone(), binding.destination.clone(), takes]
        })
    }

    /// One more list, apart from the one before, if there is anything in it.
    fn further<T: Serialize>(
        &self,
        screen: &mut Screen,
        titles: [&str; 3],
        all: &[T],
        row: impl Fn(&T) -> [String; 3],
    ) -> Result<(), Fault> {
        if all.is_empty() {
            return Ok(());
        }
        if !self.json {
            screen.line("")?;
        }
        self.list(screen, titles, all, row)
    }

    /// A line of JSON each, or a list.
    fn list<T: Serialize>(
        &self,
        screen: &mut Screen,
        titles: [&str; 3],
        all: &[T],
        row: impl Fn(&T) -> [String; 3],
    ) -> Result<(), Fault> {
        if self.json {
            for one in all {
                screen.json(one)?;
            }
            return Ok(());
        }
        let rows: Vec<_> = all.iter().map(|one| row(one).to_vec()).collect();
        screen.list(&titles, &rows)?;
        Ok(())
    }

    async fn left(&self, app: App, screen: &mut Screen) -> Result<Found, Fault> {
        let ops = app.ops()?;
        let mut leftovers = ops.leftovers(Deletion::Never).await?;
        let empty = leftovers.iter().filter(|left| left.messages == 0).count();
        if self.delete_empty && empty > 0 {
            let asked = self.consent.asked(&format!("delete {empty} empty queues"));
            if let Err(fault) = asked {
                ops.close().await;
                return Err(fault);
            }
            leftovers = ops.leftovers(Deletion::IfEmpty).await?;
        }
        ops.close().await;
        let is_kept = |left: &Leftover| self.delete_empty && left.messages == 0 && !left.is_deleted;
        let kept = leftovers.iter().filter(|left| is_kept(left)).count();
        if self.json {
            for left in &leftovers {
                screen.json(left)?;
            }
            return partly(kept, screen);
        }
        if leftovers.is_empty() {
            screen
                .line("nothing is left of retries and delays, as far as their lengths are usual")?;
            return Ok(Found::Nothing);
        }
        let rows = leftovers.into_iter().map(|left| {
            let fate = match left.is_deleted {
                true => "deleted",
                false if is_kept(&left) => "kept",
                false => "",
            };
            vec![left.messages.to_string(), fate.to_owned(), left.name]
        });
        screen.table(&["MESSAGES", "", "QUEUE"], &rows.collect::<Vec<_>>())?;
        partly(kept, screen)
    }
}

/// Whether queues are kept that were to be deleted.
fn partly(kept: usize, screen: &mut Screen) -> Result<Found, Fault> {
    if kept == 0 {
        return Ok(Found::Nothing);
    }
    screen.flush()?;
    Err(Fault::Partly(format!(
        "{kept} queues are kept, that have a consumer or are quorum queues: RabbitMQ deletes those with all that is in them, \
         and messages that it is just handing on do not show; once the management page shows none, ready or unacknowledged, \
         delete them there"
    )))
}

fn all_shown(arguments: &[(String, Value)], is_declared: bool) -> String {
    let arguments = arguments
        .iter()
        .map(|(name, value)| format!("{name}={}", shown(value)));
    let arguments = arguments.collect::<Vec<_>>().join(" ");
    match is_declared {
        true => arguments,
        false => format!("(not declared) {arguments}"),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) if text.is_empty() => "\"\"".to_owned(),
        Value::Text(text) => text.clone(),
        Value::Bool(value) => json!(value).to_string(),
        other => other.number_text().unwrap_or_else(|| format!("{other:?}")),
    }
}
