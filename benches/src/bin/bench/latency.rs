//! From the delivery of a lone message to its acknowledgement.

use ploomby_benches::samples::Samples;

use crate::{
    flood,
    manner::{EACH, Manner, PLOOMBY, SOCKET},
    plan::Plan,
    process::{BROKER_CORE, CONSUMER_CORE, Process},
    report::{Report, Section, columns},
    rounds::Rounds,
};

const EVERY_MICROS: u32 = 1000;

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    // the socket waits for half a window
    let manners = plan.manners().filter(|manner| manner.id != SOCKET);
    let rounds = Rounds::measure(plan, report, "latency", manners, async |manner| {
        run(plan, manner)
    });
    let rounds = rounds.await;

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
    for (manner, runs) in rounds.each() {
        let of = |at: usize| Samples::new(runs.iter().map(|run| run[at]));
        let show = |micros: f64| format!("{micros:.1}");
        let mut row = columns(manner.name, &of(0), show);
        row.extend(columns("", &of(1), show).into_iter().skip(1));
        section.row(row);
    }
    for (at, name) in [(0, "p50"), (1, "p99")] {
        section.ratio(
            &format!("ploomby / amqprs, one ack a message: {name}"),
            &rounds.ratios(PLOOMBY, EACH, |run: &[f64; 2]| run[at]),
        );
    }
    report.add(section);
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
