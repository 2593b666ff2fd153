//! From the delivery of a lone message to its acknowledgement.

use ploomby_benches::samples::Samples;

use crate::{
    flood,
    manner::{EACH, Manner, PLOOMBY, SOCKET},
    plan::{Plan, order},
    process::{BROKER_CORE, CONSUMER_CORE, Process},
    report::{Report, Section, columns},
};

const EVERY_MICROS: u32 = 1000;

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    // the socket waits for half a window
    let manners: Vec<_> = plan.manners().filter(|m| m.id != SOCKET).collect();
    let mut runs = vec![Vec::new(); manners.len()];
    for round in 0..plan.rounds() {
        for at in order(round, manners.len()) {
            let manner = manners[at];
            eprintln!("latency, round {}: {}", round + 1, manner.name);
            match run(plan, manner) {
                Ok(run) => runs[at].push(run),
                Err(error) => report.fault(manner.name, "latency", &error),
            }
        }
    }

    let mut section = Section::new(
        "A lone message: from delivery to acknowledgement".to_owned(),
        "1,000 messages a second from the synthetic broker, prefetch 256. The broker takes the time, \
         from before it writes a delivery until it has read the acknowledgement, and never sleeps. \
         Microseconds; the best is the lowest.",
        [
            "",
            "p50: worst",
            "median",
            "best",
            "p99: worst",
            "median",
            "best",
        ],
    );
    for (manner, runs) in manners
        .iter()
        .zip(&runs)
        .filter(|(_, runs)| !runs.is_empty())
    {
        let show = |micros: f64| format!("{micros:.1}");
        let mut row = columns(manner.name, &of(runs, 0), show);
        row.extend(columns("", &of(runs, 1), show).into_iter().skip(1));
        section.row(row);
    }
    let of = |id| {
        let at = manners.iter().position(|manner: &&Manner| manner.id == id);
        at.map_or(&[][..], |at| &runs[at])
    };
    for (at, name) in [(0, "p50"), (1, "p99")] {
        let pairs = of(PLOOMBY).iter().zip(of(EACH));
        let ratios: Vec<_> = pairs.map(|(a, b)| a[at] / b[at]).collect();
        section.ratio(
            &format!("ploomby / amqprs, one ack a message: {name}"),
            &ratios,
        );
    }
    report.add(section);
    Ok(())
}

fn of(runs: &[[f64; 2]], at: usize) -> Samples {
    Samples::new(runs.iter().map(|run| run[at]))
}

/// The median and the 99th percentile, in microseconds.
fn run(plan: &Plan, manner: &Manner) -> anyhow::Result<[f64; 2]> {
    let arguments = [
        format!("every={EVERY_MICROS}"),
        format!("warmup={}", plan.warmup().as_millis()),
        format!("until={}", plan.time().as_millis()),
    ];
    let mut broker = Process::start(Some(BROKER_CORE), &plan.programs.join("broker"), arguments)?;
    let mut consumer = flood::start(plan, manner, CONSUMER_CORE, &mut broker, &[])?;
    broker.expect("begin", Some(&mut consumer))?;
    broker.expect("end", Some(&mut consumer))?;
    let latency = broker.expect("latency", Some(&mut consumer))?;
    Ok([latency[0], latency[1]])
}
