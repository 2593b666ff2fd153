use std::time::SystemTime;

use super::{GroupBy, Letter};
use crate::message::Value;

/// Which letters are meant: those that all of this holds for. The default means all.
///
/// ```
/// use ploomby::ops::Filter;
///
/// let filter = Filter::all().key("charge").error("card");
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Filter {
    ids: Vec<String>,
    key: Option<String>,
    reason: Option<String>,
    error: Option<String>,
    headers: Vec<(String, String)>,
    since: Option<SystemTime>,
    until: Option<SystemTime>,
    group: Option<(GroupBy, Option<String>)>,
}

impl Filter {
    /// All letters.
    pub fn all() -> Self {
        Self::default()
    }

    /// The letter of this name, beside others that are named. The last eight characters or more are enough.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.ids.push(id.into());
        self
    }

    /// Those with this key.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Those that failed for this [`Reason`](crate::Reason), as text.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Those with this text in their error.
    pub fn error(mut self, text: impl Into<String>) -> Self {
        self.error = Some(text.into());
        self
    }

    /// Those with a header of this value: text, or a number in its digits.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Those that failed at this time or later.
    pub fn since(mut self, time: SystemTime) -> Self {
        self.since = Some(time);
        self
    }

    /// Those that failed before this time.
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(time);
        self
    }

    /// Those of one [`Group`](super::Group): its name, which is None for letters that say nothing.
    pub fn group<N: Into<String>>(mut self, by: GroupBy, name: Option<N>) -> Self {
        self.group = Some((by, name.map(Into::into)));
        self
    }

    /// Whether every letter is meant.
    pub fn is_all(&self) -> bool {
        let Self {
            ids,
            key,
            reason,
            error,
            headers,
            since,
            until,
            group,
        } = self;
        let texts = [key, reason, error];
        ids.is_empty()
            && headers.is_empty()
            && texts.iter().all(|text| text.is_none())
            && since.is_none()
            && until.is_none()
            && group.is_none()
    }

    /// How many letters it can mean at most, where that is known.
    pub(super) fn most(&self) -> Option<usize> {
        (!self.ids.is_empty()).then_some(self.ids.len())
    }

    /// Whether this letter is meant.
    pub fn matches(&self, letter: &Letter) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == found
        };
        let has_text = |text: &String| letter.error().is_some_and(|error| error.contains(text));
        let has_header = |(name, wanted): &(String, String)| {
            let value = letter.headers().get(name);
            value.is_some_and(|value| match &value {
                Value::Text(text) => text == wanted,
                Value::Bool(value) => value.to_string() == *wanted,
                Value::Timestamp(seconds) => seconds.to_string() == *wanted,
                other => other.number_text().as_ref() == Some(wanted),
            })
        };
        let failed_at = letter.failed_at();
        let is_named = || self.ids.iter().any(|id| letter.is_named(id));
        let is_of_group = |(by, name): &(GroupBy, Option<String>)| by.name_of(letter) == *name;
        (self.ids.is_empty() || is_named())
            && is(&self.key, letter.key())
            && is(&self.reason, letter.reason())
            && self.error.iter().all(has_text)
            && self.headers.iter().all(has_header)
            && self.group.iter().all(is_of_group)
            && self.since.is_none_or(|since| failed_at >= Some(since))
            && self
                .until
                .is_none_or(|until| failed_at.is_some_and(|at| at < until))
    }
}
