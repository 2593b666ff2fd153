//! A queue with little to do, beside one whose handlers compute.

use ploomby_benches::samples::Samples;

use crate::{
    flood,
    manner::{INLINE, LAPIN_EACH, Manner, PLOOMBY},
    plan::Plan,
    process::Process,
    report::{Report, Section, thousands},
    rounds::Rounds,
};

const ALL_CORES: &str = "0,1";
const LIGHT: &str = "light";
/// 100 a second.
const EVERY_MICROS: u32 = 10_000;
const WORK_MICROS: u32 = 5000;

/// What one run showed.
struct Run {
    heavy: f64,
    /// Milliseconds of a message of the light queue, from its delivery to its acknowledgement.
    p50: f64,
    p99: f64,
}

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    for consumers in [1, 2, 4] {
        let title =
            format!("A light queue beside handlers of 5 ms, {consumers} of their consumers");
        let rounds = Rounds::measure_each(
            report,
            &title,
            |_| plan.rounds(),
            plan.of(&INLINE),
            async |manner| run(plan, manner, consumers),
        );
        let rounds = rounds.await;
        report.add(section(title, &rounds));
    }
}

fn run(plan: &Plan, manner: &Manner, consumers: u32) -> anyhow::Result<Run> {
    let arguments = [
        format!("warmup={}", plan.warmup().as_millis()),
        // a hundredth of its messages are few
        format!("until={}", (plan.time() * 3).as_millis()),
        format!("every={EVERY_MICROS}"),
        format!("light={LIGHT}"),
    ];
    let mut broker = Process::start(None, &plan.programs.join("broker"), arguments)?;
    let arguments = [
        "prefetch=64".to_owned(),
        format!("work={WORK_MICROS}"),
        format!("consumers={consumers}"),
        format!("light={LIGHT}"),
    ];
    let mut consumer = flood::start(plan, manner, ALL_CORES, &mut broker, &arguments)?;
    broker.expect("begin", Some(&mut consumer))?;
    let end = broker.expect("end", Some(&mut consumer))?;
    let latency = broker.expect("latency", Some(&mut consumer))?;
    Ok(Run {
        heavy: end[0] / end[1],
        p50: latency[0] / 1e3,
        p99: latency[1] / 1e3,
    })
}

fn section(title: String, rounds: &Rounds<Run>) -> Section {
    let mut section = Section::new(
        title,
        "On the synthetic broker, with two cores for all: 100 messages a second to the light queue, whose handler does \
         nothing, and as many to the other as its handlers take, which compute for 5 ms. Messages of both per second, \
         and milliseconds from a delivery of the light queue to its acknowledgement.",
        ["", "messages/s", "p50 ms", "p99 ms", "worst p99 ms"],
    );
    for (manner, runs) in rounds.each() {
        let of = |value: fn(&Run) -> f64| Samples::new(runs.iter().copied().map(value));
        section.row(vec![
            manner.name.to_owned(),
            thousands(of(|run| run.heavy).median()),
            format!("{:.1}", of(|run| run.p50).median()),
            format!("{:.1}", of(|run| run.p99).median()),
            format!("{:.1}", of(|run| run.p99).best()),
        ]);
    }
    let rates = rounds.ratios(PLOOMBY, LAPIN_EACH, |run| run.heavy);
    section.ratio("messages: ploomby / lapin 4", &rates);
    let late = rounds.ratios(LAPIN_EACH, PLOOMBY, |run| run.p99);
    section.ratio("p99: lapin 4 / ploomby", &late);
    section
}
