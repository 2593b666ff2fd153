//! A full queue of a RabbitMQ, which shares the machine with its consumer.

use ploomby_benches::{environment, order::SMALL, samples::Samples};

use crate::{
    manner::{EACH, HELD, Manner, PLOOMBY, SOCKET},
    plan::{Plan, order},
    process::Process,
    rabbit::{QueueType, Rabbit},
    report::{Report, Section, columns, thousands},
};

pub(crate) async fn measure(plan: &Plan, url: &str, report: &mut Report) -> anyhow::Result<()> {
    let rabbit = Rabbit::connect(url).await?;
    let version = environment::broker(&rabbit.host, rabbit.port)?;
    for kind in [QueueType::Classic, QueueType::Quorum] {
        let measured = drain(plan, &rabbit, url, &version, kind, report).await;
        if let Err(error) = measured {
            report.fault(kind.name(), &version, &error);
        }
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
) -> anyhow::Result<()> {
    let what = format!("{version}, {} queue", kind.name());
    // the socket knows one user alone
    let manners: Vec<_> = plan.manners().filter(|m| m.id != SOCKET).collect();
    let mut rates = vec![Vec::new(); manners.len()];
    for round in 0..plan.rounds() {
        for at in order(round, manners.len()) {
            let manner = manners[at];
            eprintln!("{what}, round {}: {}", round + 1, manner.name);
            let queue = format!("ploomby-bench-{}", std::process::id());
            rabbit.fill(&queue, kind, plan.drained()).await?;
            let drained = run(plan, manner, url, &queue);
            rabbit.remove(&queue).await?;
            match drained {
                Ok(rate) => rates[at].push(rate),
                Err(error) => report.fault(manner.name, &what, &error),
            }
        }
    }
    report.add(section(plan, &what, &manners, &rates));
    let medians = manners
        .iter()
        .zip(&rates)
        .filter(|(_, rates)| !rates.is_empty());
    let bars = medians.map(|(manner, rates)| (manner.name, Samples::new(rates.clone()).median()));
    report.plot(&what, bars.collect());
    Ok(())
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

fn section(plan: &Plan, what: &str, manners: &[&Manner], rates: &[Vec<f64>]) -> Section {
    let mut section = Section::new(
        what.to_owned(),
        &format!(
            "A durable queue with {} persistent messages of {SMALL} bytes, prefetch 256: messages handled \
             per second from the first to the last. The broker shares all cores with the consumer.",
            thousands(plan.drained() as f64)
        ),
        ["", "best/s", "median/s", "worst/s"],
    );
    for (manner, rates) in manners
        .iter()
        .zip(rates)
        .filter(|(_, rates)| !rates.is_empty())
    {
        section.row(columns(
            manner.name,
            &Samples::new(rates.clone()),
            thousands,
        ));
    }
    let of = |id| {
        let at = manners.iter().position(|manner| manner.id == id);
        at.map_or(&[][..], |at| &rates[at])
    };
    for (other, name) in [
        (HELD, "ploomby / amqprs, acks held"),
        (EACH, "ploomby / amqprs, one ack a message"),
    ] {
        let ratios: Vec<_> = of(PLOOMBY)
            .iter()
            .zip(of(other))
            .map(|(a, b)| a / b)
            .collect();
        section.ratio(name, &ratios);
    }
    section
}
