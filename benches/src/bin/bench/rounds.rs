use ploomby_benches::samples::Samples;

use crate::{
    manner::{CLOSE, Manner},
    plan::Plan,
    report::Report,
};

/// What each manner showed, measured side by side: a busy minute hits them all.
pub(crate) struct Rounds<T>(Vec<Measured<T>>);

struct Measured<T> {
    manner: &'static Manner,
    /// Each with the number of its round: one may have failed.
    runs: Vec<(usize, T)>,
}

impl<T> Rounds<T> {
    /// Runs each of them once in a round; `what` names it to whoever watches.
    pub(crate) async fn measure(
        plan: &Plan,
        report: &mut Report,
        what: &str,
        manners: impl Iterator<Item = &'static Manner>,
        run: impl AsyncFn(&'static Manner) -> anyhow::Result<T>,
    ) -> Self {
        let rounds = |manner: &Manner| match CLOSE.contains(&manner.id) {
            true => plan.rounds_of_close(),
            false => plan.rounds(),
        };
        Self::measure_each(report, what, rounds, manners, run).await
    }

    /// The same, each so many times.
    pub(crate) async fn measure_each(
        report: &mut Report,
        what: &str,
        rounds: impl Fn(&Manner) -> usize,
        manners: impl Iterator<Item = &'static Manner>,
        run: impl AsyncFn(&'static Manner) -> anyhow::Result<T>,
    ) -> Self {
        let runs = |manner| Measured {
            manner,
            runs: Vec::new(),
        };
        let mut all: Vec<_> = manners.map(runs).collect();
        let most = all.iter().map(|one| rounds(one.manner)).max();
        for round in 0..most.unwrap_or(0) {
            let is_measured = |one: &&mut Measured<T>| round < rounds(one.manner);
            let mut among: Vec<_> = all.iter_mut().filter(is_measured).collect();
            for at in order(round, among.len()) {
                let Measured { manner, runs } = &mut *among[at];
                eprintln!("{what}, round {}: {}", round + 1, manner.name);
                match run(manner).await {
                    Ok(run) => runs.push((round, run)),
                    Err(error) => report.fault(manner.name, what, &error),
                }
            }
        }
        Self(all)
    }

    /// Those that could be measured, with what all their rounds showed.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'static Manner, Vec<&T>)> {
        let measured = self.0.iter().filter(|one| !one.runs.is_empty());
        measured.map(|one| (one.manner, one.runs.iter().map(|(_, run)| run).collect()))
    }

    /// The same, of one value.
    pub(crate) fn samples(
        &self,
        value: impl Fn(&T) -> f64,
    ) -> impl Iterator<Item = (&'static Manner, Samples)> {
        self.each()
            .map(move |(manner, runs)| (manner, Samples::new(runs.into_iter().map(&value))))
    }

    /// How many times the other's value it was, in each round of both.
    pub(crate) fn ratios(&self, one: &str, other: &str, value: impl Fn(&T) -> f64) -> Vec<f64> {
        let runs = |id| {
            let found = self.0.iter().find(|measured| measured.manner.id == id);
            found.map_or(&[][..], |measured| &measured.runs)
        };
        let others = runs(other);
        let pairs = runs(one).iter().filter_map(|(round, run)| {
            let (_, other) = others.iter().find(|(of, _)| of == round)?;
            Some(value(run) / value(other))
        });
        pairs.collect()
    }
}

/// In which order so many are measured in this round. Another one begins each time, and each second round
/// goes backwards: what one leaves behind in a broker does not always meet the same other one.
fn order(round: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| match round % 2 {
        0 => (round + turn) % count,
        _ => (round + count - turn) % count,
    })
}
