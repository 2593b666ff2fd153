use std::collections::BTreeSet;

use serde_json::Value;

use crate::shop::Shop;

const LINTS: [&str; 22] = [
    "clippy::all",
    "clippy::pedantic",
    "clippy::nursery",
    "clippy::restriction",
    "clippy::cargo",
    "unused",
    "unused_lifetimes",
    "unused_qualifications",
    "unused_results",
    "unused_import_braces",
    "single_use_lifetimes",
    "redundant_lifetimes",
    "let_underscore_drop",
    "trivial_casts",
    "trivial_numeric_casts",
    "unit_bindings",
    "unreachable_pub",
    "missing_docs",
    "explicit_outlives_requirements",
    "elided_lifetimes_in_paths",
    "variant_size_differences",
    "rust_2024_compatibility",
];

/// Of the keys and values that cases give the attribute, which are the user's own and are not there without it.
const OF_VALUES: [(&str, &str); 7] = [
    ("clippy::non_ascii_literal", "keys.rs"),
    ("clippy::as_conversions", "options.rs"),
    ("clippy::implicit_return", "options.rs"),
    ("clippy::redundant_closure_for_method_calls", "options.rs"),
    ("clippy::separated_literal_suffix", "options.rs"),
    ("clippy::single_call_fn", "options.rs"),
    ("unused_qualifications", "options.rs"),
];

pub(crate) fn is_of_a_value((lint, place): &(String, String)) -> bool {
    let mut known = OF_VALUES.iter();
    known.any(|(of, file)| lint == of && place.contains(&format!("cases/ui/pass/{file}")))
}

/// Each lint, and where.
pub(crate) struct Found(BTreeSet<(String, String)>);

impl Found {
    /// Of all lints, in all crates.
    pub(crate) fn in_all(shop: &Shop) -> Self {
        let command = ["clippy", "--workspace", "--message-format=json", "--"];
        let lints = LINTS.iter().flat_map(|lint| ["-W", lint]);
        // what a case denies is found, too
        let lints = lints.chain(["--cap-lints", "warn"]);
        let arguments: Vec<_> = command.into_iter().chain(lints).collect();
        let output = shop.cargo(&arguments);
        let messages = output.lines().map(serde_json::from_str::<Value>);
        let messages = messages.filter_map(|message| message.ok()?.get("message").cloned());
        let found = messages.filter_map(|message| {
            let lint = message["code"]["code"].as_str()?.to_owned();
            let span = &message["spans"][0];
            Some((
                lint,
                format!("{}:{}", span["file_name"], span["line_start"]),
            ))
        });
        Self(found.collect())
    }

    pub(crate) fn has(&self, lint: &str) -> bool {
        self.0.iter().any(|(found, _)| found == lint)
    }

    pub(crate) fn difference<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = &'a (String, String)> {
        self.0.difference(&other.0)
    }
}
