use std::{
    collections::BTreeMap,
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use futures_util::future::{BoxFuture, join_all};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{info, warn};

use super::HandlerBrake;

/// A check that takes longer fails.
const LONGEST: Duration = Duration::from_secs(10);

/// A check is not made more often.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// What a program checks by itself, by name, and which handlers wait for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checks(Arc<BTreeMap<String, Arc<Check>>>);

/// Whether something that handlers need is there.
pub(crate) struct Check {
    name: String,
    every: Duration,
    ask: Box<Ask>,
    known: Mutex<Known>,
}

type Ask = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

#[derive(Default)]
struct Known {
    failing: Option<(String, SystemTime)>,
    brakes: Vec<Weak<HandlerBrake>>,
}

/// A check as [`Health`](crate::Health) tells it.
#[derive(Clone, Debug)]
pub struct CheckHealth {
    name: String,
    failing: Option<(String, SystemTime)>,
}

impl CheckHealth {
    /// The name that the program gave to it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it succeeded the last time.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.failing.is_none()
    }

    /// The last error, if it fails.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.failing.as_ref().map(|(error, _)| error.as_str())
    }

    /// Since when it fails.
    #[must_use]
    pub fn failing_since(&self) -> Option<SystemTime> {
        self.failing.as_ref().map(|(_, since)| *since)
    }
}

impl fmt::Display for CheckHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((error, since)) = &self.failing else {
            return write!(f, "check `{}`: passing", self.name);
        };
        // a clock that was set back counts as no time
        let age = since.elapsed().unwrap_or(Duration::ZERO).as_secs();
        write!(f, "check `{}`: failing for {age} s: {error}", self.name)
    }
}

impl Check {
    pub(crate) fn new<Fut, T, E>(
        name: String,
        every: Duration,
        ask: impl Fn() -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self {
            name,
            every: every.max(SHORTEST_PAUSE),
            ask: Box::new(move || {
                let asked = ask();
                Box::pin(async move {
                    match asked.await {
                        Ok(_) => Ok(()),
                        Err(error) => Err(with_causes(&*error.into())),
                    }
                })
            }),
            known: Mutex::default(),
        }
    }

    /// Has a brake hear of each result from here on, and of the last one.
    pub(super) fn watch(&self, brake: &Arc<HandlerBrake>) {
        let mut known = self.lock();
        known.brakes.push(Arc::downgrade(brake));
        if let Some((error, _)) = &known.failing {
            brake.check_failed(&self.name, error);
        }
    }

    /// Asks once, and tells the brakes.
    async fn look(&self) {
        let result = match timeout(LONGEST, (self.ask)()).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {LONGEST:?}")),
        };
        let mut known = self.lock();
        known.brakes.retain(|brake| brake.strong_count() > 0);
        let brakes: Vec<_> = known.brakes.iter().filter_map(Weak::upgrade).collect();
        let check = &*self.name;
        match result {
            Ok(()) => {
                if let Some((_, since)) = known.failing.take() {
                    let lasted = since.elapsed().unwrap_or(Duration::ZERO);
                    info!(check, "the check passes again after {lasted:.1?}");
                }
                for brake in brakes {
                    brake.check_passed(check);
                }
            }
            Err(error) => {
                for brake in brakes {
                    brake.check_failed(check, &error);
                }
                match &mut known.failing {
                    Some((last, _)) => *last = error,
                    None => {
                        warn!(check, error, "the check fails");
                        known.failing = Some((error, SystemTime::now()));
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Checks {
    /// All of a program. Of two with one name the later one is made.
    pub(crate) fn new(checks: Vec<Arc<Check>>) -> Self {
        let checks = checks.into_iter();
        let named = checks.map(|check| (check.name.clone(), check));
        Self(Arc::new(named.collect()))
    }

    /// Those of these names, which are never made.
    pub(crate) fn named<'n>(names: impl Iterator<Item = &'n Arc<Check>>) -> Self {
        let never = || std::future::pending::<Result<(), std::io::Error>>();
        let checks =
            names.map(|check| Arc::new(Check::new(check.name.clone(), check.every, never)));
        Self::new(checks.collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Check>> {
        self.0.get(name)
    }

    /// Makes each once, and from then on at its times for as long as the tasks are there.
    pub(crate) async fn start(&self) -> JoinSet<()> {
        join_all(self.0.values().map(|check| check.look())).await;
        let mut tasks = JoinSet::new();
        for check in self.0.values() {
            let check = check.clone();
            tasks.spawn(async move {
                let mut times = interval(check.every);
                times.set_missed_tick_behavior(MissedTickBehavior::Delay);
                // it was made just now
                times.tick().await;
                loop {
                    times.tick().await;
                    check.look().await;
                }
            });
        }
        tasks
    }

    pub(crate) fn now(&self) -> Vec<CheckHealth> {
        let now = self.0.values().map(|check| CheckHealth {
            name: check.name.clone(),
            failing: check.lock().failing.clone(),
        });
        now.collect()
    }
}

/// An error with all its causes.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("name", &self.name)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}
