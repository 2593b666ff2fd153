use std::fmt;

use crate::outcome::Failure;

/// The place for an argument, which is filled once the argument is made.
///
/// Whoever waits for an argument waits for its place to be filled, which is the same for all types:
/// the compiler has less to write for each handler.
pub struct Place<T>(Option<T>);

impl<T> Place<T> {
    /// A place for an argument that is not made yet.
    pub const fn empty() -> Self {
        Self(None)
    }

    /// Puts the argument there.
    pub(super) fn fill(&mut self, argument: Result<T, Failure>) -> Result<(), Failure> {
        self.0 = Some(argument?);
        Ok(())
    }

    /// Takes the argument out.
    ///
    /// # Panics
    ///
    /// If it was not made.
    pub fn take(self) -> T {
        self.0.expect("the argument is made")
    }

    /// The argument, to be checked.
    ///
    /// # Panics
    ///
    /// If it was not made.
    #[cfg(feature = "garde")]
    pub fn made(&mut self) -> &mut T {
        self.0.as_mut().expect("the argument is made")
    }

    /// The argument where it is.
    pub(super) fn get(&self) -> &T {
        self.0.as_ref().expect("the argument is made")
    }
}

impl<T> fmt::Debug for Place<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}
