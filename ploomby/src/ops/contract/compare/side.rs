//! One of two schemas that are compared: all that is said of one value, however it is spread.

use std::ptr;

use serde_json::{Map, Value as Json};

use super::{limits, types_of};
use crate::ops::check::pointed;

/// Schemas that a value has to keep together: `allOf` is taken apart, and references are followed.
#[derive(Clone, Debug)]
pub(crate) struct Side<'s> {
    /// What the references are about.
    document: &'s Json,
    parts: Vec<&'s Json>,
    /// The parts of which one alternative is a part by itself.
    chosen: Vec<&'s Json>,
    /// A single one of the types, or of the values, that the parts allow.
    only_type: Option<&'s str>,
    only_value: Option<&'s Json>,
}

impl<'s> Side<'s> {
    pub(crate) fn new(document: &'s Json, schema: &'s Json) -> Self {
        let mut side = Self {
            document,
            parts: Vec::new(),
            chosen: Vec::new(),
            only_type: None,
            only_value: None,
        };
        side.add(schema);
        side
    }

    fn add(&mut self, schema: &'s Json) {
        self.add_within(schema, 32);
    }

    /// A reference to itself is no schema.
    fn add_within(&mut self, schema: &'s Json, depth: usize) {
        if depth == 0 || self.parts.iter().any(|part| ptr::eq(*part, schema)) {
            return;
        }
        // nothing that stands beside a reference counts in draft 7
        if let Some(meant) = pointed(self.document, schema) {
            return self.add_within(meant, depth - 1);
        }
        self.parts.push(schema);
        for part in list(schema, "allOf") {
            self.add_within(part, depth - 1);
        }
    }

    fn and(&self, schema: &'s Json) -> Self {
        let mut side = self.clone();
        side.add(schema);
        side
    }

    fn at(&self, schema: &'s Json) -> Self {
        Self::new(self.document, schema)
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        let same = |a: Option<&Json>, b: Option<&Json>| match (a, b) {
            (Some(a), Some(b)) => ptr::eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        self.parts.len() == other.parts.len()
            && self
                .parts
                .iter()
                .zip(&other.parts)
                .all(|(a, b)| ptr::eq(*a, *b))
            && self.chosen.len() == other.chosen.len()
            && self.only_type == other.only_type
            && same(self.only_value, other.only_value)
    }

    /// Nothing is allowed.
    pub(super) fn is_never(&self) -> bool {
        self.parts.contains(&&Json::Bool(false))
    }

    pub(super) fn each_part(&self) -> impl Iterator<Item = Self> + '_ {
        self.parts.iter().map(|part| Self {
            parts: vec![part],
            ..self.clone()
        })
    }

    /// What it can be, one after another, each with what is said beside the alternatives.
    pub(super) fn alternatives(&self) -> Option<Vec<Self>> {
        let part = self.parts.iter().find(|part| self.is_open(part))?;
        let mut beside = self.clone();
        match says_only_choice(part) {
            true => beside.parts.retain(|known| !ptr::eq(*known, *part)),
            false => beside.chosen.push(part),
        }
        let each = choice(part)
            .iter()
            .map(|alternative| beside.and(alternative));
        Some(each.collect())
    }

    /// The alternatives of which one has to hold, of each part that has some.
    pub(super) fn choices(&self) -> Vec<Vec<Self>> {
        let open = self.parts.iter().filter(|part| self.is_open(part));
        let choices = open.map(|part| choice(part).iter().map(|schema| self.at(schema)).collect());
        choices.collect()
    }

    fn is_open(&self, part: &'s Json) -> bool {
        !choice(part).is_empty() && !self.chosen.iter().any(|chosen| ptr::eq(*chosen, part))
    }

    /// Each value that is listed, or each type, if there are several.
    pub(super) fn each_alone(&self) -> Option<Vec<Self>> {
        if let Some(values) = self.values() {
            let alone = values.into_iter().map(|value| Self {
                only_value: Some(value),
                ..self.clone()
            });
            return Some(alone.collect());
        }
        let types = self.types().filter(|types| types.len() > 1)?;
        let alone = types.into_iter().map(|only| Self {
            only_type: Some(only),
            ..self.clone()
        });
        Some(alone.collect())
    }

