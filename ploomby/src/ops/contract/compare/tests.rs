use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::*;

fn reasons(from: &Json, to: &Json) -> Vec<String> {
    let side = |schema| Side {
        document: schema,
        schema,
    };
    refused(side(from), side(to))
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
