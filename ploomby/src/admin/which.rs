//! Which letters a page or a form means.

use maud::Markup;
use url::form_urlencoded;

use super::{guard::Fields, page::hidden, walk::Trouble};
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

/// The field of a form that holds all of it.
const FIELD: &str = "which";

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
    /// What a query or a form says.
    ///
    /// # Errors
    ///
    /// A part that is not understood: without it, more letters would be meant.
    pub(super) fn of(fields: &Fields) -> Result<Self, Trouble> {
        let whole = fields.get(FIELD).map(|whole| Fields::of(whole.as_bytes()));
        let fields = whole.as_ref().unwrap_or(fields);
        let text = |name| fields.get(name).map(str::to_owned);
        // a letter or a group may have an empty name, which is another thing than none
        let name = |name| fields.said(name).map(str::to_owned);
        let group = match (fields.said("group_by"), name("group")) {
            (None, None) => None,
            (by, name) => {
                let by = by.unwrap_or_default();
                let kind = kind_of(by).ok_or_else(|| Trouble::NoGroups(by.to_owned()))?;
                Some((kind, name))
            }
        };
        Ok(Self {
            queue: text("queue").unwrap_or_default(),
            id: name("id"),
            key: text("key"),
            reason: text("reason"),
            error: text("error"),
            group,
        })
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

    /// The same as one field of a form. A browser changes the line breaks of what a form holds: here they are escaped.
    pub(super) fn field(&self) -> Markup {
        hidden([(FIELD, query(self.fields()).as_str())])
    }

    /// The queue and the letter, where one is named.
    pub(super) fn letter(&self) -> (&str, &str) {
        (&self.queue, self.id.as_deref().unwrap_or_default())
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
    format!("{path}?{}", query(fields))
}

fn query<'q>(fields: impl IntoIterator<Item = (&'static str, impl AsRef<str> + 'q)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        query.append_pair(name, value.as_ref());
    }
    query.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_means_what_it_was_made_of() {
        let query = "queue=a%26b&key=k%20%C3%A9&error=x%3D%22&group_by=reason&group=panic";
        let which = Which::of(&Fields::of(query.as_bytes())).unwrap();
        assert_eq!(which.queue, "a&b");
        let words = "with the key “k é”, whose error has “x=\"”, of the reason “panic”";
        assert_eq!(which.words().as_deref(), Some(words));
        let link = which.link("letters");
        let (path, query) = link.split_once('?').unwrap();
        assert_eq!(path, "letters");
        let again = Which::of(&Fields::of(query.as_bytes())).unwrap();
        assert_eq!(again.fields(), which.fields());

        let nameless = which.of_group(GroupBy::Build, None);
        let again = Which::of(&Fields::of(&nameless.link("x").as_bytes()[2..])).unwrap();
        assert_eq!(again.fields(), nameless.fields());
        assert!(
            Which::of(&Fields::of(b"queue=q"))
                .unwrap()
                .filter()
                .is_all()
        );
    }
    #[test]
    fn an_empty_name_is_another_thing_than_none() {
        let of = |query: &str| Which::of(&Fields::of(query.as_bytes())).unwrap();
        assert!(!of("queue=q&id=").filter().is_all());
        let group = of("queue=q").of_group(GroupBy::Key, Some(""));
        let again = of(&group.link("x")[2..]);
        assert_eq!(again.fields(), group.fields());
        assert!(of("queue=q&key=&reason=&error=").filter().is_all());
    }

    #[test]
    fn what_is_not_understood_means_nothing_rather_than_all() {
        for query in [
            "queue=q&group_by=errors&group=x",
            "queue=q&group_by=&group=x",
            "queue=q&group=x",
            "which=queue%3Dq%26group%3Dx",
        ] {
            let which = Which::of(&Fields::of(query.as_bytes()));
            assert!(matches!(which, Err(Trouble::NoGroups(_))), "{query}");
        }
    }

    #[test]
    fn a_form_keeps_the_ends_of_lines() {
        let which = Which::default().of_group(GroupBy::Error, Some("no\nluck\r\n&=\"\r"));
        let form = which.field().into_string();
        let (_, value) = form.split_once("value=\"").unwrap();
        let value = value.split('"').next().unwrap().replace("&amp;", "&");
        assert!(!value.contains(['\n', '\r']), "{value}");
        let sent = query([("which", value)]);
        let again = Which::of(&Fields::of(sent.as_bytes())).unwrap();
        assert_eq!(again.fields(), which.fields());
    }
}
