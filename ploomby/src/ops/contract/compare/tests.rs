use schemars::JsonSchema;
use serde::Deserialize;

use serde_json::{Value as Json, json};

use super::*;

fn reasons(from: &Json, to: &Json) -> Vec<String> {
    let side = |schema| Side::new(schema, schema);
    refused(&side(from), &side(to))
}

/// As `schemars` describes them.
fn of<From: JsonSchema, To: JsonSchema>() -> Vec<String> {
    let make = || schemars::generate::SchemaSettings::draft07().into_generator();
    let from = make().into_root_schema_for::<From>().to_value();
    reasons(&from, &make().into_root_schema_for::<To>().to_value())
}

#[test]
fn what_fits_into_what_it_was_before_is_taken() {
    assert_eq!(of::<u8, u32>(), [""; 0]);
    assert_eq!(of::<u32, i64>(), [""; 0]);
    assert_eq!(of::<u32, f64>(), [""; 0]);
    assert_eq!(of::<String, Option<String>>(), [""; 0]);
    assert_eq!(of::<Vec<u8>, Vec<u16>>(), [""; 0]);
    assert_eq!(of::<Option<u8>, Option<u8>>(), [""; 0]);
}

#[test]
fn what_does_not_fit_is_named() {
    assert_eq!(of::<u32, u8>(), ["it has to be at most 255 now"]);
    assert_eq!(of::<i32, u32>(), ["it has to be at least 0 now"]);
    assert_eq!(
        of::<f64, u32>()[0],
        "it may not be number any more, but integer"
    );
    assert_eq!(
        of::<Option<String>, String>(),
        ["it may not be null any more, but string"]
    );
    assert_eq!(
        of::<Vec<u16>, Vec<u8>>(),
        ["`[]` has to be at most 255 now"]
    );
    assert_eq!(of::<Json, u8>()[0], "it has to be integer now");
}

#[allow(dead_code)]
mod old {
    use super::*;

    #[derive(Deserialize, JsonSchema)]
    pub(super) struct Order {
        id: u64,
        note: Option<String>,
        kind: Kind,
        lines: Vec<Line>,
    }

    #[derive(Deserialize, JsonSchema)]
    struct Line {
        cents: i64,
        inner: Option<Box<Line>>,
    }

    #[derive(Deserialize, JsonSchema)]
    enum Kind {
        Mail,
        Phone,
        Shop { number: u32 },
    }
}

#[allow(dead_code)]
mod new {
    use super::*;

    #[derive(Deserialize, JsonSchema)]
    pub(super) struct Order {
        id: u32,
        note: Option<String>,
        kind: Kind,
        lines: Vec<Line>,
        customer: String,
        #[serde(default)]
        gift: bool,
    }

    #[derive(Deserialize, JsonSchema)]
    struct Line {
        cents: String,
        inner: Option<Box<Line>>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    enum Kind {
        Mail,
        Shop { number: u32, floor: u8 },
    }
}

#[test]
fn structs_are_compared_field_by_field() {
    let found = of::<old::Order, new::Order>();
    let expected = [
        "`customer` is required now",
        "`id` has to be at most 4294967295 now",
        "`kind.Shop.floor` is required now",
        "`kind` may not be \"Phone\" any more",
        "`lines[].cents` may not be integer any more, but string",
    ];
    let mut found_once = found.clone();
    found_once.sort();
    assert_eq!(found_once, expected, "{found:#?}");
    assert_eq!(of::<old::Order, old::Order>(), [""; 0]);
    assert_eq!(of::<new::Order, new::Order>(), [""; 0]);
}

#[test]
fn a_field_that_is_gone_is_no_harm_unless_others_are_refused() {
    let from = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let mut to = json!({"type": "object", "properties": {}});
    assert_eq!(reasons(&from, &to), [""; 0]);
    to["additionalProperties"] = false.into();
    assert_eq!(reasons(&from, &to), ["`a` is not taken any more"]);
}

#[test]
fn formats_and_patterns_of_texts_count() {
    let text = json!({"type": "string"});
    let time = json!({"type": "string", "format": "date-time"});
    assert_eq!(
        reasons(&text, &time),
        ["it has to be of the format `date-time` now"]
    );
    assert_eq!(reasons(&time, &text), [""; 0]);
    let short = json!({"type": "string", "maxLength": 9});
    assert_eq!(
        reasons(&text, &short),
        ["it has to be a length of at most 9 now"]
    );
}

#[test]
fn what_is_no_schema_is_compared_without_harm() {
    for odd in [
        json!(null),
        json!(3),
        json!({"$ref": "#/a"}),
        json!({"$ref": 3}),
        json!([]),
    ] {
        reasons(&odd, &json!({"type": "string"}));
        reasons(&json!({"anyOf": odd}), &odd);
    }
    let circle = json!({"$ref": "#"});
    assert_eq!(reasons(&circle, &circle), [""; 0]);
}

#[allow(dead_code)]
mod shapes {
    use std::collections::HashMap;

