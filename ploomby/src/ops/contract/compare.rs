//! Whether all that one schema allows is allowed by another: what is sent after the one is then read by who goes after the
//! other. It knows what draft 7 of JSON Schema and `schemars` write about types; what it does not know it takes as
//! allowed.

use serde_json::Value as Json;

pub(crate) use self::side::Side;

mod limits;
mod side;

/// Why a value after the schema `from` may be none after `to`, each with the path of the field that it is about.
pub(crate) fn refused<'s>(from: &Side<'s>, to: &Side<'s>) -> Vec<String> {
    let mut found = Found {
        reasons: Vec::new(),
        path: Vec::new(),
        inside: Vec::new(),
        left: MOST,
    };
    found.compare(from, to);
    found.reasons
}

/// So many pairs are compared. Alternatives of alternatives multiply.
const MOST: usize = 20_000;

struct Found<'s> {
    reasons: Vec<String>,
    path: Vec<String>,
    /// Pairs that are compared further out: a type may hold itself.
    inside: Vec<(Side<'s>, Side<'s>)>,
    left: usize,
}

/// The bounds of numbers and lengths: what is less, or more, is refused.
const LEAST: [(&str, &str); 4] = [
    ("minimum", "at least"),
    ("exclusiveMinimum", "more than"),
    ("minLength", "a length of at least"),
    ("minItems", "at least so many items:"),
];
const GREATEST: [(&str, &str); 4] = [
    ("maximum", "at most"),
    ("exclusiveMaximum", "less than"),
    ("maxLength", "a length of at most"),
    ("maxItems", "at most so many items:"),
];

impl<'s> Found<'s> {
    fn compare(&mut self, from: &Side<'s>, to: &Side<'s>) {
        let is_pair = |(a, b): &(Side<'s>, Side<'s>)| a.is_same(from) && b.is_same(to);
        if self.left == 0 || self.inside.iter().any(is_pair) {
            return;
        }
        self.left -= 1;
        self.inside.push((from.clone(), to.clone()));
        self.compare_anew(from, to);
        self.inside.pop();
    }

    fn compare_anew(&mut self, from: &Side<'s>, to: &Side<'s>) {
        if to.is_never() {
            return self.refuse("is not taken any more");
        }
        // whatever is sent has to be taken
        if let Some(alternatives) = from.alternatives() {
            for alternative in &alternatives {
                self.compare(alternative, to);
            }
            return;
        }
        // one of each has to take it, and what stands beside them as well
        for alternatives in to.choices() {
            self.one_of(from, &alternatives);
        }
        for part in to.each_part() {
            self.compare_plain(from, &part, to);
        }
    }

