//! Properties of a message: what the guard makes of them is read by the client, and comes back as it was.

#![no_main]

use amqprs::BasicProperties;
use libfuzzer_sys::fuzz_target;
use ploomby::rabbit::fuzzing;

fuzz_target!(|properties: &[u8]| {
    let Some(mended) = fuzzing::mended(properties) else {
        return;
    };
    amqp_serde::from_bytes::<BasicProperties>(&mended).expect("the client reads it");
    assert_eq!(fuzzing::restored(&mended), properties);
});
