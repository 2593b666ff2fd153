//! Handlers in crates as teams have them, under the tools that look at code: clippy, `cargo fix`, rustdoc, coverage,
//! rust-analyzer.
//!
//! The fixture is a workspace of its own, since lints do not see a crate that a test compiles with others. All tests
//! of it share what is built.

mod diagnostics;
mod editor;
mod shop;

use std::{fs, process::Command};

use self::{
    diagnostics::{Found, is_of_a_value},
    editor::Editor,
    shop::Shop,
};

#[test]
fn pedantic_and_nursery_are_silent_about_crates_of_handlers() {
    let shop = Shop::copied_to("silent");
    let lints = [
        "-D",
        "warnings",
        "-D",
        "clippy::all",
        "-D",
        "clippy::pedantic",
    ];
    let lints = [&lints[..], &["-D", "clippy::nursery"]].concat();
    // the cases have lints that they are written for, each those that it names itself
    let crates = ["clippy", "--quiet", "--workspace", "--exclude=cases", "--"];
    shop.cargo(&[&crates[..], &lints].concat());
    shop.cargo(&["clippy", "--quiet", "--package=cases", "--bin=lints"]);
}

/// Under each lint that there is, functions bring forth the same with the attribute as without.
#[test]
fn no_lint_is_about_what_the_attribute_writes() {
    let shop = Shop::copied_to("linted");
    let with = Found::in_all(&shop);
    shop.change(&["cases", "shop_billing"], |text| {
        text.replace("ploomby::handler", "inspector::handler")
            .replace("#[handler", "#[inspector::handler")
    });
    let without = Found::in_all(&shop);
    assert!(without.has("clippy::missing_docs_in_private_items"));
    let ours = with.difference(&without);
    let ours: Vec<_> = ours.filter(|found| !is_of_a_value(found)).collect();
    assert!(ours.is_empty(), "{ours:#?}");
}

#[test]
fn fixes_leave_handlers_as_they_are() {
    let shop = Shop::copied_to("fixed");
    let before = shop.text();
    let what = [
        "--allow-no-vcs",
        "--quiet",
        "--workspace",
        "--exclude=cases",
    ];
    for command in [&["fix"][..], &["fix", "--edition"], &["clippy", "--fix"]] {
        shop.cargo(&[command, &what].concat());
        assert_eq!(before, shop.text(), "cargo {command:?}");
    }
}

#[test]
fn a_program_of_several_crates_says_whose_handlers_it_has() {
    let shop = Shop::copied_to("started");
    let log = shop.cargo(&["run", "--quiet", "--package=shop"]);
    let line = "38 handlers for 2 queues from shop, shop_billing, shop_mail, shop_stock; 1 of other queues left out";
    assert!(log.contains(line), "{line} is not in: {log}");
    let places = [
        "registered key=\"open\" queue=\"shop\" handler=`shop::open` at shop/src/lib.rs:30",
        "registered key=\"restocked\" queue=\"mail\" handler=`shop_stock::restocked` at shop_stock/src/lib.rs:12",
    ];
    for place in places {
        assert!(log.contains(place), "{place} is not in: {log}");
    }
    // what only lends itself is lent from the message, each space of it
    let raw = r#"as it was sent: {"cents":  1.50}"#;
    assert!(log.contains(raw), "{raw} is not in: {log}");
}

/// A linker takes of a static library what is called, and nobody calls a handler: all are there if it takes all. What is
/// there otherwise depends on how the compiler cut the library.
#[cfg(target_os = "linux")]
#[test]
fn a_static_library_that_is_linked_as_a_whole_has_its_handlers() {
    let shop = Shop::copied_to("linked_by_c");
    shop.cargo(&["build", "--quiet", "--package=shop_static"]);
    let main = r#"
        #include <stdio.h>
        size_t handlers_of_the_program(void);
        int main(void) { printf("%zu", handlers_of_the_program()); }
    "#;
    fs::write(shop.path("main.c"), main).expect("a program in C");
    let library = Shop::built("libshop_static.a");
    let library = library.to_str().expect("a path");
    let whole = ["-Wl,--whole-archive", library, "-Wl,--no-whole-archive"];
    let program = shop.path("program");
    let mut link = shop.command("cc");
    link.args(["main.c", "-o"]).arg(&program).args(whole);
    // what Rust's standard library needs
    link.args(["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"]);
    let output = link.output().expect("a C compiler");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let output = Command::new(program).output().expect("the program");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "3");
}

#[test]
fn examples_of_edition_2024_may_have_handlers_with_one_key() {
    let shop = Shop::copied_to("documented");
    let log = shop.cargo(&["test", "--doc", "--package=shop"]);
    assert!(log.contains("2 passed"), "{log}");
}

/// As the compiler says itself of which code it counts the runs.
#[test]
fn no_line_of_the_attribute_is_counted_as_covered_or_not() {
    let shop = Shop::copied_to("covered");
    let options = ["-C", "instrument-coverage", "--emit=mir"];
    let of_program = ["rustc", "--quiet", "--package=shop", "--bin=shop", "--"];
    shop.cargo(&[&of_program[..], &options].concat());
    let counted = Shop::counted_lines("shop/src/main.rs");
    let line = |text: &str| shop.line("shop/src/main.rs", text);
    assert!(counted.contains(&line("async fn close(")), "{counted:?}");
    let attribute = line("#[ploomby::handler");
    assert!(!counted.contains(&attribute), "{attribute}: {counted:?}");
}

#[test]
fn an_editor_finds_the_users_own_definition_and_nothing_else() {
    if !Command::new("rust-analyzer")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        // its component of rustup is not everywhere
        eprintln!("there is no rust-analyzer: not tested");
        return;
    }
    let shop = Shop::copied_to("edited");
    let editor = Editor::open(&shop);
    let file = "shop_billing/src/lib.rs";
    let text = fs::read_to_string(shop.path(file)).expect("the library");
    // it sees what the attribute writes
    let attribute = text.find("handler(default)").expect("an attribute");
    let expansion = editor.expansion(file, &text, attribute);
    assert!(expansion.contains("LinkedHandler"), "{expansion}");
    for (at, name, declared) in [
        ("ordered(order: &", "Order", "pub struct Order"),
        ("options(order: ", "Order", "pub struct Order"),
        ("value(invoice: ", "Invoice", "pub struct Invoice"),
        ("pub async fn ", "options", "pub async fn options"),
        ("pub async fn ", "instrumented", "pub async fn instrumented"),
        ("handler(", "CHARGED", "pub const CHARGED"),
        ("-> Result<", "Invoice", "pub struct Invoice"),
    ] {
        let place = format!("{at}{name}");
        let offset = text.find(&place).expect("a place") + at.len();
        let targets = editor.definitions(file, &text, offset);
        let line = |(file, line): &(String, usize)| (file.clone(), *line);
        let expected = (file.to_owned(), shop.line(file, declared));
        let found: Vec<_> = targets.iter().map(line).collect();
        assert_eq!(found, [expected], "{place}");
        let hover = editor.hover(file, &text, offset);
        assert!(
            hover.contains(name) && hover.len() < 2000,
            "{place}: {hover}"
        );
        assert!(!hover.contains("__private"), "{place}: {hover}");
    }
}