    /// It is enough if one of them allows it; else the reasons of the one that comes nearest are told.
    fn one_of(&mut self, from: &Side<'s>, alternatives: &[Side<'s>]) {
        // each value, or type, by itself: one may be taken by another alternative than the next
        let single = from.each_alone();
        for from in single.as_deref().unwrap_or(std::slice::from_ref(from)) {
            let mut nearest: Option<(bool, Vec<String>)> = None;
            for alternative in alternatives {
                let mut found = Self {
                    reasons: Vec::new(),
                    path: self.path.clone(),
                    inside: self.inside.clone(),
                    left: self.left,
                };
                found.compare(from, alternative);
                self.left = found.left;
                let tried = (!from.is_akin(alternative), found.reasons);
                let is_nearer = nearest
                    .as_ref()
                    .is_none_or(|nearest| (tried.0, tried.1.len()) < (nearest.0, nearest.1.len()));
                if is_nearer {
                    nearest = Some(tried);
                }
            }
            for reason in nearest.into_iter().flat_map(|(_, reasons)| reasons) {
                self.add(reason);
            }
        }
    }

    /// With one schema that has no alternatives, of all that belong together.
    fn compare_plain(&mut self, from: &Side<'s>, to: &Side<'s>, all: &Side<'s>) {
        if self.values(from, to) {
            return;
        }
        self.types(from, to);
        self.bounds(from, to);
        self.texts(from, to);
        self.fields(from, to, all);
        self.items(from, to);
    }

    /// Where single values are listed. Whether that was all there is to compare.
    fn values(&mut self, from: &Side<'s>, to: &Side<'s>) -> bool {
        let Some(taken) = to.values() else {
            return false;
        };
        match from.values() {
            Some(sent) => {
                for value in sent.iter().filter(|value| !taken.contains(value)) {
                    self.refuse(&format!("may not be {value} any more"));
                }
            }
            None => {
                let taken: Vec<_> = taken.iter().map(|value| value.to_string()).collect();
                self.refuse(&format!("may only be {} now", taken.join(", ")));
            }
        }
        true
    }

    fn types(&mut self, from: &Side<'s>, to: &Side<'s>) {
        let Some(taken) = to.types() else {
            return;
        };
        let Some(sent) = from.types() else {
            return self.refuse(&format!("has to be {} now", taken.join(" or ")));
        };
        let is_taken =
            |sent: &&str| taken.contains(sent) || (*sent == "integer" && taken.contains(&"number"));
        for gone in sent.iter().filter(|sent| !is_taken(sent)) {
            self.refuse(&format!(
                "may not be {gone} any more, but {}",
                taken.join(" or ")
            ));
        }
    }

    fn bounds(&mut self, from: &Side<'s>, to: &Side<'s>) {
        let all = LEAST.map(|bound| (bound, false)).into_iter();
        for ((name, words), is_greatest) in all.chain(GREATEST.map(|bound| (bound, true))) {
            let Some(limit) = to.bound(name, is_greatest) else {
                continue;
            };
            let is_kept = match (from.bound(name, is_greatest), is_greatest) {
                (Some(known), true) => known <= limit,
                (Some(known), false) => known >= limit,
                // a value of another type has no such bound
                (None, _) => !from.can_have(name),
            };
            if !is_kept {
                self.refuse(&format!("has to be {words} {limit} now"));
            }
        }
    }

    fn texts(&mut self, from: &Side<'s>, to: &Side<'s>) {
        for name in ["pattern", "format"] {
            // of numbers a format says how they are kept
            let is_text = from.types().is_some_and(|types| types.contains(&"string"));
            let taken = to.texts(name);
            let Some(taken) = taken
                .first()
                .filter(|taken| is_text && limits::of(taken).is_none())
            else {
                continue;
            };
            if !from.texts(name).contains(taken) {
                self.refuse(&format!("has to be of the {name} `{taken}` now"));
            }
        }
    }

    fn fields(&mut self, from: &Side<'s>, to: &Side<'s>, all: &Side<'s>) {
        if from.types().is_some_and(|types| !types.contains(&"object")) {
            return;
        }
        let required = from.required();
        for name in to.required() {
            if !required.contains(&name) {
                self.within(name, |found| found.refuse("is required now"));
            }
        }
        let other = to.other_fields();
        for name in from.field_names() {
            // a map that is flattened does not mean what has a name elsewhere
            let other = other
                .clone()
                .filter(|other| all.field(name).is_none() && (other.is_never() || all.is_single()));
            let taken = to.field(name).or(other);
            if let (Some(sent), Some(taken)) = (from.field(name), taken) {
                self.within(name, |found| found.compare(&sent, &taken));
            }
        }
        // of a map
        if let Some(sent) = from.other_fields().filter(|sent| !sent.is_never()) {
            if let Some(taken) = to.other_fields() {
                self.within("*", |found| found.compare(&sent, &taken));
            }
        }
        for (pattern, sent) in from.fields_by_pattern() {
            let by_pattern = to.fields_by_pattern().into_iter();
            let mut by_pattern = by_pattern.filter(|(known, _)| *known == pattern);
            let taken = by_pattern
                .next()
                .map(|(_, taken)| taken)
                .or(to.other_fields());
            if let Some(taken) = taken {
                self.within("*", |found| found.compare(&sent, &taken));
            }
        }
    }

    fn items(&mut self, from: &Side<'s>, to: &Side<'s>) {
        for (sent, taken) in from.items_beside(to) {
            self.within("[]", |found| found.compare(&sent, &taken));
        }
    }

    fn within(&mut self, name: &str, compare: impl FnOnce(&mut Self)) {
        self.path.push(name.to_owned());
        compare(self);
        self.path.pop();
    }

    fn refuse(&mut self, what: &str) {
        let path = self.path.join(".").replace(".[]", "[]");
        let about = match path.is_empty() {
            true => "it".to_owned(),
            false => format!("`{path}`"),
        };
        self.add(format!("{about} {what}"));
    }

    fn add(&mut self, reason: String) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }
}

fn types_of(values: &[&Json]) -> Vec<&'static str> {
    let of = |value: &&Json| match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_f64() => "number",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    };
    values.iter().map(of).collect()
}

#[cfg(test)]
mod tests;
