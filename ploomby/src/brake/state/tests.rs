use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// A brake and its clock.
struct Bench {
    state: State,
    now: Instant,
}

impl Bench {
    fn new(after: Option<u32>) -> Self {
        Self {
            state: State::new(after, false),
            now: Instant::now(),
        }
    }

    fn away(&mut self, epoch: Option<u64>) -> Option<Change> {
        self.state.unavailable(epoch, "away", None, self.now)
    }

    fn failed(&mut self, epoch: Option<u64>, message: u64) -> Option<Change> {
        self.state.failed(epoch, message, "no luck", self.now)
    }

    fn succeeded(&mut self, epoch: Option<u64>) -> Option<Change> {
        self.state.succeeded(epoch, self.now)
    }

    /// Goes on to when the next message may go to the handler, and how long that took.
    fn probe(&mut self) -> (Option<u64>, Duration) {
        let from = self.now;
        loop {
            match self.state.enter(self.now) {
                Turn::Go(epoch) => return (epoch, self.now - from),
                Turn::At(until) => self.now = until,
                Turn::Later => panic!("another message is with the handler"),
            }
        }
    }

    /// How many messages may be with the handler at a time.
    fn fill(&mut self) -> Vec<Option<u64>> {
        let mut running = Vec::new();
        while let Turn::Go(epoch) = self.state.enter(self.now) {
            running.push(epoch);
            if running.len() == 1_000 {
                break;
            }
        }
        running
    }
}

#[test]
fn one_message_at_a_time_probes_after_pauses_that_grow() {
    let mut bench = Bench::new(None);
    assert_eq!(bench.state.enter(bench.now), Turn::Go(None));
    assert_eq!(bench.away(None), Some(Change::On(BrakeCause::Unavailable)));
    for seconds in [1, 2, 4, 8, 16, 30, 30, 30] {
        let (epoch, took) = bench.probe();
        let pause = SECOND * seconds;
        assert!(pause * 3 / 4 <= took && took <= pause, "{took:?}");
        assert_eq!(bench.state.enter(bench.now), Turn::Later);
        assert_eq!(bench.away(epoch), None);
    }
}

#[test]
fn what_ran_before_the_brake_was_on_changes_nothing() {
    let mut bench = Bench::new(None);
    bench.away(None);
    let until = bench.state.next_probe();
    assert_eq!(bench.away(None), None);
    assert_eq!(bench.succeeded(None), None);
    assert_eq!(bench.failed(None, 1), None);
    assert_eq!(bench.state.next_probe(), until);
}

#[test]
fn the_window_opens_step_by_step_and_closes_at_the_first_failure() {
    let mut bench = Bench::new(None);
    bench.away(None);
    let (epoch, _) = bench.probe();
    bench.succeeded(epoch);
    for width in [2, 4, 8] {
        let running = bench.fill();
        assert_eq!(running.len(), width);
        for epoch in running {
            bench.succeeded(epoch);
        }
    }
    let running = bench.fill();
    assert_eq!(bench.away(running[0]), None);
    // the others ran at that time as well
    assert_eq!(bench.away(running[1]), None);
    let (_, took) = bench.probe();
    assert!(took <= SECOND, "{took:?}");
}

#[test]
fn the_brake_is_off_once_nothing_has_failed_for_ten_seconds() {
    let mut bench = Bench::new(None);
    bench.away(None);
    bench.state.waits();
    let (epoch, _) = bench.probe();
    bench.succeeded(epoch);
    bench.now += STEADY - MILLISECOND;
    assert_eq!(bench.state.look(bench.now), None);
    assert!(bench.state.is_watching());
    bench.now += MILLISECOND;
    let Some(Change::Off { waited, probes, .. }) = bench.state.look(bench.now) else {
        panic!("it is off");
    };
    assert_eq!((waited, probes), (1, 1));
    assert!(!bench.state.is_watching());
}

#[test]
fn an_error_says_when_to_come_again() {
    let mut bench = Bench::new(None);
    let pause = SECOND * 90;
    bench
        .state
        .unavailable(None, "busy", Some(pause), bench.now);
    let (epoch, took) = bench.probe();
    assert_eq!(took, pause);
    let pause = SECOND * 100_000;
    bench
        .state
        .unavailable(epoch, "busy", Some(pause), bench.now);
    assert_eq!(bench.probe().1, LONGEST_ASKED);
}

