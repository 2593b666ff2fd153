//! Which field of a JSON body does not fit.
//!
//! To track the path while decoding costs about as much as decoding, at run time and, for each type
//! of payload, when it is compiled. So it is looked for afterwards: a decoder reads from left to
//! right, and what fails in the whole body fails in all beginnings of it that hold the fault, while
//! the others end too early.

use std::{borrow::Cow, fmt::Write};

/// The path of the value that a decoder cannot take, such as `items[3].name`, empty for the body
/// itself. `fails` tells whether a beginning of the body holds the fault.
///
/// None where the decoder has read more than [`MOST`] before it found the fault.
pub(super) fn path(body: &[u8], read: usize, fails: impl Fn(usize) -> bool) -> Option<String> {
    if read > MOST {
        return None;
    }
    // what is behind the fault was read by nobody; the one byte may close what is wrong
    let body = &body[..body.len().min(read + 1)];
    let mut ends = Vec::new();
    Steps::of(body).each(|end, _| ends.push(end));
    let first = ends.partition_point(|&end| !fails(end));
    let mut path = String::new();
    if let Some(&fault) = ends.get(first) {
        Steps::of(body).each(|end, containers| {
            if end == fault {
                path = name(containers);
            }
        });
    }
    Some(path)
}

/// Of how many bytes it is looked for. It takes up to forty times as many, and a bad body must not keep the
/// good ones waiting.
const MOST: usize = 256 * 1024;

/// What a decoder reads at once of a body, which is JSON as far as anyone has read it.
struct Steps<'b> {
    body: &'b [u8],
    at: usize,
    containers: Vec<Container<'b>>,
}

/// What is around a value.
enum Container<'b> {
    /// An object, and the key as it stands in the body, once it is there.
    Object(Option<&'b [u8]>),
    Array(usize),
}

impl<'b> Steps<'b> {
    fn of(body: &'b [u8]) -> Self {
        Self {
            body,
            at: 0,
            containers: Vec::new(),
        }
    }

    /// Tells of each key, value, and beginning of one that holds others where it ends and what is
    /// around it.
    fn each(mut self, mut step: impl FnMut(usize, &[Container<'b>])) {
        while let Some(&byte) = self.body.get(self.at) {
            let start = self.at;
            self.at += 1;
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' | b',' | b':' => continue,
                b'{' => {
                    step(self.at, &self.containers);
                    self.containers.push(Container::Object(None));
                    continue;
                }
                b'[' => {
                    step(self.at, &self.containers);
                    self.containers.push(Container::Array(0));
                    continue;
                }
                b'}' | b']' => {
                    self.containers.pop();
                }
                b'"' => {
                    self.skip_text();
                    if let Some(Container::Object(key @ None)) = self.containers.last_mut() {
                        *key = Some(&self.body[start..self.at]);
                        step(self.at, &self.containers);
                        continue;
                    }
                }
                _ => self.skip_word(),
            }
            step(self.at, &self.containers);
            match self.containers.last_mut() {
                Some(Container::Object(key)) => *key = None,
                Some(Container::Array(index)) => *index += 1,
                None => {}
            }
        }
    }

    fn skip_text(&mut self) {
        while let Some(&byte) = self.body.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => self.at += 1,
                _ => {}
            }
        }
        self.at = self.at.min(self.body.len());
    }

    /// A number, `true`, `false` or `null`.
    fn skip_word(&mut self) {
        let rest = &self.body[self.at..];
        let is_end = |byte: &u8| b" \n\r\t,:]}\"[{".contains(byte);
        self.at += rest.iter().position(is_end).unwrap_or(rest.len());
    }
}

