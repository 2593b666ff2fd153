//! What `#[handler]` registers at link time, and what is checked before the first message.

use std::collections::BTreeSet;

use ploomby::{
    App, HandlerOptions, HandlerRegistry, Queue,
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

/// A library of handlers for two queues, as two programs share it.
fn shared() -> HandlerRegistry {
    let of = |queue| HandlerOptions::new().queue(queue);
    HandlerRegistry::new()
        .register_with("charge", of("billing"), nothing)
        .register_with("welcome", of("mail"), nothing)
        .register_with("welcome", of("mail"), the_rest)
}

#[tokio::test]
async fn two_programs_share_a_library_of_handlers_and_consume_a_queue_each() {
    let app = || App::new("memory://shared").handlers(shared());
    let error = app().queue(Queue::new("billing")).start().await;
    let error = error.expect_err("handlers of `mail`").to_string();
    assert!(error.contains("queue `mail`"), "{error}");

    // also what is wrong with the others is no error of this program
    let billing = app().queue(Queue::new("billing")).only(["billing"]);
    let running = billing.start().await.expect("its own handlers");
    running.shut_down().await.expect("nothing was at work");

    let all = app().queue(Queue::new("billing")).queue(Queue::new("mail"));
    let error = all.only(["mail"]).start().await;
    let error = error.expect_err("two handlers for `welcome`").to_string();
    assert!(error.contains("\"welcome\" of queue `mail`"), "{error}");
    assert!(!error.contains("charge"), "{error}");
}

#[tokio::test]
async fn a_queue_that_only_is_to_be_consumed_is_one_of_the_app() {
    let app = App::new("memory://shared").handlers(shared());
    let app = app.queue(Queue::new("billing")).only(["biling"]);
    let error = app.start().await.expect_err("a typo").to_string();
    assert!(error.contains("the queue `biling`"), "{error}");
}

#[test]
fn a_registry_leaves_out_the_handlers_of_other_queues() {
    let handlers = shared().only(["billing"]).register("any", nothing);
    let keys: BTreeSet<&str> = handlers.keys().collect();
    assert_eq!(keys, BTreeSet::from(["any", "charge"]));
    handlers.check().expect("the duplicate is of `mail`");
}

#[tokio::test]
async fn what_a_main_prints_of_an_error_is_its_text() {
    let app = App::new("memory://printed").handlers(HandlerRegistry::new());
    let error = app.queue(Queue::new("any")).start().await;
    let error = error.expect_err("no handler");
    assert_eq!(format!("{error:?}"), error.to_string());
    assert!(format!("{error:?}").starts_with("no handler is registered"));
}
