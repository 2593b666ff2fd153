//! Whether all that one schema allows is allowed by another: what is sent after the one is then read by who goes after the
//! other. It knows what draft 7 of JSON Schema and `schemars` write about types; what it does not know it takes as
//! allowed.

use serde_json::{Map, Value as Json};

use crate::ops::check::pointed;

/// A schema with the document that its references are about.
#[derive(Clone, Copy)]
pub(crate) struct Side<'s> {
    pub(crate) document: &'s Json,
    pub(crate) schema: &'s Json,
}

/// Why a value after the schema `from` may be none after `to`, each with the path of the field that it is about.
pub(crate) fn refused(from: Side<'_>, to: Side<'_>) -> Vec<String> {
    let mut found = Found {
        reasons: Vec::new(),
        path: Vec::new(),
        inside: Vec::new(),
    };
    found.compare(from, to);
    found.reasons
}

struct Found {
    reasons: Vec<String>,
    path: Vec<String>,
    /// Pairs that are compared further out: a type may hold itself.
    inside: Vec<(*const Json, *const Json)>,
}

/// The bounds of numbers and lengths: what is less, or more, is refused.
const LEAST: [(&str, &str); 4] = [
    ("minimum", "at least"),
    ("exclusiveMinimum", "more than"),
    ("minLength", "a length of at least"),
    ("minItems", "at least so many items:"),
];
const MOST: [(&str, &str); 4] = [
    ("maximum", "at most"),
    ("exclusiveMaximum", "less than"),
    ("maxLength", "a length of at most"),
    ("maxItems", "at most so many items:"),
];

impl Found {
    fn compare(&mut self, from: Side<'_>, to: Side<'_>) {
        let (from, to) = (from.resolved(), to.resolved());
        let pair = (
            std::ptr::from_ref(from.schema),
            std::ptr::from_ref(to.schema),
        );
        if self.inside.contains(&pair) {
            return;
        }
        self.inside.push(pair);
        self.compare_resolved(from, to);
        self.inside.pop();
    }

    fn compare_resolved(&mut self, from: Side<'_>, to: Side<'_>) {
        if to.schema == &Json::Bool(false) {
            return self.refuse("is not taken any more");
        }
        // all that is said of one value together
        for part in to.list("allOf") {
            self.compare(from, part);
        }
        if let [only] = from.list("allOf")[..] {
            return self.compare(only, to);
        }
        if let Some(alternatives) = from.alternatives() {
            for alternative in alternatives {
                self.compare(alternative, to);
            }
            return;
        }
        if let Some(alternatives) = to.alternatives() {
            return self.one_of(from, &alternatives);
        }
        if self.values(from, to) {
            return;
        }
        self.types(from, to);
        self.bounds(from, to);
        self.texts(from, to);
        self.fields(from, to);
        self.items(from, to);
    }

