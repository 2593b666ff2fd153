//! Where a handler panicked. Only the hook of the process is told.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic,
    sync::Once,
    thread,
};

thread_local! {
    /// What panicked last on this thread: its words, and where.
    static LAST: RefCell<Option<(String, String)>> = const { RefCell::new(None) };

    /// Panics of this thread are expected, and told by somebody else.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Looks at panics from here on, and leaves what becomes of them to the hook that there is.
pub(crate) fn watch() {
    static WATCHES: Once = Once::new();

    // no hook can be set by what panics itself
    if thread::panicking() {
        return;
    }
    WATCHES.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if let Some(at) = info.location() {
                let place = format!("{}:{}", at.file(), at.line());
                let text = words(info.payload()).unwrap_or_default().to_owned();
                // a thread that ends has none
                let _ = LAST.try_with(|last| last.replace(Some((text, place))));
            }
            if !IS_QUIET.try_with(Cell::get).unwrap_or_default() {
                hook(info);
            }
        }));
    });
}

/// Calls a function whose panics go to the caller alone: what it says, and where.
#[cfg(feature = "testing")]
pub(crate) fn quietly<T>(call: impl FnOnce() -> T) -> Result<T, (String, Option<String>)> {
    watch();
    let was_quiet = IS_QUIET.replace(true);
    let called = panic::catch_unwind(panic::AssertUnwindSafe(call));
    IS_QUIET.set(was_quiet);
    called.map_err(|panic| {
        let text = words(&*panic).unwrap_or("a panic without words").to_owned();
        let location = location(&text);
        (text, location)
    })
}

/// What it says, where that is text.
pub(crate) fn words(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}

/// Where this thread panicked with these words, if that was its last panic: one that was passed on from another thread
/// has not been seen here.
pub(super) fn location(text: &str) -> Option<String> {
    let (last, place) = LAST.take()?;
    (last == text).then_some(place)
}
