//! Tests of the example beside.

use ploomby::{Outcome, testing::TestApp};

use super::*;

#[tokio::test]
async fn a_user_is_handled() {
    let app = TestApp::of(app("memory://quickstart")).start().await;
    let ada = json!({"name": "Ada"});
    let run = app.send("quickstart", "create_user", &ada).await;
    run.handled("create_user").once().outcome(Outcome::Ack);
    run.handled("undecodable").never();
}

#[tokio::test]
async fn a_user_whose_name_is_no_text_is_shown() {
    let app = TestApp::of(app("memory://quickstart")).start().await;
    let run = app
        .send("quickstart", "create_user", &json!({"name": 42}))
        .await;
    run.handled("create_user").attempts(1);
    run.handled("undecodable").once().outcome(Outcome::Ack);
}