    /// It is enough if one of them allows it; else the reasons of the one that comes nearest are told.
    fn one_of(&mut self, from: Side<'_>, alternatives: &[Side<'_>]) {
        let tried = alternatives.iter().map(|alternative| {
            let mut found = Self {
                reasons: Vec::new(),
                path: self.path.clone(),
                inside: self.inside.clone(),
            };
            found.compare(from, *alternative);
            (from.is_akin(alternative.resolved()), found.reasons)
        });
        let nearest = tried.min_by_key(|(is_akin, reasons)| (!is_akin, reasons.len()));
        let reasons = nearest.map(|(_, reasons)| reasons);
        self.reasons.extend(reasons.into_iter().flatten());
    }

    /// Where single values are listed. Whether that was all there is to compare.
    fn values(&mut self, from: Side<'_>, to: Side<'_>) -> bool {
        let Some(taken) = to.values() else {
            return false;
        };
        match from.values() {
            Some(sent) => {
                let gone = sent.iter().filter(|value| !taken.contains(value));
                for value in gone.map(|value| value.to_string()).collect::<Vec<_>>() {
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

    fn types(&mut self, from: Side<'_>, to: Side<'_>) {
        let Some(taken) = to.types() else {
            return;
        };
        let sent = from
            .types()
            .or_else(|| from.values().map(|values| types_of(&values)));
        let Some(sent) = sent else {
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

    fn bounds(&mut self, from: Side<'_>, to: Side<'_>) {
        let all = LEAST.map(|bound| (bound, false)).into_iter();
        for ((name, words), is_most) in all.chain(MOST.map(|bound| (bound, true))) {
            let Some(limit) = to.number(name).or_else(|| to.limit_of_format(name)) else {
                continue;
            };
            let known = from.number(name).or_else(|| from.limit_of_format(name));
            let is_kept = match (known, is_most) {
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

    fn texts(&mut self, from: Side<'_>, to: Side<'_>) {
        for name in ["pattern", "format"] {
            let Some(taken) = to.text(name).filter(|taken| limits(taken).is_none()) else {
                continue;
            };
            // of numbers a format says how they are kept
            let is_text = from.types().is_some_and(|types| types.contains(&"string"));
            if is_text && from.text(name) != Some(taken) {
                self.refuse(&format!("has to be of the {name} `{taken}` now"));
            }
        }
    }

    fn fields(&mut self, from: Side<'_>, to: Side<'_>) {
        let required = from.names("required");
        for name in to.names("required") {
            if !required.contains(&name) {
                self.within(name, |found| found.refuse("is required now"));
            }
        }
        let (sent, taken) = (from.map("properties"), to.map("properties"));
        let other = to.schema.get("additionalProperties");
        for (name, schema) in sent.into_iter().flatten() {
            let taken = taken.and_then(|taken| taken.get(name)).or(other);
            if let Some(taken) = taken {
                self.within(name, |found| found.compare(from.at(schema), to.at(taken)));
            }
        }
        // of a map
        let of_both = (from.schema.get("additionalProperties"), other);
        if let (Some(from_other @ Json::Object(_)), Some(other)) = of_both {
            self.within("*", |found| {
                found.compare(from.at(from_other), to.at(other))
            });
        }
    }

    fn items(&mut self, from: Side<'_>, to: Side<'_>) {
        let (Some(sent), Some(taken)) = (from.schema.get("items"), to.schema.get("items")) else {
            return;
        };
        let pairs: Vec<_> = match (sent, taken) {
            (Json::Array(sent), Json::Array(taken)) => sent.iter().zip(taken).collect(),
            (Json::Array(sent), taken) => sent.iter().map(|sent| (sent, taken)).collect(),
            (sent, Json::Array(taken)) => taken.iter().map(|taken| (sent, taken)).collect(),
            pair => vec![pair],
        };
        for (sent, taken) in pairs {
            self.within("[]", |found| found.compare(from.at(sent), to.at(taken)));
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
        let reason = format!("{about} {what}");
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }
}

impl<'s> Side<'s> {
    fn at(self, schema: &'s Json) -> Self {
        Self { schema, ..self }
    }

    fn resolved(mut self) -> Self {
        // a reference to a reference is rare, and one to itself no schema
        for _ in 0..16 {
            let Some(schema) = pointed(self.document, self.schema) else {
                break;
            };
            self.schema = schema;
        }
        self
    }

    fn list(self, name: &str) -> Vec<Self> {
        let list = self.schema.get(name).and_then(Json::as_array);
        list.into_iter()
            .flatten()
            .map(|schema| self.at(schema))
            .collect()
    }

    fn alternatives(self) -> Option<Vec<Self>> {
        let names = ["anyOf", "oneOf"].into_iter();
        names
            .map(|name| self.list(name))
            .find(|list| !list.is_empty())
    }

    /// All values that there can be, where they are listed.
    fn values(self) -> Option<Vec<&'s Json>> {
        let one = self.schema.get("const").map(|value| vec![value]);
        one.or_else(|| Some(self.schema.get("enum")?.as_array()?.iter().collect()))
    }

    fn types(self) -> Option<Vec<&'s str>> {
        match self.schema.get("type")? {
            Json::String(one) => Some(vec![one]),
            Json::Array(some) => Some(some.iter().filter_map(Json::as_str).collect()),
            _ => None,
        }
    }

    /// Whether both may have values of one type.
    fn is_akin(self, other: Self) -> bool {
        let (Some(own), Some(others)) = (self.types(), other.types()) else {
            return true;
        };
        own.iter().any(|own| others.contains(own))
    }

    /// Whether a bound of this name means anything to its values.
    fn can_have(self, name: &str) -> bool {
        let of = match name {
            "minLength" | "maxLength" => ["string", "string"],
            "minItems" | "maxItems" => ["array", "array"],
            _ => ["number", "integer"],
        };
        self.types()
            .is_none_or(|types| of.iter().any(|of| types.contains(of)))
    }

    fn number(self, name: &str) -> Option<f64> {
        self.schema.get(name)?.as_f64()
    }

    /// What an integer of so many bits can be.
    fn limit_of_format(self, name: &str) -> Option<f64> {
        let (least, most) = limits(self.text("format")?)?;
        match name {
            "minimum" => Some(least),
            "maximum" => Some(most),
            _ => None,
        }
    }

    fn text(self, name: &str) -> Option<&'s str> {
        self.schema.get(name)?.as_str()
    }

    fn names(self, name: &str) -> Vec<&'s str> {
        let names = self.schema.get(name).and_then(Json::as_array);
        names
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect()
    }

    fn map(self, name: &str) -> Option<&'s Map<String, Json>> {
        self.schema.get(name)?.as_object()
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

/// What fits into an integer, by the format that `schemars` gives it.
fn limits(format: &str) -> Option<(f64, f64)> {
    let (is_signed, bits) = match format.strip_prefix("uint") {
        Some(bits) => (false, bits),
        None => (true, format.strip_prefix("int")?),
    };
    let bits: i32 = match bits {
        "" => 64,
        bits => bits.parse().ok()?,
    };
    Some(match is_signed {
        true => (-(2_f64.powi(bits - 1)), 2_f64.powi(bits - 1) - 1.0),
        false => (0.0, 2_f64.powi(bits) - 1.0),
    })
}

#[cfg(test)]
mod tests;
