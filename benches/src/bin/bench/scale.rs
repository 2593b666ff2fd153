//! A larger window, more queues, more cores, more messages.

use ploomby_benches::samples::Samples;

use crate::{
    flood,
    manner::{self, HELD, PLOOMBY},
    plan::Plan,
    process::{BROKER_CORE, CONSUMER_CORE, Process},
    report::{Report, Section, columns, thousands},
};

const BOTH_CORES: &str = "0,1";
const WORK_MICROS: u32 = 1000;

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    prefetch(plan, report)?;
    queues(plan, report)?;
    cores(plan, report)?;
    memory(plan, report)
}

fn prefetch(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let section = Section::new(
        "The prefetch".to_owned(),
        "ploomby on one core, on the synthetic broker, which is as near as can be: across a network a \
         small prefetch costs more.",
        ["prefetch", "best/s", "median/s", "worst/s"],
    );
    each(plan, report, section, "prefetch", [1, 16, 64, 256, 1024])
}

fn queues(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let section = Section::new(
        "Several queues in one process".to_owned(),
        "ploomby on one core, on the synthetic broker, each queue with a prefetch of 256: deliveries of \
         all queues together.",
        ["queues", "best/s", "median/s", "worst/s"],
    );
    each(plan, report, section, "queues", [1, 2, 4, 8])
}

/// A row for each value of an argument of ploomby.
fn each<const COUNT: usize>(
    plan: &Plan,
    report: &mut Report,
    mut section: Section,
    argument: &str,
    values: [u32; COUNT],
) -> anyhow::Result<()> {
    let rates = interleaved(plan, COUNT, |at| {
        let argument = format!("{argument}={}", values[at]);
        eprintln!("scale: {argument}");
        rate(plan, CONSUMER_CORE, &[argument])
    })?;
    for (value, rates) in values.iter().zip(&rates) {
        let rates = Samples::new(rates.iter().copied());
        section.row(columns(&value.to_string(), &rates, thousands));
    }
    report.add(section);
    Ok(())
}

fn cores(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let mut section = Section::new(
        "Handlers that compute".to_owned(),
        "ploomby with a handler that computes for 1 ms and never waits, prefetch 8, on the synthetic \
         broker, which shares the first core. Each consumer of a queue runs on a task of its own.",
        ["", "best/s", "median/s", "worst/s"],
    );
    let cases = [
        ("one core, 1 consumer", CONSUMER_CORE, 1),
        ("one core, 2 consumers", CONSUMER_CORE, 2),
        ("two cores, 1 consumer", BOTH_CORES, 1),
        ("two cores, 2 consumers", BOTH_CORES, 2),
    ];
    let rates = interleaved(plan, cases.len(), |at| {
        let (name, cores, consumers) = cases[at];
        eprintln!("scale: {name}");
        let arguments = [
            format!("work={WORK_MICROS}"),
            format!("consumers={consumers}"),
            // acks come each half window: a large one would be coarse
            "prefetch=8".to_owned(),
        ];
        rate(plan, cores, &arguments)
    })?;
    for ((name, ..), rates) in cases.iter().zip(&rates) {
        let rates = Samples::new(rates.iter().copied());
        section.row(columns(name, &rates, thousands));
    }
    if let [one, .., two] = &rates[..] {
        let ratios: Vec<_> = two.iter().zip(one).map(|(two, one)| two / one).collect();
        section.ratio("two cores, 2 consumers / one core, 1 consumer", &ratios);
    }
    report.add(section);
    Ok(())
}

fn memory(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let messages = if plan.is_quick { 100_000 } else { 1_000_000 };
    let mut section = Section::new(
        "Memory beside a long queue".to_owned(),
        "The most memory that a consumer has had after the first moments, and after all messages of a \
         queue that never gets empty. Prefetch 256.",
        ["", "messages", "KiB at first", "KiB at the end"],
    );
    for id in [HELD, PLOOMBY] {
        let manner = manner::find(id);
        eprintln!("scale: memory of {}", manner.name);
        let arguments = ["warmup=20".to_owned(), format!("messages={messages}")];
        let mut broker =
            Process::start(Some(BROKER_CORE), &plan.programs.join("broker"), arguments)?;
        let mut consumer = flood::start(plan, manner, CONSUMER_CORE, &mut broker, &[])?;
        broker.expect("begin", Some(&mut consumer))?;
        let first = consumer.peak_memory()?;
        broker.expect("end", Some(&mut consumer))?;
        let last = consumer.peak_memory()?;
        section.row(vec![
            manner.name.to_owned(),
            thousands(f64::from(messages)),
            thousands(first),
            thousands(last),
        ]);
    }
    report.add(section);
    Ok(())
}

/// The rates of each of them, round by round.
fn interleaved(
    plan: &Plan,
    count: usize,
    mut run: impl FnMut(usize) -> anyhow::Result<f64>,
) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut rates = vec![Vec::new(); count];
    for _ in 0..plan.rounds() {
        for (at, rates) in rates.iter_mut().enumerate() {
            rates.push(run(at)?);
        }
    }
    Ok(rates)
}

/// Deliveries per second of ploomby.
fn rate(plan: &Plan, cores: &str, arguments: &[String]) -> anyhow::Result<f64> {
    let broker_arguments = [
        format!("warmup={}", plan.warmup().as_millis()),
        format!("until={}", plan.time().as_millis()),
    ];
    let program = plan.programs.join("broker");
    let mut broker = Process::start(Some(BROKER_CORE), &program, broker_arguments)?;
    let mut consumer = flood::start(plan, manner::find(PLOOMBY), cores, &mut broker, arguments)?;
    broker.expect("begin", Some(&mut consumer))?;
    let end = broker.expect("end", Some(&mut consumer))?;
    Ok(end[0] / end[1])
}
