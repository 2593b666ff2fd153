use std::{error::Error, fmt};

use super::cause;

/// An error that another attempt would not mend: the message goes to the dead-letter queue at once,
/// whatever the handler's [`Retry`](crate::Retry) says.
///
/// It may stand anywhere in the chain of causes.
///
/// ```
/// use ploomby::{Permanent, Retry};
///
/// #[ploomby::handler(retry = 5)]
/// async fn charge(cents: i64) -> anyhow::Result<()> {
///     let cents = u64::try_from(cents).map_err(Permanent::new)?;
///     println!("charged {cents}");
///     Ok(())
/// }
/// ```
pub struct Permanent(anyhow::Error);

impl Permanent {
    /// Marks an error, or a text, as permanent.
    pub fn new(error: impl Into<anyhow::Error>) -> Self {
        Self(error.into())
    }

    /// Marks a text as permanent.
    pub fn msg(text: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Self {
        Self(anyhow::Error::msg(text))
    }

    /// The error that it marks, or the first of its causes, that is an `E`.
    #[must_use]
    pub fn downcast_ref<E: Error + Send + Sync + 'static>(&self) -> Option<&E> {
        cause(&self.0)
    }

    /// The error that it marks.
    #[must_use]
    pub fn into_inner(self) -> anyhow::Error {
        self.0
    }
}

impl fmt::Display for Permanent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Permanent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Error for Permanent {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorReply;

    #[test]
    fn the_error_that_is_permanent_is_found_below_its_context() {
        let gone = anyhow::Error::new(ErrorReply::new("gone", "it is not there"));
        let permanent = Permanent::new(gone.context("cannot charge"));
        let found = permanent.downcast_ref::<ErrorReply>();
        assert_eq!(found.map(ErrorReply::code), Some("gone"));
        assert!(permanent.downcast_ref::<std::io::Error>().is_none());
        assert_eq!(permanent.into_inner().to_string(), "cannot charge");
    }
}
