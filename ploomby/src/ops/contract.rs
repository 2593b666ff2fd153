//! What other programs may send to a program, and what they get back: a document of AsyncAPI 3.0.0.

use serde_json::Value as Json;

use super::Program;

pub(super) use self::document::ANY_KEY;

pub(super) mod compare;
mod document;
mod schemas;

/// A document of [AsyncAPI 3.0.0](https://www.asyncapi.com/docs/reference/specification/v3.0.0): a channel for each
/// queue, a message for each key, an operation for each handler of a queue, with replies, doc comments, and the schemas
/// of the types that are `schemars::JsonSchema`.
///
/// ```standalone_crate
/// use ploomby::{App, Queue};
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// /// An order of a customer.
/// #[derive(Deserialize, JsonSchema)]
/// struct Order {
///     id: u32,
///     cents: u32,
/// }
///
/// /// Takes the money for an order.
/// #[ploomby::handler("charge", queue = "billing")]
/// async fn charge(order: Order) {
///     println!("{} pays {}", order.id, order.cents);
/// }
///
/// let app = App::new("amqp://localhost").named("shop", "1.2.0").queue(Queue::new("billing"));
/// let contract = app.program().contract();
/// let document = contract.as_json();
/// assert_eq!(document["info"]["title"], "shop");
/// let message = &document["channels"]["billing"]["messages"]["charge"];
/// assert_eq!(message["payload"]["$ref"], "#/components/schemas/Order");
/// assert!(contract.undescribed().is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Contract {
    document: Json,
    undescribed: Vec<Undescribed>,
}

/// A payload or a reply without a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undescribed {
    /// The path of the handler's function.
    pub handler: String,
    /// The Rust type that is not `schemars::JsonSchema`.
    pub type_name: String,
}

impl Program {
    /// What other programs may send to this one. Nothing is connected.
    pub fn contract(&self) -> Contract {
        document::of(self)
    }
}

impl Contract {
    /// The document.
    pub fn as_json(&self) -> &Json {
        &self.document
    }

    /// The document in YAML.
    ///
    /// # Panics
    ///
    /// Never: whatever is JSON can be written as YAML.
    pub fn to_yaml(&self) -> String {
        yaml_serde::to_string(&self.document).expect("JSON can be written as YAML")
    }

    /// What the document says nothing about, but for the name of the Rust type.
    pub fn undescribed(&self) -> &[Undescribed] {
        &self.undescribed
    }
}

/// A reference to what stands in the document at these names.
fn reference(names: &[&str]) -> Json {
    // a JSON pointer, written as the fragment of a URI
    let names = names
        .iter()
        .map(|name| name.replace('~', "~0").replace('/', "~1"));
    let names: Vec<_> = names
        .map(|name| percent_encoding::utf8_percent_encode(&name, IN_FRAGMENT).to_string())
        .collect();
    serde_json::json!({ "$ref": format!("#/{}", names.join("/")) })
}

/// All but what RFC 3986 lets stand in a fragment unchanged.
const IN_FRAGMENT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[cfg(test)]
mod tests {
    use super::reference;

    #[test]
    fn names_are_found_whatever_stands_in_them() {
        let found = reference(&["channels", "a/b~c d%"]);
        assert_eq!(found["$ref"], "#/channels/a~1b~0c%20d%25");
    }
}
