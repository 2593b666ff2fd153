//! Bodies of one and many megabytes.

use crate::{
    handlers::{self, consumed},
    manner::SPAWNED,
    plan::Plan,
    process::CONSUMER_CORE,
    report::Report,
    rounds::Rounds,
};

const MB: usize = 1_000_000;

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    for megabytes in [1, 10, 120_u32] {
        let title = format!("Bodies of {megabytes} MB of JSON, prefetch 8");
        let broker = [
            format!("body={}", megabytes as usize * MB),
            format!("warmup={}", plan.warmup().as_millis()),
            // so few in a second that they must be many seconds
            format!("until={}", (plan.time() * (1 + megabytes / 20)).as_millis()),
        ];
        let arguments = ["prefetch=8".to_owned()];
        let rounds = Rounds::measure_each(
            report,
            &title,
            |_| plan.rounds(),
            plan.of(&SPAWNED),
            async |manner| consumed(plan, manner, CONSUMER_CORE, &broker, &arguments),
        );
        let rounds = rounds.await;
        let text = "On the synthetic broker, with one core for the consumer: messages per second, what each costs it, and \
                    the most memory that it had. ploomby takes no more than 64 MiB ahead, or one message.";
        report.add(handlers::section(title, text, &rounds));
    }
}
