//! What `#[handler]` registers at link time, and what is checked before the first message.

use std::collections::BTreeSet;

use ploomby::{
    App, HandlerRegistry, Queue,
    extract::{Key, State},
    handler,
};

#[handler("here", "here too")]
async fn here(Key(_): Key) {}

mod private {
    #[ploomby::handler]
    async fn in_a_private_module(_: String) {}
}

#[handler(default)]
async fn the_rest() {}

async fn nothing() {}

#[derive(Clone)]
struct NeverGiven;

#[handler("stated", "stated too")]
async fn stated(_: State<NeverGiven>) {}

#[test]
fn handlers_of_every_module_are_linked() {
    async fn calls_it() {
        // a handler in a body is registered also where the body is never run
        #[handler]
        async fn in_a_function() {}

        in_a_function().await;
    }
    let _ = calls_it;

    let handlers = HandlerRegistry::linked();
    let keys: BTreeSet<&str> = handlers.keys().collect();
    for key in ["here", "here too", "in_a_private_module", "in_a_function"] {
        assert!(
            keys.contains(key) && handlers.contains(key),
            "{key} is not in {keys:?}"
        );
    }
    for key in ["the_rest", "nothing", ""] {
        assert!(
            !keys.contains(key) && !handlers.contains(key),
            "{key} is in {keys:?}"
        );
    }
    handlers.check().expect("one function for each key");
}

#[test]
fn handlers_of_another_crate_are_linked() {
    // the crate's name is all that it takes
    use ploomby_tests as _;

    assert!(HandlerRegistry::linked().contains("from another crate"));
}

#[test]
fn every_duplicate_is_named_with_file_and_line() {
    let file = file!();
    let line = line!();
    let handlers = HandlerRegistry::linked()
        .register("twice", nothing)
        .register("once", nothing)
        .register("twice", the_rest)
        .register("here", nothing)
        .register_default(nothing);
    let error = handlers.check().expect_err("three duplicates").to_string();

    for (key, first, second) in [
        ("key \"twice\"", Some(line + 2), line + 4),
        ("key \"here\"", None, line + 5),
        ("the default handler", None, line + 6),
    ] {
        let duplicate = error
            .lines()
            .find(|text| text.trim_start().starts_with(key))
            .unwrap_or_else(|| panic!("{key} is not in: {error}"));
        assert!(
            duplicate.ends_with(&format!("{file}:{second}")),
            "{duplicate}"
        );
        match first {
            Some(first) => assert!(
                duplicate.contains(&format!("{file}:{first} and")),
                "{duplicate}"
            ),
            // the line of the attribute
            None => assert!(duplicate.contains(&format!("at {file}:")), "{duplicate}"),
        }
    }
    assert!(!error.contains("\"once\""), "{error}");
}

#[test]
fn a_linked_handler_is_named_by_its_path_and_the_line_of_its_attribute() {
    let line = line!() + 1;
    #[handler]
    async fn named() {}

    let handlers = HandlerRegistry::linked().register("named", nothing);
    let error = handlers.check().expect_err("a duplicate").to_string();
    let origin = format!("`{}::named` at {}:{line}", module_path!(), file!());
    assert!(error.contains(&origin), "{origin} is not in: {error}");
}

#[test]
fn a_program_without_handlers_is_told_how_to_write_one() {
    let error = HandlerRegistry::new()
        .check()
        .expect_err("no handler")
        .to_string();
    assert!(error.contains("no handler is registered"), "{error}");
    assert!(error.contains("#[ploomby::handler"), "{error}");
    assert!(error.contains("use my_handlers as _"), "{error}");
}

#[test]
fn a_default_handler_alone_is_enough() {
    let handlers = HandlerRegistry::new().register_default(nothing);
    assert!(handlers.check().is_ok());
}

#[tokio::test]
async fn state_that_nobody_gives_is_missed_once_for_a_handler_of_several_keys() {
    let app = App::new("memory://linked").queue(Queue::new("any"));
    let error = app.start().await.expect_err("no state").to_string();
    let state = format!("`{}::NeverGiven`: `", module_path!());
    let origin = format!("`{}::stated` at {}:", module_path!(), file!());
    assert_eq!(error.matches(&state).count(), 1, "{error}");
    assert_eq!(error.matches(&origin).count(), 1, "{error}");
}
