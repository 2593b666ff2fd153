//! `name=value` on the command line.

use std::{env, fmt::Display, str::FromStr};

use anyhow::{Context, ensure};

/// The arguments of the program, some with a name.
#[derive(Clone, Debug)]
pub struct Arguments(Vec<String>);

impl Arguments {
    /// Those that the program was started with.
    #[must_use]
    pub fn of_this_program() -> Self {
        Self(env::args().skip(1).collect())
    }

    /// The next one without a name.
    ///
    /// # Errors
    ///
    /// There is none: `what` is missing.
    pub fn next(&mut self, what: &str) -> anyhow::Result<String> {
        let at = self.0.iter().position(|argument| !argument.contains('='));
        let at = at.with_context(|| format!("{what} is missing"))?;
        Ok(self.0.remove(at))
    }

    /// The value of a name.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn get<T>(&mut self, name: &str) -> anyhow::Result<Option<T>>
    where
        T: FromStr<Err: Display>,
    {
        let value = |argument: &str| {
            let (its_name, value) = argument.split_once('=')?;
            (its_name == name).then(|| value.to_owned())
        };
        let Some(at) = self.0.iter().position(|a| value(a).is_some()) else {
            return Ok(None);
        };
        let value = value(&self.0.remove(at)).unwrap_or_default();
        match value.parse() {
            Ok(value) => Ok(Some(value)),
            Err(error) => anyhow::bail!("{name}={value}: {error}"),
        }
    }

    /// No argument is left that nobody asked for.
    ///
    /// # Errors
    ///
    /// Those that are left.
    pub fn end(self) -> anyhow::Result<()> {
        ensure!(self.0.is_empty(), "unknown arguments: {}", self.0.join(" "));
        Ok(())
    }
}
