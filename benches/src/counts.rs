//! What a message costs in instructions and allocations.
//!
//! Both are the difference of a long and a short run, divided by the messages between them, so that
//! starting and stopping do not count.

use std::{path::Path, process::Command};

use anyhow::{Context, ensure};

use crate::dispatch::Case;

const SHORT: u64 = 10_000;
const LONG: u64 = 30_000;

/// What is freed waits to be used again, instead of being merged with what lies beside it by chance:
/// that made a tenth of all instructions, and depended on what else was ever allocated.
const CACHED: &str = "glibc.malloc.tcache_count=1000";

/// What one message costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// By callgrind.
    pub instructions: f64,
    /// Growing and shrinking among them.
    pub allocations: f64,
    /// What these asked for; none where it was not recorded.
    pub bytes: Option<f64>,
}

impl Cost {
    /// That of a message of this case, publishing left out, by the programs in this folder.
    ///
    /// # Errors
    ///
    /// A program is missing or fails.
    pub fn of(case: Case, programs: &Path) -> anyhow::Result<Self> {
        let all = Self::with_publishing(case, programs)?;
        let publishing = Self::with_publishing(Case::Publish, programs)?;
        Ok(Self {
            instructions: all.instructions - publishing.instructions,
            // below none where nothing is allocated: what only publishes has to empty the queue another way
            allocations: all.allocations - publishing.allocations,
            bytes: all
                .bytes
                .zip(publishing.bytes)
                .map(|(all, publishing)| all - publishing),
        })
    }

    /// That of the count with the fewest instructions, of up to three as long as it is not `enough`: how often the
    /// dispatcher returns to the runtime goes by the time of day, and so by what else the machine does.
    ///
    /// # Errors
    ///
    /// A program is missing or fails.
    pub fn least_of(
        case: Case,
        programs: &Path,
        enough: impl Fn(&Self) -> bool,
    ) -> anyhow::Result<Self> {
        let mut least = Self::of(case, programs)?;
        for _ in 1..3 {
            if enough(&least) {
                break;
            }
            let again = Self::of(case, programs)?;
            if again.instructions < least.instructions {
                least = again;
            }
        }
        Ok(least)
    }

    fn with_publishing(case: Case, programs: &Path) -> anyhow::Result<Self> {
        let short = allocations(case, SHORT, programs)?;
        let long = allocations(case, LONG, programs)?;
        Ok(Self {
            instructions: each(|messages| instructions(case, messages, programs))?,
            allocations: difference(short.0, long.0),
            bytes: Some(difference(short.1, long.1)),
        })
    }
}

fn each(count: impl Fn(u64) -> anyhow::Result<u64>) -> anyhow::Result<f64> {
    Ok(difference(count(SHORT)?, count(LONG)?))
}

fn difference(short: u64, long: u64) -> f64 {
    (long as f64 - short as f64) / (LONG - SHORT) as f64
}

fn instructions(case: Case, messages: u64, programs: &Path) -> anyhow::Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(programs.join("dispatch"))
        .args([case.to_string(), messages.to_string()])
        .env("GLIBC_TUNABLES", CACHED)
        // one for each error is half of what a failure costs
        .env("RUST_BACKTRACE", "0");
    let output = valgrind.output().context("this needs valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{case}: {said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    let (_, collected) = collected.with_context(|| format!("callgrind said: {said}"))?;
    Ok(collected.trim().parse()?)
}

/// How many, and of how many bytes.
fn allocations(case: Case, messages: u64, programs: &Path) -> anyhow::Result<(u64, u64)> {
    let mut counting = Command::new(programs.join("allocations"));
    counting
        .args([case.to_string(), messages.to_string()])
        .env("RUST_BACKTRACE", "0");
    let output = counting.output().context("`allocations` is not built")?;
    ensure!(
        output.status.success(),
        "{case}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stdout);
    let (count, bytes) = said.trim().split_once(' ').context("two numbers")?;
    Ok((count.parse()?, bytes.parse()?))
}