    use super::*;

    #[derive(Deserialize, JsonSchema)]
    pub(super) struct Placed {
        id: u32,
        inner: Option<Box<Placed>>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(tag = "type")]
    pub(super) enum Tagged {
        Placed(Placed),
        Gone { why: String },
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(tag = "type")]
    pub(super) enum TaggedLater {
        Placed(Placed),
        Gone { why: String, who: String },
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(tag = "t", content = "c")]
    pub(super) enum Adjacent {
        Placed(Placed),
        Gone(Option<u8>),
        Nothing,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(untagged)]
    pub(super) enum Untagged {
        Number(u8),
        Text(String),
        Placed(Placed),
    }

    #[derive(Deserialize, JsonSchema)]
    pub(super) enum By {
        Mail { to: String },
        Phone(u32),
    }

    #[derive(Deserialize, JsonSchema)]
    pub(super) struct Flat {
        id: u32,
        #[serde(flatten)]
        by: By,
    }

    #[derive(Deserialize, JsonSchema)]
    pub(super) struct FlatTwice {
        #[serde(flatten)]
        by: By,
        #[serde(flatten)]
        tagged: Tagged,
        #[serde(flatten)]
        others: HashMap<String, String>,
    }

    #[derive(Deserialize, JsonSchema)]
    pub(super) struct FlatLater {
        id: String,
        customer: String,
        #[serde(flatten)]
        by: By,
    }

    #[derive(Deserialize, JsonSchema)]
    pub(super) enum Kind {
        Mail,
        Phone,
    }

    #[derive(Deserialize, JsonSchema)]
    pub(super) struct Email(#[schemars(email)] String);

    #[derive(Deserialize, JsonSchema)]
    pub(super) enum KindTold {
        Mail,
        /// By voice.
        Phone,
    }
}

/// Whatever serde writes a type as, a build breaks nothing of its own contract.
#[test]
fn nothing_breaks_itself() {
    use std::collections::{BTreeMap, HashMap};

    use shapes::*;

    macro_rules! same {
        ($($ty:ty),*) => {$(assert_eq!(of::<$ty, $ty>(), [""; 0], stringify!($ty));)*};
    }
    same!(
        Placed, Tagged, TaggedLater, Adjacent, Untagged, By, Flat, FlatTwice, FlatLater, Kind, KindTold,
        HashMap<String, Json>, HashMap<u32, Placed>, BTreeMap<String, Option<Tagged>>, Option<Untagged>,
        Vec<(u8, Flat)>, [Adjacent; 2], Result<u8, Tagged>, (), Json, std::time::Duration, Option<Vec<Email>>
    );
}

#[test]
fn what_stands_beside_alternatives_counts() {
    use shapes::{Flat, FlatLater, Tagged, TaggedLater};

    let found = of::<Flat, FlatLater>();
    let expected = [
        "`customer` is required now",
        "`id` may not be integer any more, but string",
    ];
    assert_eq!(found, expected);
    assert_eq!(of::<Tagged, TaggedLater>(), ["`who` is required now"]);
    assert_eq!(of::<TaggedLater, Tagged>(), [""; 0]);
}

#[test]
fn each_value_and_each_type_may_be_taken_by_another_alternative() {
    use shapes::{Email, Kind, KindTold};

    assert_eq!(of::<Kind, KindTold>(), [""; 0]);
    assert_eq!(of::<KindTold, Kind>(), [""; 0]);
    assert_eq!(
        of::<Option<String>, Option<Email>>(),
        ["it has to be of the format `email` now"]
    );
    assert_eq!(of::<Option<Email>, Option<String>>(), [""; 0]);
}

#[test]
fn the_values_of_maps_are_compared() {
    use std::collections::HashMap;

    let found = of::<HashMap<String, Json>, HashMap<String, u32>>();
    assert_eq!(found[0], "`*` has to be integer now");
    let found = of::<HashMap<u32, String>, HashMap<u32, i64>>();
    assert_eq!(found, ["`*` may not be string any more, but integer"]);
    assert_eq!(of::<HashMap<u32, u8>, HashMap<u32, i64>>(), [""; 0]);
}
