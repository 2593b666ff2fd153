use ploomby::testing::TestApp;

#[ploomby::test]
fn not_async(app: TestApp) {
    drop(app);
}

#[ploomby::test]
async fn without_an_app() {}

#[ploomby::test]
async fn with_more(app: TestApp, more: u32) {
    drop((app, more));
}

#[ploomby::test]
async fn generic<T>(app: TestApp) {
    drop(app);
}

#[ploomby::test(queue = "billing")]
async fn with_an_option(app: TestApp) {
    drop(app);
}

#[ploomby::test]
struct NoFunction;

fn main() {}
