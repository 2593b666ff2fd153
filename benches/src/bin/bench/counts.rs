//! Instructions and allocations of a message inside the process.

use ploomby_benches::{
    counts::Cost,
    dispatch::{Around, Case},
};

use crate::{
    plan::Plan,
    report::{Report, Section},
};

const CASES: [(Case, &str); 10] = [
    (Case::Raw, "the raw body"),
    (Case::Json, "JSON of two integers"),
    (Case::Keys(1), "the same, 1 key"),
    (Case::Keys(10), "the same, 10 keys"),
    (Case::Keys(1000), "the same, 1,000 keys"),
    (Case::Keys(10_000), "the same, 10,000 keys"),
    (
        Case::Layer(Around::Identity),
        "JSON, in a layer that does nothing",
    ),
    (Case::Layer(Around::Timeout), "JSON, in tower's timeout"),
    (
        Case::Layer(Around::Concurrency),
        "JSON, in tower's concurrency limit",
    ),
    (Case::Layer(Around::Rate), "JSON, in tower's rate limit"),
];

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let mut section = Section::new(
        "In the process: instructions and allocations of a message".to_owned(),
        "From the queue of the embedded broker through the key in a header, the payload and the handler \
         to the acknowledgement, by callgrind, on one thread. Making, publishing and dropping a message is \
         left out.",
        ["", "instructions", "allocations"],
    );
    for (case, name) in CASES {
        eprintln!("counts: {name}");
        match Cost::of(case, &plan.programs) {
            Ok(cost) => section.row(vec![
                name.to_owned(),
                format!("{:.0}", cost.instructions),
                format!("{:.2}", cost.allocations),
            ]),
            Err(error) => report.fault(name, "counts", &error),
        }
    }
    report.add(section);
    Ok(())
}
