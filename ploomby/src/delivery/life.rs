use std::{fmt, sync::Arc};

/// Says whether the source has taken a delivery back, for what waits to be handled with others.
#[derive(Clone)]
pub(crate) struct Life(Arc<dyn Fn() -> bool + Send + Sync>);

impl Life {
    pub(crate) fn new(is_lost: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_lost))
    }

    pub(crate) fn is_lost(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life").finish_non_exhaustive()
    }
}
