//! A full queue of a RabbitMQ, which shares the machine with its consumer.

use ploomby_benches::{environment, order::SMALL};

use crate::{
    manner::{EACH, HELD, Manner, PLOOMBY, SOCKET},
    plan::Plan,
    process::Process,
    rabbit::{QueueType, Rabbit},
    report::{Report, Section, columns, thousands},
    rounds::Rounds,
};

pub(crate) async fn measure(plan: &Plan, url: &str, report: &mut Report) -> anyhow::Result<()> {
    let rabbit = Rabbit::connect(url).await?;
    let version = environment::broker(&rabbit.host, rabbit.port)?;
    for kind in [QueueType::Classic, QueueType::Quorum] {
        drain(plan, &rabbit, url, &version, kind, report).await;
    }
    rabbit.close().await
}

async fn drain(
    plan: &Plan,
    rabbit: &Rabbit,
    url: &str,
    version: &str,
    kind: QueueType,
    report: &mut Report,
) {
    let what = format!("{version}, {} queue", kind.name());
    // the socket knows one user alone
    let manners = plan.manners().filter(|manner| manner.id != SOCKET);
    let rates = Rounds::measure(plan, report, &what, manners, async |manner| {
        let queue = format!("ploomby-bench-{}", std::process::id());
        rabbit.fill(&queue, kind, plan.drained()).await?;
        let drained = run(plan, manner, url, &queue);
        rabbit.remove(&queue).await?;
        drained
    });
    let rates = rates.await;
    report.add(section(plan, &what, &rates));
    let medians = rates.samples(|rate| *rate);
    let bars = medians.map(|(manner, rates)| (manner.name, rates.median()));
    report.plot(&what, bars.collect());
}

fn run(plan: &Plan, manner: &Manner, url: &str, queue: &str) -> anyhow::Result<f64> {
    let messages = plan.drained();
    let program = plan.program(manner);
    let program = program.ok_or_else(|| anyhow::anyhow!("{} is not built", manner.name))?;
    let arguments = [
        manner.id.to_owned(),
        url.to_owned(),
        queue.to_owned(),
        "prefetch=256".to_owned(),
        format!("messages={messages}"),
    ];
    let mut consumer = Process::start(None, &program, arguments)?;
    let seconds = consumer.expect("drained", None)?[0];
    Ok((messages - 1) as f64 / seconds)
}

fn section(plan: &Plan, what: &str, rates: &Rounds<f64>) -> Section {
    let mut section = Section::new(
        what.to_owned(),
        &format!(
            "A durable queue with {} persistent messages of {SMALL} bytes, prefetch 256: messages handled \
             per second from the first to the last. The broker shares all cores with the consumer.",
            thousands(plan.drained() as f64)
        ),
        ["", "best/s", "median/s", "worst/s"],
    );
    for (manner, rates) in rates.samples(|rate| *rate) {
        section.row(columns(manner.name, &rates, thousands));
    }
    for (other, name) in [
        (HELD, "ploomby / amqprs, acks held"),
        (EACH, "ploomby / amqprs, one ack a message"),
    ] {
        section.ratio(name, &rates.ratios(PLOOMBY, other, |rate| *rate));
    }
    section
}
