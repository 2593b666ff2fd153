//! What other programs may send, as the program writes it.

use std::env;
use std::fs;

use ploomby_tests::unique_name;
use serde_json::Value;

use crate::support::{ended, run, text};

const NOWHERE: &str = "amqp://127.0.0.1:1";

#[test]
fn the_contract_is_written_without_a_broker_and_compared_with_an_older_one() {
    let asyncapi = |rest: &[&str]| run(NOWHERE, "gone", &[&["asyncapi"], rest].concat());
    let json = ended(0, &asyncapi(&[]));
    let document: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["info"]["title"], "shop");
    assert_eq!(document["info"]["version"], "1.4.0");
    let charge = &document["channels"]["billing"]["messages"]["charge"];
    assert_eq!(charge["payload"]["$ref"], "#/components/schemas/Order");
    assert_eq!(charge["summary"], "Takes the money for an order.");
    let yaml = ended(0, &asyncapi(&["--yaml"]));
    assert!(yaml.starts_with("asyncapi: 3.0.0\n"), "{yaml}");

    // `Refund` has none, on purpose
    let strict = asyncapi(&["--strict"]);
    ended(1, &strict);
    let errors = text(&strict.stderr);
    assert!(
        errors.contains("  `shop::Refund` of shop::refund"),
        "{errors}"
    );
    assert!(!errors.contains("Order"), "{errors}");

    let file = env::temp_dir().join(unique_name("asyncapi"));
    let path = file.to_str().unwrap();
    assert_eq!(ended(0, &asyncapi(&["-o", path])), "");
    assert_eq!(fs::read_to_string(&file).unwrap(), json);
    let diff = |rest: &[&str]| asyncapi(&[&["diff", path], rest].concat());
    let same = ended(0, &diff(&[]));
    assert!(same.contains("✓ queue billing: keeps 3 schemas"), "{same}");
    assert!(same.ends_with("0 ✗, 0 !\n"), "{same}");

    // of a time when orders could be paid in parts
    let older = json.replace("\"format\": \"uint32\"", "\"format\": \"uint64\"");
    assert_ne!(older, json);
    fs::write(&file, &older).unwrap();
    let broken = ended(4, &diff(&[]));
    let words = broken.split_whitespace().collect::<Vec<_>>().join(" ");
    let reason = "✗ queue billing: breaks the key `charge`, its payload: `cents` has to be at most 4294967295 now";
    assert!(words.contains(reason), "{broken}");
    let too_long = broken.lines().find(|line| line.chars().count() > 80);
    assert_eq!(too_long, None, "{broken}");
    let lines = ended(4, &diff(&["--json"]));
    let finding: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(finding["level"], "bad");
    let check = run(NOWHERE, "gone", &["check", "--offline", "--against", path]);
    assert!(ended(4, &check).contains("breaks the key `charge`"));
    fs::remove_file(&file).unwrap();
    ended(1, &diff(&[]));
    ended(2, &asyncapi(&["--yaml", "diff", path]));
}
