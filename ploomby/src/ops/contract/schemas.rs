use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value as Json};

use crate::schema::SchemaOf;

/// Schemas of what is received and of what is sent. A type may look different one way and the other: where it does, the
/// name of what is sent has `Sent` behind it.
pub(super) struct Schemas {
    received: SchemaGenerator,
    sent: SchemaGenerator,
}

const SENT: &str = "Sent";

impl Schemas {
    pub(super) fn new() -> Self {
        // what AsyncAPI has schemas in
        let settings = || {
            let mut settings = SchemaSettings::draft07();
            settings.definitions_path = "/components/schemas".into();
            settings
        };
        Self {
            received: settings().for_deserialize().into_generator(),
            sent: settings().for_serialize().into_generator(),
        }
    }

    pub(super) fn received(&mut self, schema: SchemaOf) -> Json {
        whole(&mut self.received, schema)
    }

    pub(super) fn sent(&mut self, schema: SchemaOf) -> Json {
        whole(&mut self.sent, schema)
    }

    /// All types with a name, where `sent` are the schemas that were made of what is sent.
    pub(super) fn components<'s>(
        mut self,
        sent: impl IntoIterator<Item = &'s mut Json>,
    ) -> Map<String, Json> {
        let mut all = self.received.take_definitions(true);
        let of_sent = self.sent.take_definitions(true);
        let is_other = |(name, schema): &(&String, &Json)| {
            all.get(*name).is_some_and(|received| received != *schema)
        };
        let mut renamed: Vec<_> = of_sent
            .iter()
            .filter(is_other)
            .map(|(name, _)| name.clone())
            .collect();
        // what refers to something that is renamed differs as well, although it looks the same
        loop {
            let further = of_sent.iter().filter(|(name, schema)| {
                all.contains_key(*name) && !renamed.contains(name) && refers(schema, &renamed)
            });
            let further: Vec<_> = further.map(|(name, _)| name.clone()).collect();
            if further.is_empty() {
                break;
            }
            renamed.extend(further);
        }
        for (name, mut schema) in of_sent {
            rename(&mut schema, &renamed);
            let name = match renamed.contains(&name) {
                true => name + SENT,
                false => name,
            };
            all.insert(name, schema);
        }
        for schema in sent {
            rename(schema, &renamed);
        }
        all
    }
}

/// Whether a schema refers to one of these names.
fn refers(schema: &Json, names: &[String]) -> bool {
    match schema {
        Json::Object(fields) => {
            let name = fields.get("$ref").and_then(Json::as_str).and_then(name_in);
            name.is_some_and(|name| names.iter().any(|known| known == name))
                || fields.values().any(|schema| refers(schema, names))
        }
        Json::Array(items) => items.iter().any(|schema| refers(schema, names)),
        _ => false,
    }
}

/// Has the schema refer to what is sent, where that has one of these names.
fn rename(schema: &mut Json, names: &[String]) {
    match schema {
        Json::Object(fields) => {
            if let Some(Json::String(reference)) = fields.get_mut("$ref") {
                let name = name_in(reference);
                if name.is_some_and(|name| names.iter().any(|known| known == name)) {
                    reference.push_str(SENT);
                }
            }
            fields.values_mut().for_each(|schema| rename(schema, names));
        }
        Json::Array(items) => items.iter_mut().for_each(|schema| rename(schema, names)),
        _ => {}
    }
}

const DEFINITIONS: &str = "#/components/schemas/";

fn name_in(reference: &str) -> Option<&str> {
    reference.strip_prefix(DEFINITIONS)
}

fn whole(generator: &mut SchemaGenerator, schema: SchemaOf) -> Json {
    let mut schema = schema.make(generator);
    for transform in generator.transforms_mut() {
        transform.transform(&mut schema);
    }
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::{SchemaOf, Schemas};

    #[derive(Deserialize, JsonSchema, Serialize)]
    struct Line {
        amount: u32,
        #[serde(default)]
        note: String,
    }

    #[derive(Deserialize, JsonSchema, Serialize)]
    struct Order {
        lines: Vec<Line>,
    }

    #[derive(Deserialize, JsonSchema, Serialize)]
    struct Same {
        id: u32,
    }

    #[test]
    fn what_is_sent_has_a_name_of_its_own_where_it_looks_different() {
        let mut schemas = Schemas::new();
        schemas.received(SchemaOf::of::<(Order, Same)>());
        let mut sent = schemas.sent(SchemaOf::of::<Vec<Order>>());
        let mut same = schemas.sent(SchemaOf::of::<Same>());
        let all = schemas.components([&mut sent, &mut same]);
        let names: Vec<_> = all.keys().map(String::as_str).collect();
        assert_eq!(names, ["Line", "LineSent", "Order", "OrderSent", "Same"]);
        assert_eq!(all["Line"]["required"], serde_json::json!(["amount"]));
        assert_eq!(
            all["LineSent"]["required"],
            serde_json::json!(["amount", "note"])
        );
        assert_eq!(sent["items"]["$ref"], "#/components/schemas/OrderSent");
        assert_eq!(
            all["OrderSent"]["properties"]["lines"]["items"]["$ref"],
            "#/components/schemas/LineSent"
        );
        assert_eq!(same["$ref"], "#/components/schemas/Same");
    }
}
