use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

/// A name, for a queue or an exchange, that starts with `prefix` and that no other test uses, nor
/// another run on the same broker.
pub fn unique_name(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);

    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("the clock is past 1970")
        .as_micros();
    format!("{prefix}-{now:x}-{:x}-{count}", process::id())
}
