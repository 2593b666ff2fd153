use std::{panic, sync::LazyLock, thread};

use tokio::{
    runtime::{Builder, Handle},
    task::JoinError,
};
use tokio_util::task::AbortOnDropHandle;

/// The thread that all connections of the process live on. It starts with the first of them and ends with the
/// process.
///
/// Nothing runs on it but what passes bytes on, so that no handler and no runtime of the program's keeps a
/// heartbeat or an acknowledgement waiting.
static IO: LazyLock<Handle> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system has a handle left for the thread of the connections");
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("ploomby-io".to_owned())
        .spawn(move || {
            loop {
                // a panic of a task stays with the task: this is for what is left
                let run = panic::AssertUnwindSafe(|| {
                    runtime.block_on(std::future::pending::<()>());
                });
                let _ = panic::catch_unwind(run);
            }
        })
        .expect("the system has a thread left for the connections");
    handle
});

/// Runs a future on the thread of the connections; what it spawns stays there.
///
/// # Cancel safety
///
/// Dropped, the future is dropped.
pub(super) async fn spawn<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, JoinError> {
    AbortOnDropHandle::new(IO.spawn(future)).await
}

/// The same, but for a future that goes on when nobody waits for it any more.
pub(super) async fn spawn_detached<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, JoinError> {
    IO.spawn(future).await
}

/// The runtime of the thread, for what spawns when it is dropped.
pub(super) fn handle() -> &'static Handle {
    &IO
}
