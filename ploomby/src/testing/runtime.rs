use tokio::runtime::{Builder, Runtime};

use super::TestApp;

/// Runs a test on a runtime of its own, of one thread.
///
/// # Panics
///
/// Where the system gives no runtime, and where the test does.
pub fn run_test<W: Future>(test: impl FnOnce(TestApp) -> W) -> W::Output {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = Own(Some(runtime.expect("the system gives a runtime")));
    let own = runtime.0.as_ref().expect("it is there until the end");
    own.block_on(test(TestApp::new()))
}

/// A test that failed does not wait for a handler that blocks a thread.
struct Own(Option<Runtime>);

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
