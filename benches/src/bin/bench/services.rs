//! A service with many queues on a RabbitMQ: its start, and what it costs while nothing comes.

use std::{process, thread};

use ploomby_benches::{environment, samples::Samples};

use crate::{
    flood,
    manner::{Manner, PLOOMBY, QUEUES},
    plan::Plan,
    process::Process,
    rabbit::{QueueType, Rabbit},
    report::{Report, Section, columns},
    rounds::Rounds,
};

/// What a service costs in a second.
struct Idle {
    /// Milliseconds.
    cpu: f64,
    wakes: f64,
    /// KiB.
    memory: f64,
}

pub(crate) async fn measure(plan: &Plan, url: &str, report: &mut Report) -> anyhow::Result<()> {
    let rabbit = Rabbit::connect(url).await?;
    let version = environment::broker(&rabbit.host, rabbit.port)?;
    let service = Service { plan, rabbit, url };
    service.start(&version, report).await;
    for (kind, queues) in [(QueueType::Classic, 200), (QueueType::Quorum, 100)] {
        let queues = queues.min(plan.queues());
        service.idle(&version, kind, queues, report).await;
    }
    service.rabbit.close().await
}

struct Service<'a> {
    plan: &'a Plan,
    rabbit: Rabbit,
    url: &'a str,
}

impl Service<'_> {
    async fn start(&self, version: &str, report: &mut Report) {
        let queues = self.plan.queues();
        let title = format!("{version}: start with {queues} queues");
        let rounds = Rounds::measure_each(
            report,
            &title,
            |_| self.plan.rounds(),
            self.plan.of(&QUEUES),
            async |manner| {
                let (name, kind) = (name(), QueueType::Classic);
                let started = self.consumer(manner, &name, kind, queues);
                let started = started.map(|(_, seconds)| seconds);
                self.remove(&name, queues).await?;
                started
            },
        );
        let rounds = rounds.await;
        let mut section = Section::new(
            title,
            "Seconds from the start of the program until all queues, and a dead-letter queue beside each, are declared and \
             consumed. By hand all queues are declared side by side, too, on one connection.",
            ["", "worst s", "median s", "best s"],
        );
        for (manner, seconds) in rounds.samples(|seconds| *seconds) {
            section.row(columns(manner.name, &seconds, |seconds| {
                format!("{seconds:.2}")
            }));
        }
        for manner in QUEUES.iter().filter(|manner| manner.id != PLOOMBY) {
            let ratios = rounds.ratios(PLOOMBY, manner.id, |seconds| *seconds);
            section.ratio(&format!("ploomby / {}", manner.name), &ratios);
        }
        report.add(section);
    }

    async fn idle(&self, version: &str, kind: QueueType, queues: usize, report: &mut Report) {
        let kind_name = kind.name();
        let title = format!("{version}: {queues} {kind_name} queues and no message");
        let rounds = Rounds::measure_each(
            report,
            &title,
            |_| 1,
            self.plan.of(&QUEUES),
            async |manner| {
                let name = name();
                let idle = match self.consumer(manner, &name, kind, queues) {
                    Ok((consumer, _)) => self.watch(&consumer),
                    Err(error) => Err(error),
                };
                self.remove(&name, queues).await?;
                idle
            },
        );
        let rounds = rounds.await;
        let mut section = Section::new(
            title,
            &format!(
                "What the consumer takes of a processor, how often one of its threads is woken, and its memory: {} s, once.",
                self.plan.idle().as_secs()
            ),
            ["", "CPU ms/s", "woken/s", "MiB"],
        );
        for (manner, runs) in rounds.each() {
            let of = |value: fn(&Idle) -> f64| Samples::new(runs.iter().copied().map(value));
            section.row(vec![
                manner.name.to_owned(),
                format!("{:.2}", of(|idle| idle.cpu).median()),
                format!("{:.1}", of(|idle| idle.wakes).median()),
                format!("{:.1}", of(|idle| idle.memory).median() / 1024.0),
            ]);
        }
        report.add(section);
    }

    fn watch(&self, consumer: &Process) -> anyhow::Result<Idle> {
        // what the start has left to do
        thread::sleep(self.plan.idle() / 10);
        let before = (consumer.cpu()?, consumer.sleeps()?);
        thread::sleep(self.plan.idle());
        let seconds = self.plan.idle().as_secs_f64();
        Ok(Idle {
            cpu: flood::micros(consumer.cpu()? - before.0) / 1e3 / seconds,
            wakes: (consumer.sleeps()? - before.1) as f64 / seconds,
            memory: consumer.peak_memory()?,
        })
    }

    /// One that consumes so many queues, and how many seconds that took.
    fn consumer(
        &self,
        manner: &Manner,
        name: &str,
        kind: QueueType,
        queues: usize,
    ) -> anyhow::Result<(Process, f64)> {
        let program = self.plan.program(manner);
        let program = program.ok_or_else(|| anyhow::anyhow!("{} is not built", manner.name))?;
        let arguments = [
            manner.id.to_owned(),
            self.url.to_owned(),
            name.to_owned(),
            format!("queues={queues}"),
            format!("quorum={}", matches!(kind, QueueType::Quorum)),
        ];
        let mut consumer = Process::start(None, &program, arguments)?;
        let seconds = consumer.expect("started", None)?[0];
        Ok((consumer, seconds))
    }

    async fn remove(&self, name: &str, queues: usize) -> anyhow::Result<()> {
        for number in 0..queues {
            let queue = match number {
                0 => name.to_owned(),
                _ => format!("{name}{number}"),
            };
            self.rabbit.remove(&queue).await?;
        }
        Ok(())
    }
}

/// Of the first queue; the others have a number behind it.
fn name() -> String {
    format!("ploomby-bench-{}-", process::id())
}
