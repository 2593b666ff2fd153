//! What a broker sends on a connection with a channel that consumes: whatever it is, it passes or ends the
//! connection, and the same however it is cut into pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ploomby::rabbit::fuzzing;

fuzz_target!(|wire: &[u8]| {
    let together = fuzzing::passed(wire, wire.len().max(1));
    let apart = fuzzing::passed(wire, 1);
    assert_eq!(together, apart);
});
