//! Many messages, and large ones, to a queue of a RabbitMQ that is there, and to one that is not.

use ploomby_benches::{environment, samples::Samples};

use crate::{
    flood,
    manner::{LAPIN_PRODUCE, Manner, PLOOMBY, PRODUCERS},
    plan::Plan,
    process::Process,
    rabbit::{QueueType, Rabbit},
    report::{Report, Section, columns, thousands},
    rounds::Rounds,
};

struct Case {
    name: &'static str,
    text: &'static str,
    messages: usize,
    arguments: &'static [&'static str],
    is_missing: bool,
}

const CASES: [Case; 3] = [
    Case {
        name: "100,000 messages at once",
        text: "`send_all` of 100,000 small messages, and by hand with 1,024 unconfirmed ones",
        messages: 100_000,
        arguments: &[],
        is_missing: false,
    },
    Case {
        name: "100,000 messages at once to a queue that is missing",
        text: "The same, to a queue that is not there: each message comes back, and its error is told",
        messages: 100_000,
        arguments: &[],
        is_missing: true,
    },
    Case {
        name: "10 MB by 4 callers",
        text: "Bodies of 10 MB, each sent by one of four callers that wait for its confirm",
        messages: 40,
        arguments: &["body=10000000", "callers=4"],
        is_missing: false,
    },
];

/// What one run showed.
struct Run {
    seconds: f64,
    /// Seconds of the processor.
    cpu: f64,
    /// KiB.
    memory: f64,
}

pub(crate) async fn measure(plan: &Plan, url: &str, report: &mut Report) -> anyhow::Result<()> {
    let rabbit = Rabbit::connect(url).await?;
    let version = environment::broker(&rabbit.host, rabbit.port)?;
    for case in &CASES {
        let title = format!("{version}: {}", case.name);
        // amqprs by hand is told of nothing that comes back
        let manners = plan.of(&PRODUCERS);
        let manners =
            manners.filter(|m| !case.is_missing || [PLOOMBY, LAPIN_PRODUCE].contains(&m.id));
        let rounds = Rounds::measure_each(
            report,
            &title,
            |_| plan.rounds(),
            manners,
            async |manner| {
                let queue = format!("ploomby-bench-{}", std::process::id());
                if case.is_missing {
                    return run(plan, manner, url, &queue, case);
                }
                rabbit.fill(&queue, QueueType::Classic, 0).await?;
                let run = run(plan, manner, url, &queue, case);
                rabbit.remove(&queue).await?;
                run
            },
        );
        let rounds = rounds.await;
        report.add(section(title, case, &rounds));
    }
    rabbit.close().await
}

fn run(plan: &Plan, manner: &Manner, url: &str, queue: &str, case: &Case) -> anyhow::Result<Run> {
    let program = plan.program(manner);
    let program = program.ok_or_else(|| anyhow::anyhow!("{} is not built", manner.name))?;
    let mut arguments = vec![
        manner.id.to_owned(),
        url.to_owned(),
        queue.to_owned(),
        format!("messages={}", case.messages),
    ];
    arguments.extend(case.arguments.iter().map(ToString::to_string));
    let mut producer = Process::start(None, &program, arguments)?;
    let said = producer.expect("produced", None)?;
    let (seconds, failed) = (said[0], said[1]);
    let expected = if case.is_missing { case.messages } else { 0 };
    anyhow::ensure!(
        failed == expected as f64,
        "{failed} messages did not arrive"
    );
    Ok(Run {
        seconds,
        cpu: flood::micros(producer.cpu()?) / 1e6,
        memory: producer.peak_memory()?,
    })
}

fn section(title: String, case: &Case, rounds: &Rounds<Run>) -> Section {
    let text = format!(
        "{}. Messages per second until the last was confirmed, processor time of the program, and the most memory \
         that it had.",
        case.text
    );
    let columns_of = ["", "best/s", "median/s", "worst/s", "CPU s", "MiB"];
    let mut section = Section::new(title, &text, columns_of);
    for (manner, runs) in rounds.each() {
        let of = |value: &dyn Fn(&Run) -> f64| Samples::new(runs.iter().copied().map(value));
        let rates = of(&|run| case.messages as f64 / run.seconds);
        let show = |rate| match case.messages {
            0..1000 => format!("{rate:.1}"),
            _ => thousands(rate),
        };
        let mut row = columns(manner.name, &rates, show);
        row.push(format!("{:.2}", of(&|run| run.cpu).median()));
        row.push(format!("{:.1}", of(&|run| run.memory).median() / 1024.0));
        section.row(row);
    }
    for (other, name) in [("amqprs", "amqprs"), (LAPIN_PRODUCE, "lapin 4")] {
        let rates = rounds.ratios(other, PLOOMBY, |run| run.seconds);
        section.ratio(&format!("ploomby / {name}"), &rates);
        let cpu = rounds.ratios(other, PLOOMBY, |run| run.cpu);
        section.ratio(&format!("CPU: {name} / ploomby"), &cpu);
    }
    section
}
