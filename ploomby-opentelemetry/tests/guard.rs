//! What the compiler says if the program has another version of OpenTelemetry.
//!
//! The message is that of the stable compiler; `TRYBUILD=overwrite` writes it anew.

#[test]
fn a_layer_of_another_version_does_not_compile() {
    let tests = trybuild::TestCases::new();
    tests.compile_fail("tests/ui/another_version.rs");
}
