//! - `plan`: what goes wrong, and when;
//! - `shorten`: the fewest faults that a failure takes.

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use tokio::runtime::{Builder, Handle};

use self::plan::Faults;
pub(super) use self::plan::{Happens, Plan, SharedPlan};
use super::director::Director;
use crate::layer::quietly;

mod plan;
mod shorten;

/// How much goes wrong in a run at most, unless the test says otherwise.
const MOST_FAULTS: u32 = 4;

/// Runs a test once for each seed, while things go wrong: what happens of itself in production, and hardly ever in a test.
///
/// It is a [`Simulation`] as it is by default: the app crashes, messages come twice, confirms and connections are lost, and
/// handlers are slow. Each [`TestApp`](super::TestApp) that the test makes is part of it, so that the functions that start the
/// app for other tests serve here as well. What the test asserts after a run has to hold whatever went wrong.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use ploomby::{HandlerRegistry, Queue, extract::State, testing::{TestApp, simulate}};
///
/// #[derive(Clone, Default)]
/// struct Bank(Arc<Mutex<Vec<u64>>>);
///
/// async fn charge(id: u64, State(Bank(charged)): State<Bank>) {
///     let mut charged = charged.lock().unwrap();
///     // a message may come again
///     if !charged.contains(&id) {
///         charged.push(id);
///     }
/// }
///
/// simulate(0..100, async || {
///     let bank = Bank::default();
///     let app = TestApp::with(HandlerRegistry::new().register("charge", charge))
///         .state(bank.clone())
///         .queue(Queue::new("billing"))
///         .start()
///         .await;
///     for id in 0..5 {
///         app.put("billing", "charge", &id).await;
///     }
///     app.run().await;
///     assert_eq!(bank.0.lock().unwrap().len(), 5);
/// });
/// ```
///
/// # Panics
///
/// As [`Simulation::run`] does.
#[track_caller]
pub fn simulate(seeds: impl IntoIterator<Item = u64>, test: impl AsyncFn()) {
    Simulation::new().run(seeds, test);
}

/// What goes wrong in the runs of a test, by [`simulate`] or with choices of its own.
///
/// ```
/// use ploomby::testing::{Fault, Simulation};
/// # use ploomby::{HandlerRegistry, Queue, testing::TestApp};
///
/// Simulation::new()
///     .faults([Fault::Crash, Fault::Cut])
///     .instances(2)
///     .run(0..20, async || {
/// #       let handlers = HandlerRegistry::new().register("charge", async |_: u64| {});
/// #       let app = TestApp::with(handlers).queue(Queue::new("billing"));
///         let app = app.start().await;
///         for id in 0..5 {
///             app.put("billing", "charge", &id).await;
///         }
///         app.run().await;
///     });
/// ```
///
/// # What is checked by itself
///
/// At the end of each run of the app:
///
/// - Each message that came to a queue of the app was handled, is dead-lettered or waits for its time. Messages that
///   expire are left out.
/// - Messages that are [ordered](crate::OrderBy) were at work one at a time, and began in the order of their queue, as far
///   as they came for the first time, and without a delay.
///
/// # Seeds
///
/// All that goes wrong follows from the seed: the same seed has the same [`Journal`](super::Journal), on one thread. That
/// holds as long as the handlers themselves do nothing that is random, such as to ask the time, to wait for a socket or a
/// timer of real time, or a `tokio::select!` that is not `biased`. Random numbers of the crate `fastrand` begin with the
/// seed.
///
/// # What it does not know
///
/// A handler is interrupted where it waits for something, and where it sends, so that one that does nothing but compute is
/// interrupted at its beginning and its end. Tasks that a handler spawns outlive a crash of the simulation. A handler of a
/// [`Batch`](crate::extract::Batch) is interrupted before and after it alone.
#[derive(Clone, Debug)]
#[must_use = "nothing is simulated before it is run"]
pub struct Simulation {
    faults: Vec<Fault>,
    most: u32,
    instances: usize,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The whole program ends, or one of its [instances](Simulation::instances): handlers are dropped where they wait, and
    /// nothing is acknowledged any more. It starts again at once.
    Crash,
    /// A message comes to its queue twice, as if its sender had lost the confirm and sent it again. It has the same id.
    Duplicate,
    /// The confirm of a message that a handler sends, of a reply, or of what ploomby keeps for another attempt or as a dead
    /// letter does not come. The message is in its queue, or it is not.
    LostConfirm,
    /// The connection of a consumer is lost: what it has not acknowledged comes again, while handlers go on.
    Cut,
    /// A handler waits for some time, and others overtake it.
    Slow,
}

