//! What a handler can return.

#[path = "../deliver.rs"]
mod deliver;

use std::{fmt, num::ParseIntError};

use deliver::{
    Settled::{self, Acked, DeadLettered, Requeued},
    deliver,
};
use ploomby::Outcome;

#[derive(Debug)]
struct OwnError;

impl fmt::Display for OwnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no luck")
    }
}

impl std::error::Error for OwnError {}

type OwnResult<T = ()> = Result<T, OwnError>;

#[ploomby::handler]
async fn nothing() {}

#[ploomby::handler]
async fn unit() -> () {}

#[ploomby::handler]
async fn outcome() -> Outcome {
    Outcome::Requeue
}

#[ploomby::handler]
async fn result(number: &str) -> Result<(), ParseIntError> {
    number.parse::<u8>().map(drop)
}

#[ploomby::handler]
async fn result_of_outcome(number: &str) -> Result<Outcome, ParseIntError> {
    number.parse::<u8>().map(|_| Outcome::Requeue)
}

#[ploomby::handler]
async fn anyhow(number: &str) -> anyhow::Result<()> {
    number.parse::<u8>()?;
    Ok(())
}

#[ploomby::handler]
async fn alias(number: &str) -> OwnResult {
    number.parse::<u8>().map(drop).map_err(|_| OwnError)
}

/// As a task gives it.
#[ploomby::handler]
async fn result_of_result(number: &str) -> Result<Result<u8, ParseIntError>, OwnError> {
    Ok(number.parse())
}

#[ploomby::handler]
async fn result_of_result_of_nothing(number: &str) -> Result<Result<(), ParseIntError>, OwnError> {
    Ok(number.parse::<u8>().map(drop))
}

#[ploomby::handler]
async fn optional_value(number: &str) -> Result<Option<u8>, ParseIntError> {
    number.parse().map(Some)
}

#[ploomby::handler]
async fn panics() {
    panic!("at the disco");
}

fn main() {
    let dead = |text: &str| DeadLettered(text.to_owned());
    let not_a_digit = dead("handler-error: invalid digit found in string");
    let cases: [(&str, Settled, Settled); 11] = [
        ("nothing", Acked, Acked),
        ("unit", Acked, Acked),
        ("outcome", Requeued, Requeued),
        ("result", Acked, not_a_digit.clone()),
        ("result_of_result", Acked, not_a_digit.clone()),
        ("result_of_result_of_nothing", Acked, not_a_digit.clone()),
        ("optional_value", Acked, not_a_digit.clone()),
        ("result_of_outcome", Requeued, not_a_digit.clone()),
        ("anyhow", Acked, not_a_digit),
        ("alias", Acked, dead("handler-error: no luck")),
        (
            "panics",
            dead("panic: at the disco"),
            dead("panic: at the disco"),
        ),
    ];
    for (key, good, bad) in cases {
        assert_eq!(deliver(key, r#""1""#), good, "{key}");
        assert_eq!(deliver(key, r#""x""#), bad, "{key}");
    }
}
