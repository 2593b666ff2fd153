use std::fs;
use std::path::Path;

/// A promise whose test is gone is none.
#[test]
fn the_tests_that_security_md_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let quoted = text.split('`').skip(1).step_by(2);
    let named: Vec<_> = quoted
        .filter_map(|quoted| quoted.split_once(".rs::"))
        .collect();
    assert!(named.len() > 20, "{}", named.len());
    for (file, test) in named {
        let places = ["tests/tests", "ploomby/src"].map(|place| root.join(place));
        let is_there = places.iter().any(|place| {
            let found = fs::read_to_string(place.join(format!("{file}.rs")));
            found.is_ok_and(|code| code.contains(&format!("fn {test}(")))
        });
        assert!(is_there, "{file}.rs has no test `{test}`");
    }
    // each line that says what is so names one
    let promises = text.split("\n- ").skip(1);
    for promise in promises {
        let promise = promise.split("\n#").next().unwrap_or_default();
        assert!(promise.contains(".rs::"), "no test: {promise}");
    }
}
