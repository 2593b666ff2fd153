//! What the compiler says about a handler that is wrong, and what it accepts.
//!
//! The messages are those of the stable compiler; `TRYBUILD=overwrite` writes them anew.

#[test]
fn a_wrong_handler_does_not_compile_and_a_right_one_does_its_work() {
    let tests = trybuild::TestCases::new();
    tests.compile_fail("tests/ui/fail/*.rs");
    tests.pass("tests/ui/pass/*.rs");
}
