use tokio::runtime::{Handle, RuntimeFlavor};

/// What decodes faster than a few milliseconds.
const SHORT: usize = 1024 * 1024;

/// Decodes so many bytes. Many take long, so that the other tasks of this thread go to another one first, if the
/// runtime has several.
#[inline]
pub(crate) fn aside<T>(len: usize, decode: impl FnOnce() -> T) -> T {
    match len <= SHORT {
        true => decode(),
        false => long(decode),
    }
}

#[cold]
fn long<T>(decode: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    match flavor {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(decode),
        _ => decode(),
    }
}