    /// All values that there can be, where they are listed.
    pub(super) fn values(&self) -> Option<Vec<&'s Json>> {
        if let Some(only) = self.only_value {
            return Some(vec![only]);
        }
        let listed = self.parts.iter().filter_map(|part| {
            let one = part.get("const").map(|value| vec![value]);
            one.or_else(|| Some(part.get("enum")?.as_array()?.iter().collect()))
        });
        listed.reduce(|mut all, more| {
            all.retain(|value| more.contains(value));
            all
        })
    }

    pub(super) fn types(&self) -> Option<Vec<&'s str>> {
        if let Some(only) = self.only_type {
            return Some(vec![only]);
        }
        if let Some(values) = self.values() {
            return Some(types_of(&values));
        }
        let listed = self
            .parts
            .iter()
            .filter_map(|part| match part.get("type")? {
                Json::String(one) => Some(vec![one.as_str()]),
                Json::Array(some) => Some(some.iter().filter_map(Json::as_str).collect()),
                _ => None,
            });
        listed.reduce(|mut all, more| {
            all.retain(|ty| more.contains(ty));
            all
        })
    }

    /// Whether both may have values of one type.
    pub(super) fn is_akin(&self, other: &Self) -> bool {
        let (Some(own), Some(others)) = (self.types(), other.types()) else {
            return true;
        };
        own.iter().any(|own| others.contains(own))
    }

    /// Whether all of it is one schema without alternatives.
    pub(super) fn is_single(&self) -> bool {
        matches!(self.parts[..], [only] if choice(only).is_empty())
    }

    /// Whether a bound of this name means anything to its values.
    pub(super) fn can_have(&self, name: &str) -> bool {
        let of = match name {
            "minLength" | "maxLength" => ["string", "string"],
            "minItems" | "maxItems" => ["array", "array"],
            _ => ["number", "integer"],
        };
        self.types()
            .is_none_or(|types| of.iter().any(|of| types.contains(of)))
    }

    /// The narrowest bound of this name.
    pub(super) fn bound(&self, name: &str, is_greatest: bool) -> Option<f64> {
        let narrower = if is_greatest { f64::min } else { f64::max };
        let own = self.parts.iter().filter_map(|part| {
            let own = part.get(name).and_then(Json::as_f64);
            let limits = part
                .get("format")
                .and_then(Json::as_str)
                .and_then(limits::of);
            own.or(match name {
                "minimum" => limits.map(|(least, _)| least),
                "maximum" => limits.map(|(_, greatest)| greatest),
                _ => None,
            })
        });
        own.reduce(narrower)
    }

    pub(super) fn texts(&self, name: &str) -> Vec<&'s str> {
        let texts = self
            .parts
            .iter()
            .filter_map(|part| part.get(name)?.as_str());
        texts.collect()
    }

    pub(super) fn required(&self) -> Vec<&'s str> {
        let names = self.parts.iter().flat_map(|part| list(part, "required"));
        names.filter_map(Json::as_str).collect()
    }

    pub(super) fn field_names(&self) -> Vec<&'s str> {
        let mut names: Vec<_> = self
            .maps("properties")
            .flat_map(Map::keys)
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// All that is said of a field.
    pub(super) fn field(&self, name: &str) -> Option<Self> {
        self.together(
            self.maps("properties")
                .filter_map(|fields| fields.get(name)),
        )
    }

    /// What is said of fields that are not named.
    pub(super) fn other_fields(&self) -> Option<Self> {
        self.together(
            self.parts
                .iter()
                .filter_map(|part| part.get("additionalProperties")),
        )
    }

    pub(super) fn fields_by_pattern(&self) -> Vec<(&'s str, Self)> {
        let all = self.maps("patternProperties").flatten();
        all.map(|(pattern, schema)| (pattern.as_str(), self.at(schema)))
            .collect()
    }

    /// The items of a list with those of another, by their places where they have some.
    pub(super) fn items_beside(&self, other: &Self) -> Vec<(Self, Self)> {
        let items = |side: &Self| side.parts.iter().find_map(|part| part.get("items"));
        let (Some(sent), Some(taken)) = (items(self), items(other)) else {
            return Vec::new();
        };
        let pairs: Vec<_> = match (sent, taken) {
            (Json::Array(sent), Json::Array(taken)) => sent.iter().zip(taken).collect(),
            (Json::Array(sent), taken) => sent.iter().map(|sent| (sent, taken)).collect(),
            (sent, Json::Array(taken)) => taken.iter().map(|taken| (sent, taken)).collect(),
            pair => vec![pair],
        };
        let pairs = pairs.into_iter();
        pairs
            .map(|(sent, taken)| (self.at(sent), other.at(taken)))
            .collect()
    }

    fn maps(&self, name: &'static str) -> impl Iterator<Item = &'s Map<String, Json>> + '_ {
        self.parts
            .iter()
            .filter_map(move |part| part.get(name)?.as_object())
    }

    fn together(&self, mut schemas: impl Iterator<Item = &'s Json>) -> Option<Self> {
        let first = self.at(schemas.next()?);
        Some(schemas.fold(first, |side, schema| side.and(schema)))
    }
}

/// Whether there is nothing beside the alternatives that a value has to keep.
fn says_only_choice(part: &Json) -> bool {
    const OTHERS: [&str; 5] = ["anyOf", "oneOf", "title", "description", "default"];

    let names = part.as_object().into_iter().flat_map(Map::keys);
    names.map(String::as_str).all(|name| OTHERS.contains(&name))
}

fn choice(part: &Json) -> &[Json] {
    match list(part, "anyOf") {
        [] => list(part, "oneOf"),
        any => any,
    }
}

fn list<'s>(schema: &'s Json, name: &str) -> &'s [Json] {
    let list = schema.get(name).and_then(Json::as_array);
    list.map_or(&[], Vec::as_slice)
}