#[test]
fn a_dependency_that_answers_every_tenth_call_does_not_flap() {
    let mut bench = Bench::new(None);
    let (start, mut calls, mut switched) = (bench.now, 0, Vec::new());
    assert_eq!(bench.away(None), Some(Change::On(BrakeCause::Unavailable)));
    while bench.now - start < SECOND * 600 {
        let (epoch, _) = bench.probe();
        calls += 1;
        let change = match calls % 10 {
            0 => bench.succeeded(epoch),
            _ => bench.away(epoch),
        };
        switched.extend(change.map(|_| bench.now));
        bench.now += MILLISECOND;
    }
    assert!(switched.is_empty(), "{switched:?}");
    assert!(calls < 100, "{calls}");
}

#[test]
fn failures_of_different_messages_in_a_row_pull_it_once_they_last() {
    let mut bench = Bench::new(Some(3));
    for message in [1, 1, 1, 2, 2] {
        assert_eq!(bench.failed(None, message), None);
        bench.now += SECOND * 2;
    }
    assert!(bench.state.is_watching());
    assert_eq!(
        bench.failed(None, 3),
        Some(Change::On(BrakeCause::Failures))
    );
    // each counts as ever, one after another
    for message in 4..10 {
        let (epoch, took) = bench.probe();
        assert_eq!(took, FAILURES_PAUSE);
        assert_eq!(bench.failed(epoch, message), None);
    }
}

#[test]
fn one_success_ends_the_row() {
    let mut bench = Bench::new(Some(3));
    for message in 0..100 {
        assert_eq!(bench.failed(None, message), None);
        bench.now += SECOND * 3;
        if message % 2 == 0 {
            assert_eq!(bench.succeeded(None), None);
            assert!(!bench.state.is_watching());
        }
    }
    let mut fast = Bench::new(Some(3));
    for message in 0..100 {
        fast.now += SECOND / 50;
        assert_eq!(fast.failed(None, message), None, "not for long enough");
    }
}

#[test]
fn it_is_told_once_that_a_brake_would_have_helped() {
    let mut bench = Bench::new(None);
    let mut told = 0;
    for message in 0..1_000 {
        bench.now += SECOND / 10;
        match bench.failed(None, message) {
            None => {}
            Some(change) => {
                assert_eq!(change, Change::Hint);
                told += 1;
            }
        }
    }
    assert_eq!(told, 1);
    assert!(!bench.state.is_watching() && bench.state.engaged().is_none());
}

#[test]
fn a_message_that_says_nothing_lets_the_next_one_probe_at_once() {
    let mut bench = Bench::new(None);
    bench.away(None);
    let (epoch, _) = bench.probe();
    bench.state.passed(epoch, bench.now);
    let (epoch, took) = bench.probe();
    assert_eq!(took, Duration::ZERO);
    // what fails for a reason of its own waits for a moment, and the pause does not grow
    bench.failed(epoch, 1);
    assert!(bench.probe().1 <= SECOND);
}

#[test]
fn while_a_check_fails_no_message_is_spent_as_a_probe() {
    let mut bench = Bench::new(None);
    bench.state = State::new(None, true);
    let failed = bench.state.check_failed("bank", "refused", bench.now);
    assert_eq!(failed, Some(Change::On(BrakeCause::Check)));
    for _ in 0..100 {
        bench.now += SECOND;
        assert_eq!(bench.state.enter(bench.now), Turn::Later);
        assert_eq!(bench.state.check_failed("bank", "refused", bench.now), None);
    }
    bench.state.check_failed("shop", "refused", bench.now);
    bench.state.check_passed("bank", bench.now);
    assert_eq!(bench.state.enter(bench.now), Turn::Later);
    bench.state.check_passed("shop", bench.now);
    assert_eq!(bench.fill().len(), 1);
}

#[test]
fn an_error_of_a_handler_with_a_check_waits_for_the_next_success_of_the_check() {
    let mut bench = Bench::new(None);
    bench.state = State::new(None, true);
    bench.away(None);
    // it may not know yet
    bench.state.check_passed("bank", bench.now);
    bench.now += SECOND * 60;
    assert_eq!(bench.state.enter(bench.now), Turn::Later);
    bench.state.check_passed("bank", bench.now);
    assert_eq!(bench.fill().len(), 1);
}
