//! The attribute of tests.

use ploomby::{Outcome, testing::TestApp};

/// One that other tests do not see.
mod own {
    #[ploomby::handler("double", queue = "numbers")]
    pub(super) async fn double(number: u64) -> u64 {
        2 * number
    }
}

#[ploomby::test]
async fn a_test_has_the_handlers_that_are_linked(app: TestApp) {
    let app = app.only(["numbers"]).start().await;
    let run = app.call("numbers", "double", &21_u64).await;
    run.handled("double").once().outcome(Outcome::Ack);
    assert_eq!(run.reply::<u64>(), 42);
    assert_eq!(own::double(1).await, 2);
}

#[ploomby::test]
async fn a_test_returns_what_tests_return(app: TestApp) -> anyhow::Result<()> {
    let app = app.only(["numbers"]).start().await;
    anyhow::ensure!(app.call("numbers", "double", &2).await.reply::<u64>() == 4);
    Ok(())
}

#[ploomby::test]
#[should_panic(expected = "`double` was handled as 0 messages, not 1 message")]
async fn a_test_that_fails_fails(app: TestApp) {
    let app = app.only(["numbers"]).start().await;
    app.run().await.handled("double").once();
}

mod facade {
    pub(super) use ploomby as mq;
}

#[ploomby::test(crate = facade::mq)]
async fn a_test_finds_ploomby_behind_a_facade(app: TestApp) {
    let app = app.only(["numbers"]).start().await;
    assert_eq!(app.call("numbers", "double", &3).await.reply::<u64>(), 6);
}