fn name(containers: &[Container<'_>]) -> String {
    let mut name = String::new();
    for container in containers {
        match container {
            Container::Object(key) => {
                let separator = if name.is_empty() { "" } else { "." };
                let key = key.and_then(|key| serde_json::from_slice::<Cow<'_, str>>(key).ok());
                name.push_str(separator);
                name.push_str(key.as_deref().unwrap_or("?"));
            }
            Container::Array(index) => {
                // writing to a string cannot fail
                let _ = write!(name, "[{index}]");
            }
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::{
        Deserialize, Deserializer,
        de::{DeserializeOwned, Error},
    };

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "it is decoded and not read")]
    struct Order {
        id: u8,
        #[serde(default)]
        customer: Option<Customer>,
        #[serde(default)]
        items: Vec<Item>,
        #[serde(default)]
        payment: Option<Payment>,
        #[serde(default)]
        stock: HashMap<String, (u8, Port)>,
    }

    #[derive(Deserialize)]
    #[allow(dead_code, reason = "it is decoded and not read")]
    struct Customer {
        name: String,
        port: Port,
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    #[allow(dead_code, reason = "it is decoded and not read")]
    enum Item {
        Count(u8),
        Named { name: String },
    }

    #[derive(Deserialize)]
    #[allow(dead_code, reason = "it is decoded and not read")]
    enum Payment {
        Cash,
        Card { number: u8 },
        Both(u8, u8),
    }

    /// An error that no decoder makes.
    #[derive(Deserialize)]
    #[serde(try_from = "u16")]
    #[allow(dead_code, reason = "it is decoded and not read")]
    struct Port(u16);

    impl TryFrom<u16> for Port {
        type Error = &'static str;

        fn try_from(port: u16) -> Result<Self, Self::Error> {
            (port > 1024).then_some(Self(port)).ok_or("a low port")
        }
    }

    /// It tells of the parts of its value in words of its own, also that they end too early.
    #[derive(Deserialize)]
    #[allow(dead_code, reason = "it is decoded and not read")]
    struct Reworded {
        #[serde(deserialize_with = "reworded")]
        tags: HashMap<String, u8>,
        id: u8,
    }

    fn reworded<'de, D: Deserializer<'de>>(decoder: D) -> Result<HashMap<String, u8>, D::Error> {
        HashMap::deserialize(decoder).map_err(D::Error::custom)
    }

    fn searched<T: DeserializeOwned>(body: &str) -> Option<String> {
        let decode = |body: &[u8]| serde_json::from_slice::<T>(body).err();
        let error = decode(body.as_bytes()).expect("it does not fit");
        super::super::path(body.as_bytes(), &error, decode)
    }

    fn found<T: DeserializeOwned>(body: &str) -> String {
        searched::<T>(body).expect("it is near the beginning")
    }

    fn tracked<T: DeserializeOwned>(body: &str) -> String {
        let mut deserializer = serde_json::Deserializer::from_str(body);
        let error = serde_path_to_error::deserialize::<_, T>(&mut deserializer);
        let path = error.err().expect("it does not fit").path().to_string();
        if path == "." { String::new() } else { path }
    }

    #[test]
    fn the_path_is_the_one_that_tracking_finds() {
        for body in [
            r#"{"id": -1}"#,
            r#"{"id": "one", "customer": null}"#,
            r#" { "customer" : null , "id" : [ 1 ] } "#,
            r#"{"items": []}"#,
            r#"{}"#,
            r#"[]"#,
            r#"7"#,
            r#"{"id": 1, "customer": {}}"#,
            r#"{"id": 1, "customer": {"name": "\"{[\\", "port": 80}}"#,
            r#"{"id": 1, "customer": {"port": 80, "name": "Ada"}}"#,
            r#"{"id": 1, "customer": {"port": 8080, "name": 1}}"#,
            r#"{"id": 1, "customer": {"port": 8080}, "items": [1]}"#,
            r#"{"id": 1, "items": [1, {"name": "a"}, 300]}"#,
            r#"{"id": 1, "items": [1, {"name": []}, 3]}"#,
            r#"{"id": 1, "items": {"a": 1}}"#,
            r#"{"id": 1, "payment": "Cheque"}"#,
            r#"{"id": 1, "payment": {"Card": {"number": -7}}}"#,
            r#"{"id": 1, "payment": {"Both": [1, 2000]}}"#,
            r#"{"id": 1, "stock": {"a": [1, 8080], "b\u0041 \"c": [1, 80]}}"#,
            r#"{"id": 1, "stock": {"a": [1]}}"#,
            r#"{"id": 1, "stock": {"a": [1, 8080]}, "customer": 7, "id": -1}"#,
        ] {
            assert_eq!(found::<Order>(body), tracked::<Order>(body), "{body}");
        }
        for body in ["[[1, 2], [3, 4], [5, -6]]", "[[1, 2], 3]", "[[]]"] {
            let (found, tracked) = (found::<Vec<(u8, u8)>>(body), tracked::<Vec<(u8, u8)>>(body));
            assert_eq!(found, tracked, "{body}");
        }
    }

    #[test]
    fn what_says_in_its_own_words_that_it_ends_too_early_is_not_at_fault() {
        let body = r#"{"tags": {"a": 1, "b": 2}, "id": "x"}"#;
        assert_eq!(found::<Reworded>(body), "id");
        let body = r#"{"tags": {"a": 1, "b": -2}, "id": "x"}"#;
        assert_eq!(found::<Reworded>(body), "tags.b");
    }

    #[test]
    fn only_what_was_read_up_to_the_fault_is_looked_at() {
        let brackets = "[".repeat(1 << 24);
        let body = format!(r#"{{"id": "x", "items": {brackets}"#);
        assert_eq!(found::<Order>(&body), "id");
        let items = "1,".repeat(MOST / 2);
        let body = format!(r#"{{"id": 1, "items": [{items}"x"]}}"#);
        assert_eq!(searched::<Order>(&body), None);
    }

    #[test]
    fn a_field_that_should_not_be_there_is_named() {
        assert_eq!(found::<Order>(r#"{"id": 1, "nmae": {"a": 1}}"#), "nmae");
        assert_eq!(found::<Order>(r#"{"id": 1, "id": 1}"#), "id");
    }
}
