//! Best, median and worst.

use std::fmt;

/// The same thing measured several times, more being better.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// The samples of all rounds, in any order.
    ///
    /// # Panics
    ///
    /// Without a single sample.
    #[must_use]
    pub fn new(samples: impl IntoIterator<Item = f64>) -> Self {
        let mut samples: Vec<f64> = samples.into_iter().collect();
        assert!(!samples.is_empty(), "nothing was measured");
        samples.sort_by(f64::total_cmp);
        Self(samples)
    }

    /// The largest.
    #[must_use]
    pub fn best(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    /// The one in the middle.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// The smallest.
    #[must_use]
    pub fn worst(&self) -> f64 {
        self.0[0]
    }
}

/// Best, median and worst, as three columns with the precision asked for.
impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = f.precision().unwrap_or(0);
        for sample in [self.best(), self.median(), self.worst()] {
            write!(f, "{sample:>10.decimals$}")?;
        }
        Ok(())
    }
}
