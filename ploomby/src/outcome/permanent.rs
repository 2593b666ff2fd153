use std::{error::Error, fmt};

/// An error that another attempt would not mend: the message goes to the dead-letter queue at once,
/// whatever the handler's [`Retry`] says.
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
