//! The synthetic broker on one core, and one consumer on the other.

use std::time::Duration;

use ploomby_benches::{order::SMALL, samples::Samples};

use crate::{
    manner::{EACH, HELD, Manner, PLOOMBY, SOCKET},
    plan::Plan,
    process::{BROKER_CORE, CONSUMER_CORE, Process},
    report::{Report, Section, columns, thousands},
    rounds::Rounds,
};

const KIB: usize = 1024;

/// What is delivered, and how far ahead.
pub(crate) struct Case {
    name: &'static str,
    body: usize,
    prefetch: u16,
}

const CASES: [Case; 4] = [
    Case {
        name: "90 bytes of JSON, prefetch 256",
        body: SMALL,
        prefetch: 256,
    },
    Case {
        name: "90 bytes of JSON, prefetch 1",
        body: SMALL,
        prefetch: 1,
    },
    Case {
        name: "16 KiB of JSON, prefetch 256",
        body: 16 * KIB,
        prefetch: 256,
    },
    Case {
        name: "1 MiB of JSON, prefetch 16",
        body: KIB * KIB,
        prefetch: 16,
    },
];

/// What one run showed.
struct Run {
    rate: f64,
    /// Microseconds of the consumer a message.
    cpu: f64,
    /// How many messages one frame acknowledges.
    together: f64,
    /// Share of its core that the broker took.
    broker: f64,
}

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    for (number, case) in CASES.iter().enumerate() {
        let rounds = Rounds::measure(plan, report, case.name, plan.manners(), async |manner| {
            run(plan, case, manner)
        });
        let rounds = rounds.await;
        report.add(section(case, &rounds));
        if number == 0 {
            // the limit would leave no room to see a difference between the rest
            let bars = rounds
                .samples(|run| run.rate)
                .filter(|(manner, _)| manner.id != SOCKET)
                .map(|(manner, rates)| (manner.name, rates.median()));
            report.plot(
                "Synthetic broker, one core for the consumer",
                bars.collect(),
            );
        }
    }
}

fn run(plan: &Plan, case: &Case, manner: &Manner) -> anyhow::Result<Run> {
    let Case { body, prefetch, .. } = case;
    let arguments = [
        format!("body={body}"),
        format!("warmup={}", plan.warmup().as_millis()),
        format!("until={}", plan.time().as_millis()),
    ];
    let mut broker = Process::start(Some(BROKER_CORE), &plan.programs.join("broker"), arguments)?;
    let mut consumer = start(
        plan,
        manner,
        CONSUMER_CORE,
        &mut broker,
        &[format!("prefetch={prefetch}")],
    )?;
    broker.expect("begin", Some(&mut consumer))?;
    let before = (consumer.cpu()?, broker.cpu()?);
    let end = broker.expect("end", Some(&mut consumer))?;
    let after = (consumer.cpu()?, broker.cpu()?);
    let (acked, seconds, frames, refused) = (end[0], end[1], end[2], end[3]);
    anyhow::ensure!(refused == 0.0, "{refused} messages were refused");
    anyhow::ensure!(acked > 0.0, "no message was acknowledged");
    Ok(Run {
        rate: acked / seconds,
        cpu: micros(after.0 - before.0) / acked,
        together: acked / frames.max(1.0),
        broker: (after.1 - before.1).as_secs_f64() / seconds,
    })
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Starts a consumer of the synthetic broker, once that listens.
pub(crate) fn start(
    plan: &Plan,
    manner: &Manner,
    cores: &str,
    broker: &mut Process,
    arguments: &[String],
) -> anyhow::Result<Process> {
    let port = broker.expect("listening", None)?[0];
    let mut all = vec![
        manner.id.to_owned(),
        format!("amqp://guest:guest@127.0.0.1:{port}"),
        "orders".to_owned(),
    ];
    all.extend_from_slice(arguments);
    let program = plan.program(manner);
    let program = program.ok_or_else(|| anyhow::anyhow!("{} is not built", manner.name))?;
    Process::start(Some(cores), &program, all)
}

fn section(case: &Case, rounds: &Rounds<Run>) -> Section {
    let mut section = Section::new(
        format!("Synthetic broker: {}", case.name),
        "Deliveries acknowledged per second, what each costs the consumer, how many of them one \
         acknowledgement tells of, and how busy the broker's core was.",
        [
            "",
            "best/s",
            "median/s",
            "worst/s",
            "CPU µs a message",
            "messages an ack",
            "broker's core",
        ],
    );
    for (manner, runs) in rounds.each() {
        let of = |value: fn(&Run) -> f64| Samples::new(runs.iter().copied().map(value));
        let mut row = columns(manner.name, &of(|run| run.rate), thousands);
        row.push(format!("{:.2}", of(|run| run.cpu).median()));
        row.push(format!("{:.0}", of(|run| run.together).median()));
        row.push(format!("{:.0} %", of(|run| run.broker).median() * 100.0));
        section.row(row);
    }
    for (other, name) in [
        (HELD, "ploomby / amqprs, acks held"),
        (EACH, "ploomby / amqprs, one ack a message"),
        (SOCKET, "ploomby / the limit"),
    ] {
        section.ratio(name, &rounds.ratios(PLOOMBY, other, |run| run.rate));
    }
    // steadier than the rates where other programs run, too
    let cpu = rounds.ratios(HELD, PLOOMBY, |run| run.cpu);
    section.ratio("CPU: amqprs, acks held / ploomby", &cpu);
    section
}
