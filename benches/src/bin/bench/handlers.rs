//! Handlers that wait, that end in another order than they began, and that fail.

use ploomby_benches::samples::Samples;

use crate::{
    flood,
    manner::{AMQPRS_SPAWNED, LAPIN_SPAWNED, Manner, PLOOMBY, SPAWNED},
    plan::Plan,
    process::{BROKER_CORE, CONSUMER_CORE, Process},
    report::{Report, Section, columns, thousands},
    rounds::Rounds,
};

/// One thing that handlers do.
struct Case {
    name: &'static str,
    text: &'static str,
    /// Of `consume`.
    arguments: &'static [&'static str],
    /// What amqprs by hand is not asked for.
    is_for_lapin_alone: bool,
}

const CASES: [Case; 6] = [
    Case {
        name: "Handlers that wait 100 ms, prefetch 256",
        text: "",
        arguments: &["prefetch=256", "wait=100000"],
        is_for_lapin_alone: false,
    },
    Case {
        name: "Handlers that wait 100 ms, prefetch 1,000",
        text: "",
        arguments: &["prefetch=1000", "wait=100000"],
        is_for_lapin_alone: false,
    },
    Case {
        name: "Handlers that wait 100 ms, prefetch 10,000",
        text: "",
        arguments: &["prefetch=10000", "wait=100000"],
        is_for_lapin_alone: false,
    },
    Case {
        name: "Handlers that end in another order, prefetch 1,000",
        text: " Each waits for another time up to 20 ms.",
        arguments: &["prefetch=1000", "wait=10000", "uneven=true"],
        is_for_lapin_alone: false,
    },
    Case {
        name: "Handlers that fail: dead letters, prefetch 256",
        text: " A copy of each message, with the error in its headers, is published and confirmed before the \
               message is acknowledged.",
        arguments: &["prefetch=256", "fails=dead-letter"],
        is_for_lapin_alone: true,
    },
    Case {
        name: "Handlers that fail: retries, prefetch 256",
        text: " The same, to the queue where it waits for the next attempt.",
        arguments: &["prefetch=256", "fails=retry"],
        is_for_lapin_alone: true,
    },
];

/// What one run showed.
pub(crate) struct Run {
    pub(crate) rate: f64,
    /// Microseconds of the consumer a message.
    pub(crate) cpu: f64,
    /// The most memory that it had, in KiB.
    pub(crate) memory: f64,
}

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    for case in &CASES {
        let manners = plan.of(&SPAWNED);
        let manners = manners.filter(|m| !case.is_for_lapin_alone || m.id != AMQPRS_SPAWNED);
        let rounds = Rounds::measure_each(
            report,
            case.name,
            |_| plan.rounds(),
            manners,
            async |manner| run(plan, manner, CONSUMER_CORE, case),
        );
        let rounds = rounds.await;
        let text = format!(
            "On the synthetic broker, with one core for the consumer: messages per second, what each costs it, and \
             the most memory that it had.{}",
            case.text
        );
        report.add(section(case.name.to_owned(), &text, &rounds));
    }
}

fn run(plan: &Plan, manner: &Manner, cores: &str, case: &Case) -> anyhow::Result<Run> {
    let broker = [
        format!("warmup={}", plan.warmup().as_millis()),
        format!("until={}", plan.time().as_millis()),
    ];
    let arguments: Vec<_> = case.arguments.iter().map(ToString::to_string).collect();
    consumed(plan, manner, cores, &broker, &arguments)
}

/// What a consumer does in the time of the broker.
pub(crate) fn consumed(
    plan: &Plan,
    manner: &Manner,
    cores: &str,
    broker: &[String],
    arguments: &[String],
) -> anyhow::Result<Run> {
    let mut broker = Process::start(Some(BROKER_CORE), &plan.programs.join("broker"), broker)?;
    let mut consumer = flood::start(plan, manner, cores, &mut broker, arguments)?;
    broker.expect("begin", Some(&mut consumer))?;
    let before = consumer.cpu()?;
    let end = broker.expect("end", Some(&mut consumer))?;
    let cpu = consumer.cpu()? - before;
    let (acked, seconds) = (end[0], end[1]);
    anyhow::ensure!(acked > 0.0, "no message was acknowledged");
    Ok(Run {
        rate: acked / seconds,
        cpu: flood::micros(cpu) / acked,
        memory: consumer.peak_memory()?,
    })
}

/// Rate, processor time and memory.
pub(crate) fn section(title: String, text: &str, rounds: &Rounds<Run>) -> Section {
    let columns_of = [
        "",
        "best/s",
        "median/s",
        "worst/s",
        "CPU µs a message",
        "MiB",
    ];
    let mut section = Section::new(title, text, columns_of);
    for (manner, runs) in rounds.each() {
        let of = |value: fn(&Run) -> f64| Samples::new(runs.iter().copied().map(value));
        let mut row = columns(manner.name, &of(|run| run.rate), thousands);
        row.push(format!("{:.1}", of(|run| run.cpu).median()));
        row.push(format!("{:.1}", of(|run| run.memory).median() / 1024.0));
        section.row(row);
    }
    for (other, name) in [
        (AMQPRS_SPAWNED, "amqprs, a task a message"),
        (LAPIN_SPAWNED, "lapin 4, a task a message"),
    ] {
        let rates = rounds.ratios(PLOOMBY, other, |run| run.rate);
        section.ratio(&format!("ploomby / {name}"), &rates);
        let cpu = rounds.ratios(other, PLOOMBY, |run| run.cpu);
        section.ratio(&format!("CPU: {name} / ploomby"), &cpu);
    }
    section
}