/// Why a run failed.
struct Failure {
    message: String,
    location: Option<String>,
    journal: String,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// The run that goes on.
struct Current {
    plan: SharedPlan,
    instances: usize,
    limit: Option<Duration>,
    apps: Vec<Director>,
}

/// What an app has to know of the simulation that it is part of.
pub(super) struct Part {
    pub(super) instances: usize,
    /// How long a run may take.
    pub(super) limit: Option<Duration>,
}

/// Makes an app part of the simulation that goes on.
pub(super) fn join(director: &Director) -> Option<Part> {
    CURRENT.with_borrow_mut(|current| {
        let current = current.as_mut()?;
        director.simulates(&current.plan);
        current.apps.push(director.clone());
        Some(Part {
            instances: current.instances,
            limit: current.limit,
        })
    })
}

impl Simulation {
    /// All faults, at most four in a run, and one instance of the app.
    #[expect(
        clippy::new_without_default,
        reason = "what goes wrong is a choice, and no default of a type"
    )]
    pub fn new() -> Self {
        Self {
            faults: vec![
                Fault::Crash,
                Fault::Duplicate,
                Fault::LostConfirm,
                Fault::Cut,
                Fault::Slow,
            ],
            most: MOST_FAULTS,
            instances: 1,
        }
    }

    /// These alone go wrong.
    pub fn faults(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.faults = faults.into_iter().collect();
        self
    }

    /// How much goes wrong in a run at most (default: 4).
    pub fn most_faults(mut self, most: u32) -> Self {
        self.most = most;
        self
    }

    /// So many programs run the app side by side, on one broker and with the same state (default: 1). A crash is that of one.
    pub fn instances(mut self, instances: usize) -> Self {
        self.instances = instances.max(1);
        self
    }

    /// Runs the test once for each seed.
    ///
    /// # Panics
    ///
    /// If the test fails for a seed, or [what is checked](Self#what-is-checked-by-itself) does not hold. The text has the
    /// seed, and the journal of the run with the fewest faults that still fails. Also if nothing went wrong in ten runs or
    /// more, which tests nothing; and within a runtime, since each run has one of its own: call it in a plain `#[test]`.
    #[track_caller]
    pub fn run(&self, seeds: impl IntoIterator<Item = u64>, test: impl AsyncFn()) {
        /// So many runs without a fault are no accident.
        const SUSPICIOUS: usize = 10;

        assert!(
            Handle::try_current().is_err() && CURRENT.with_borrow(Option::is_none),
            "each run of a simulation has a runtime of its own: call it in a plain `#[test]`, not in an async test"
        );
        let (mut runs, mut faults) = (0, 0);
        for seed in seeds {
            let plan = SharedPlan::new(Plan::random(seed, &self.faults, self.most));
            if let Err(failure) = self.once(seed, &plan, None, &test) {
                panic!("{}", self.shortened(seed, failure, plan.happened(), &test));
            }
            runs += 1;
            faults += plan.happened().len();
        }
        assert!(
            faults > 0 || runs < SUSPICIOUS,
            "nothing went wrong in {runs} runs, which tests nothing: let the test make a `TestApp`, send messages and run \
             them, and let the simulation have faults"
        );
    }

    /// One run of the test.
    fn once(
        &self,
        seed: u64,
        plan: &SharedPlan,
        limit: Option<Duration>,
        test: &impl AsyncFn(),
    ) -> Result<(), Failure> {
        fastrand::seed(seed);
        let _ended = Ended;
        CURRENT.set(Some(Current {
            plan: plan.clone(),
            instances: self.instances,
            limit,
            apps: Vec::new(),
        }));
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("the system gives a runtime");
        let done = quietly(|| runtime.block_on(test()));
        let apps = CURRENT.take().map(|current| current.apps);
        // a handler that blocks a thread is not waited for
        runtime.shutdown_background();
        done.map_err(|(message, location)| {
            let apps = apps.unwrap_or_default();
            let journals = apps.iter().map(|app| app.journal_from(0).to_string());
            Failure {
                message,
                location,
                journal: journals.collect(),
            }
        })
    }
}

/// No run goes on any more.
struct Ended;

impl Drop for Ended {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// The kinds of what went wrong, in words.
fn kinds(faults: &Faults) -> String {
    let words = faults.values().map(|happens| happens.words());
    let words: BTreeSet<_> = words.collect();
    words.into_iter().collect::<Vec<_>>().join(", ")
}
