use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fastrand::Rng;

use super::Fault;

/// What goes wrong, and when.
#[derive(Debug)]
pub(in crate::testing) struct Plan {
    rng: Rng,
    /// What may go wrong at all.
    allowed: Vec<Fault>,
    /// How much may still go wrong.
    left: u32,
    /// At one step of so many, something does.
    one_of: u32,
    step: u64,
    /// Instead of what is random.
    given: Option<Faults>,
    happened: Faults,
}

/// By the step of the app at which they happen.
pub(super) type Faults = BTreeMap<u64, Happens>;

/// A fault, with all that is to be known to repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::testing) enum Happens {
    Crash,
    Twice,
    Unconfirmed { arrives: bool },
    Cut,
    Slow(u32),
}

/// The plan of one seed, whose apps share it.
#[derive(Clone, Debug)]
pub(in crate::testing) struct SharedPlan(Arc<Mutex<Plan>>);

/// For how many turns of the others a slow handler waits at most.
const SLOWEST: u32 = 64;

const ARRIVES: Happens = Happens::Unconfirmed { arrives: true };
const IS_LOST: Happens = Happens::Unconfirmed { arrives: false };

impl Plan {
    pub(in crate::testing) const PUBLISHES: &[Happens] =
        &[Happens::Crash, ARRIVES, IS_LOST, Happens::Twice];
    pub(in crate::testing) const TEST_PUBLISHES: &[Happens] = &[Happens::Twice];
    pub(in crate::testing) const COPIES: &[Happens] = &[
        Happens::Crash,
        ARRIVES,
        IS_LOST,
        Happens::Twice,
        Happens::Cut,
    ];
    /// The connection that is lost is that of the consumer, and replies go over another one.
    pub(in crate::testing) const REPLIES: &[Happens] =
        &[Happens::Crash, ARRIVES, IS_LOST, Happens::Twice];
    pub(in crate::testing) const SETTLES: &[Happens] = &[Happens::Crash, Happens::Cut];
    pub(in crate::testing) const STEPS: &[Happens] = &[Happens::Crash, Happens::Slow(SLOWEST)];

    pub(super) fn random(seed: u64, allowed: &[Fault], most: u32) -> Self {
        let mut rng = Rng::with_seed(seed);
        let left = rng.u32(1..=most.max(1)).min(most);
        let one_of = 1 << rng.u32(1..=6);
        Self {
            rng,
            allowed: allowed.to_vec(),
            left,
            one_of,
            step: 0,
            given: None,
            happened: Faults::new(),
        }
    }

    pub(super) fn given(faults: Faults) -> Self {
        Self {
            given: Some(faults),
            ..Self::random(0, &[], 0)
        }
    }

    /// What goes wrong at the next step of the app, of what can.
    pub(in crate::testing) fn step(&mut self, can: &[Happens]) -> Option<Happens> {
        self.step += 1;
        let happens = match &self.given {
            Some(given) => {
                let happens = given.get(&self.step).copied()?;
                let kind = |happens: &Happens| std::mem::discriminant(happens);
                can.iter()
                    .any(|can| kind(can) == kind(&happens))
                    .then_some(happens)?
            }
            None => self.at_random(can)?,
        };
        self.happened.insert(self.step, happens);
        Some(happens)
    }

    fn at_random(&mut self, can: &[Happens]) -> Option<Happens> {
        if self.left == 0 || self.rng.u32(..self.one_of) > 0 {
            return None;
        }
        let is_allowed = |happens: &&Happens| self.allowed.contains(&happens.fault());
        let can: Vec<_> = can.iter().filter(is_allowed).copied().collect();
        let happens = *self.rng.choice(&can)?;
        self.left -= 1;
        Some(match happens {
            Happens::Slow(most) => Happens::Slow(self.rng.u32(2..=most)),
            happens => happens,
        })
    }
}

impl Happens {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Crash => "a crash",
            Self::Twice => "a message that came twice",
            Self::Unconfirmed { .. } => "a confirm that was lost",
            Self::Cut => "a connection that was lost",
            Self::Slow(_) => "a slow handler",
        }
    }

    fn fault(self) -> Fault {
        match self {
            Self::Crash => Fault::Crash,
            Self::Twice => Fault::Duplicate,
            Self::Unconfirmed { .. } => Fault::LostConfirm,
            Self::Cut => Fault::Cut,
            Self::Slow(_) => Fault::Slow,
        }
    }
}

impl SharedPlan {
    pub(super) fn new(plan: Plan) -> Self {
        Self(Arc::new(Mutex::new(plan)))
    }

    pub(in crate::testing) fn lock(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What went wrong.
    pub(super) fn happened(&self) -> Faults {
        self.lock().happened.clone()
    }
}
