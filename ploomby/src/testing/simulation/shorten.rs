use std::time::{Duration, Instant};

use super::{
    Failure, Simulation, kinds,
    plan::{Faults, Plan, SharedPlan},
};
use crate::testing::run::count;

/// How long is looked for a shorter way to fail.
const LONGEST: Duration = Duration::from_secs(10);

/// How long a run may take meanwhile: one that hangs hangs in all of them.
const LIMIT: Duration = Duration::from_secs(1);

/// How many places are tried for a fault.
const MOST_PLACES: u64 = 200;

impl Simulation {
    /// A failure in words, with the fewest faults that it takes.
    pub(super) fn shortened(
        &self,
        seed: u64,
        failure: Failure,
        faults: Faults,
        test: &impl AsyncFn(),
    ) -> String {
        let most = faults.len();
        let until = Instant::now() + LONGEST;
        let mut shortest = (failure, faults);
        let fails = |faults: Faults| {
            let plan = SharedPlan::new(Plan::given(faults));
            let failed = self.once(seed, &plan, Some(LIMIT), test).err()?;
            Some((failed, plan.happened()))
        };
        if let Some(without) = fails(Faults::new()) {
            shortest = without;
        }
        while let Some(fewer) = fewer(&shortest.1, until, &fails) {
            shortest = fewer;
        }
        if let Some(earlier) = earlier(&shortest.1, until, &fails) {
            shortest = earlier;
        }
        let (failure, faults) = shortest;
        told(seed, &failure, &faults, most)
    }
}

/// The same with one fault less.
fn fewer(
    faults: &Faults,
    until: Instant,
    fails: &impl Fn(Faults) -> Option<(Failure, Faults)>,
) -> Option<(Failure, Faults)> {
    let steps = faults.keys().take_while(|_| Instant::now() < until);
    let mut without = steps.map(|step| {
        let mut fewer = faults.clone();
        fewer.remove(step);
        fails(fewer).filter(|(_, happened)| happened.len() < faults.len())
    });
    without.find_map(|failed| failed)
}

/// The only fault, as early as it does harm.
fn earlier(
    faults: &Faults,
    until: Instant,
    fails: &impl Fn(Faults) -> Option<(Failure, Faults)>,
) -> Option<(Failure, Faults)> {
    let (&last, &happens) = faults.first_key_value().filter(|_| faults.len() == 1)?;
    let steps = (1..last).take(usize::try_from(MOST_PLACES).unwrap_or_default());
    steps
        .take_while(|_| Instant::now() < until)
        .find_map(|step| {
            let failed = fails(Faults::from([(step, happens)]));
            failed.filter(|(_, happened)| !happened.is_empty())
        })
}

fn told(seed: u64, failure: &Failure, faults: &Faults, most: usize) -> String {
    // the kit's own assertions have the journal, too
    let message = failure.message.split("\nwhat happened:").next();
    let message = message.unwrap_or_default();
    let at = match &failure.location {
        Some(location) => format!(" (at {location})"),
        None => String::new(),
    };
    let takes = match (faults.len(), most) {
        (0, 0) => "nothing went wrong".to_owned(),
        (0, _) => "it fails without any fault, too".to_owned(),
        (few, most) => {
            let of = if few < most {
                format!(" of {most}")
            } else {
                String::new()
            };
            format!("it takes {}{of}: {}", count(few, "fault"), kinds(faults))
        }
    };
    format!(
        "seed {seed} fails: {message}{at}\n{takes}\nwhat happened:\n{}to repeat it, let the seeds be [{seed}]",
        failure.journal
    )
}
