//! Measures ploomby beside the others, in one go, and writes what it found.
//!
//! `bench [quick=true] [peers=PROGRAM] [rabbit=URL]... [only=SECTION]... [out=FOLDER]`: `scripts/bench`
//! gives it what it needs. Sections: `flood`, `latency`, `drain`, `counts`, `scale`, `handlers`, `bodies`, and on RabbitMQ
//! `services` and `publish`.

use std::{env, path::PathBuf};

use anyhow::Context;
use ploomby_benches::arguments::Arguments;

use self::{plan::Plan, report::Report};

mod beside;
mod bodies;
mod counts;
mod drain;
mod flood;
mod handlers;
mod latency;
mod manner;
mod plan;
mod plot;
mod process;
mod publish;
mod rabbit;
mod report;
mod rounds;
mod scale;
mod services;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::of_this_program();
    let quick = arguments.get("quick")?.unwrap_or(false);
    let peers: Option<PathBuf> = arguments.get("peers")?;
    let rabbits = all(&mut arguments, "rabbit")?;
    let only = all(&mut arguments, "only")?;
    let out: PathBuf = arguments.get("out")?.unwrap_or_else(|| "benches".into());
    arguments.end()?;

    let programs = env::current_exe()?;
    let programs = programs.parent().context("a program is in a folder")?;
    let plan = Plan::new(quick, programs.to_owned(), peers);
    let wants = |section: &str| only.is_empty() || only.iter().any(|only| only == section);

    let mut report = Report::new(&plan)?;
    if wants("flood") {
        flood::measure(&plan, &mut report).await;
    }
    if wants("drain") {
        for url in &rabbits {
            drain::measure(&plan, url, &mut report).await?;
        }
    }
    if wants("latency") {
        latency::measure(&plan, &mut report).await;
    }
    if wants("counts") {
        counts::measure(&plan, &mut report)?;
    }
    if wants("scale") {
        scale::measure(&plan, &mut report)?;
    }
    if wants("handlers") {
        handlers::measure(&plan, &mut report).await;
        beside::measure(&plan, &mut report).await;
    }
    if wants("bodies") {
        bodies::measure(&plan, &mut report).await;
    }
    for url in &rabbits {
        if wants("services") {
            services::measure(&plan, url, &mut report).await?;
        }
        if wants("publish") {
            publish::measure(&plan, url, &mut report).await?;
        }
    }
    report.write(&out)
}

fn all(arguments: &mut Arguments, name: &str) -> anyhow::Result<Vec<String>> {
    let mut values = Vec::new();
    while let Some(value) = arguments.get(name)? {
        values.push(value);
    }
    Ok(values)
}
