//! Instructions and allocations of a message through the broker inside the process, compared with
//! those that were recorded, or recorded.
//!
//! `counts FILE [record=true]`: it fails where one has grown by more than 5 %, and compares nothing
//! where the compiler, the C library or valgrind is another one, because the figures are theirs, too.

use std::{env, fmt::Write, fs, process::ExitCode};

use anyhow::Context;
use ploomby_benches::{
    arguments::Arguments,
    counts::Cost,
    dispatch::{Around, Case},
    environment,
};

const CASES: [Case; 13] = [
    Case::Raw,
    Case::Json,
    Case::Keys(1_000),
    Case::Patterns(1_000),
    Case::Beside(1_000),
    Case::Fields(1_000),
    Case::Layer(Around::Identity),
    Case::Layer(Around::Timeout),
    Case::Layer(Around::Concurrency),
    Case::Layer(Around::Rate),
    Case::Waits,
    Case::Fails,
    Case::Replies,
];

/// The same program in another folder, or beside other work, counts up to 3.5 % more.
const TOLERANCE: f64 = 1.05;

/// Allocations come in whole ones: a fraction is the growing of a queue.
const ALLOCATIONS_TOLERANCE: f64 = 0.05;

/// A message among thousands finds its map full.
const BYTES_TOLERANCE: f64 = 16.0;

const HEAD: &str = "\
# Instructions, allocations and allocated bytes of a message, for scripts/ci-instructions, which writes this with `record`.
";

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = Arguments::of_this_program();
    let file = arguments.next("FILE")?;
    let records = arguments.get("record")?.unwrap_or(false);
    arguments.end()?;

    let recorded = fs::read_to_string(&file).unwrap_or_default();
    let on = environment::of_counts()?;
    if !records
        && !recorded
            .lines()
            .any(|line| line.strip_prefix("on ") == Some(&*on))
    {
        println!("skipped: {file} holds no figures of {on}");
        return Ok(ExitCode::SUCCESS);
    }

    let programs = env::current_exe()?;
    let programs = programs.parent().context("a program is in a folder")?;
    let mut new = format!("{HEAD}on {on}\n");
    let mut has_grown = false;
    for case in CASES {
        let then = find(&recorded, case).filter(|_| !records);
        let Cost {
            instructions,
            allocations,
            bytes,
        } = Cost::least_of(case, programs, |cost| {
            then.is_some_and(|then| !has_grown_from(then.instructions, cost.instructions, 0.0))
        })?;
        let bytes = bytes.unwrap_or_default();
        writeln!(new, "{case} {instructions:.0} {allocations:.2} {bytes:.0}")?;
        println!(
            "{case:<18}{instructions:>10.0} instructions{allocations:>8.2} allocations{bytes:>8.0} bytes"
        );
        if records {
            continue;
        }
        let Some(then) = then else {
            println!("{file} does not hold {case} yet: record it");
            continue;
        };
        has_grown |= report("instructions", then.instructions, instructions, 0.0);
        has_grown |= report(
            "allocations",
            then.allocations,
            allocations,
            ALLOCATIONS_TOLERANCE,
        );
        if let Some(then) = then.bytes {
            has_grown |= report("bytes", then, bytes, BYTES_TOLERANCE);
        }
    }
    if records {
        fs::write(&file, new)?;
    }
    Ok(match has_grown {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn find(recorded: &str, case: Case) -> Option<Cost> {
    let case = case.to_string();
    recorded.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        if words.next()? != case {
            return None;
        }
        Some(Cost {
            instructions: words.next()?.parse().ok()?,
            allocations: words.next()?.parse().ok()?,
            bytes: words.next().and_then(|bytes| bytes.parse().ok()),
        })
    })
}

fn has_grown_from(then: f64, now: f64, slack: f64) -> bool {
    now > then * TOLERANCE + slack
}

/// Whether it is more than it may be.
fn report(what: &str, then: f64, now: f64, slack: f64) -> bool {
    let percent = (now / then.max(1.0) - then / then.max(1.0)) * 100.0;
    if has_grown_from(then, now, slack) {
        println!("FAILED: {then} {what} were recorded, {percent:+.1} %");
        return true;
    }
    if now < then / TOLERANCE - slack {
        println!("{then} {what} were recorded, {percent:+.1} %: record the better figure");
    }
    false
}
