//! Tests of the example beside.

use ploomby::testing::TestApp;

use super::*;

#[ploomby::test]
async fn a_user_is_welcome_at_once_and_reminded_later(app: TestApp) {
    let app = app.horizon(Duration::ZERO).start().await;
    let run = app.send("users", "sign_up", "Ada").await;
    run.handled("mail").once();
    let texts = run.sent::<String>("mails").times(2).payloads();
    assert_eq!(texts, ["Welcome, Ada!", "How do you like it?"]);

    // the test moves the clock, and waits for nothing
    app.advance(Duration::from_secs(1))
        .await
        .handled("mail")
        .once();
}
