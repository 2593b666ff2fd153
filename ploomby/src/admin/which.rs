//! Which letters a page or a form means.

use url::form_urlencoded;

use super::guard::Fields;
use crate::ops::{Filter, GroupBy};

/// The letters of a queue that all of this holds for.
#[derive(Clone, Debug, Default)]
pub(super) struct Which {
    pub(super) queue: String,
    id: Option<String>,
    pub(super) key: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) error: Option<String>,
    group: Option<(GroupBy, Option<String>)>,
}

/// The names of the kinds of groups.
pub(super) const KINDS: [(GroupBy, &str); 5] = [
    (GroupBy::Error, "error"),
    (GroupBy::Key, "key"),
    (GroupBy::Reason, "reason"),
    (GroupBy::Handler, "handler"),
    (GroupBy::Build, "build"),
];

/// The kind of groups of this name.
pub(super) fn kind_of(name: &str) -> Option<GroupBy> {
    let found = KINDS.iter().find(|(_, known)| *known == name);
    found.map(|(kind, _)| *kind)
}

pub(super) fn name_of(kind: GroupBy) -> &'static str {
    let found = KINDS.iter().find(|(known, _)| *known == kind);
    found.map_or("error", |(_, name)| name)
}

impl Which {
    pub(super) fn of(fields: &Fields) -> Self {
        let text = |name| fields.get(name).map(str::to_owned);
        let kind = fields.get("group_by").and_then(kind_of);
        Self {
            queue: text("queue").unwrap_or_default(),
            id: text("id"),
            key: text("key"),
            reason: text("reason"),
            error: text("error"),
            group: kind.map(|kind| (kind, text("group"))),
        }
    }

    /// One letter.
    pub(super) fn one(queue: &str, id: &str) -> Self {
        Self {
            queue: queue.to_owned(),
            id: Some(id.to_owned()),
            ..Self::default()
        }
    }

    /// Those of them that are in one group.
    pub(super) fn of_group(&self, kind: GroupBy, name: Option<&str>) -> Self {
        Self {
            group: Some((kind, name.map(str::to_owned))),
            ..self.clone()
        }
    }

    pub(super) fn filter(&self) -> Filter {
        let mut filter = Filter::all();
        if let Some(id) = &self.id {
            filter = filter.id(id);
        }
        if let Some(key) = &self.key {
            filter = filter.key(key);
        }
        if let Some(reason) = &self.reason {
            filter = filter.reason(reason);
        }
        if let Some(error) = &self.error {
            filter = filter.error(error);
        }
        if let Some((kind, name)) = &self.group {
            filter = filter.group(*kind, name.clone());
        }
        filter
    }

    /// The same as fields of a form or a query.
    pub(super) fn fields(&self) -> Vec<(&'static str, &str)> {
        let mut fields = vec![("queue", self.queue.as_str())];
        let texts = [
            ("id", &self.id),
            ("key", &self.key),
            ("reason", &self.reason),
            ("error", &self.error),
        ];
        for (name, text) in texts {
            fields.extend(text.as_deref().map(|text| (name, text)));
        }
        if let Some((kind, name)) = &self.group {
            fields.push(("group_by", name_of(*kind)));
            fields.extend(name.as_deref().map(|name| ("group", name)));
        }
        fields
    }

    pub(super) fn link(&self, path: &str) -> String {
        link(path, self.fields())
    }

    /// The same in words; None for all letters.
    pub(super) fn words(&self) -> Option<String> {
        let mut words = Vec::new();
        let texts = [
            ("named", &self.id),
            ("with the key", &self.key),
            ("with the reason", &self.reason),
            ("whose error has", &self.error),
        ];
        for (word, text) in texts {
            words.extend(text.as_deref().map(|text| format!("{word} “{text}”")));
        }
        match &self.group {
            Some((kind, Some(name))) => words.push(format!("of the {} “{name}”", name_of(*kind))),
            Some((kind, None)) => words.push(format!("without a known {}", name_of(*kind))),
            None => {}
        }
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// A link with a query, relative to all other pages.
pub(super) fn link<'q>(
    path: &str,
    fields: impl IntoIterator<Item = (&'static str, impl AsRef<str> + 'q)>,
) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        query.append_pair(name, value.as_ref());
    }
    format!("{path}?{}", query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_means_what_it_was_made_of() {
        let query = "queue=a%26b&key=k%20%C3%A9&error=x%3D%22&group_by=reason&group=panic";
        let which = Which::of(&Fields::of(query.as_bytes()));
        assert_eq!(which.queue, "a&b");
        let words = "with the key “k é”, whose error has “x=\"”, of the reason “panic”";
        assert_eq!(which.words().as_deref(), Some(words));
        let link = which.link("letters");
        let (path, query) = link.split_once('?').unwrap();
        assert_eq!(path, "letters");
        let again = Which::of(&Fields::of(query.as_bytes()));
        assert_eq!(again.fields(), which.fields());

        let nameless = which.of_group(GroupBy::Build, None);
        let again = Which::of(&Fields::of(&nameless.link("x").as_bytes()[2..]));
        assert_eq!(again.fields(), nameless.fields());
        assert!(Which::of(&Fields::of(b"queue=q")).filter().is_all());
    }
}
