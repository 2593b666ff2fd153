use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{Finding, names, of_queue};
use crate::{
    app::Queue,
    delivery::KeySource,
    message::Value,
    ops::{Fit, Ops, OpsError, source::Source},
    rabbit::Compared,
};

/// How long messages are held at most, which are not with their consumers meanwhile.
const MOST_TIME: Duration = Duration::from_secs(2);

/// How often a message may have come back before those behind it are left alone: RabbitMQ 4 gives up what came back 20
/// times to a quorum queue that says nothing else.
const MOST_RETURNS: i64 = 10;

/// A queue that gives up what came back less often is not looked at.
const LEAST_LIMIT: i64 = 1_000;

pub(super) async fn check(ops: &Ops, messages: usize) -> Result<Vec<Finding>, OpsError> {
    let mut findings = Vec::new();
    for queue in names(&ops.program) {
        findings.extend(of_one(ops, queue, messages).await?);
    }
    Ok(findings)
}

async fn of_one(ops: &Ops, queue: &str, most: usize) -> Result<Option<Finding>, OpsError> {
    let about = format!("messages of {queue}");
    let Some(set_up) = ops.program.set_up(queue) else {
        return Ok(None);
    };
    let places = set_up.key.places();
    if places.first() == Some(&&KeySource::RoutingKey) {
        let text = "their keys are their routing keys, which a look does not show";
        return Ok(Some(Finding::doubtful(about, text)));
    }
    if places
        .iter()
        .any(|place| matches!(place, KeySource::FromFn(_)))
    {
        let text = "a function finds their keys, perhaps by their routing keys, which a look does not show";
        return Ok(Some(Finding::doubtful(about, text)));
    }
    let most_returns = match returning(ops, set_up).await? {
        Returning::ToItsPlace => i64::MAX,
        Returning::NotKnown => MOST_RETURNS,
        Returning::Elsewhere => {
            let text = "none was looked at: this quorum queue has no large `x-delivery-limit`, so that RabbitMQ puts what comes back \
                        behind the others, or gives it up after some times";
            let finding = Finding::doubtful(about, text);
            return Ok(Some(finding.remedy(
                "look at a copy of its messages, or have ploomby declare the queue",
            )));
        }
    };
    let Some((mut held, ready)) = ops.source.sample(queue, most).await? else {
        return Ok(None);
    };
    let begun = Instant::now();
    let (mut looked, mut fits, mut returns) = (0, 0, 0);
    let mut unfit = BTreeMap::<String, (usize, String)>::new();
    let looking = async {
        while looked < most.min(ready) && returns < most_returns && begun.elapsed() < MOST_TIME {
            let Some((_, message)) = held.next(&ops.source).await? else {
                break;
            };
            looked += 1;
            returns = message.headers().number("x-delivery-count").unwrap_or(0);
            match ops.fits_message(queue, &message) {
                Fit::Fits | Fit::NotKnown => fits += 1,
                Fit::Unfit { reason, error } => unfit.entry(reason).or_insert((0, error)).0 += 1,
            }
        }
        Ok(())
    };
    let ended: Result<(), OpsError> = looking.await;
    held.give_back(&ops.source).await?;
    ended?;
    if returns >= most_returns && unfit.is_empty() {
        let text = format!(
            "a message came back {returns} times: none behind it was looked at, since a queue may give up what comes back too \
             often"
        );
        let finding = Finding::doubtful(about, text);
        return Ok(Some(
            finding.remedy("have them handled before you look again"),
        ));
    }
    if unfit.is_empty() {
        let text = match looked {
            0 if ready > 0 && most > 0 => {
                let text =
                    format!("{ready} wait, and none came in a moment: others take them first");
                return Ok(Some(Finding::doubtful(about, text)));
            }
            0 => "none waits".to_owned(),
            looked => format!("this build takes each of {looked} that were looked at"),
        };
        return Ok(Some(Finding::good(about, text)));
    }
    let told = unfit
        .into_iter()
        .map(|(reason, (count, error))| format!("{count} {reason}: {error}"));
    let told = told.collect::<Vec<_>>().join("; ");
    let text = format!(
        "this build takes {fits} of {looked} that were looked at, and would dead-letter {told}"
    );
    let remedy = format!(
        "keep what {} takes compatible, or handle these first",
        of_queue(queue)
    );
    Ok(Some(Finding::bad(about, text).remedy(remedy)))
}

/// What becomes of a message that a queue gets back.
enum Returning {
    ToItsPlace,
    /// Behind all others with RabbitMQ 3; counted, and given up one day, with RabbitMQ 4.
    Elsewhere,
    NotKnown,
}

async fn returning(ops: &Ops, queue: &Queue) -> Result<Returning, OpsError> {
    let Source::Rabbit(looker) = &ops.source else {
        return Ok(Returning::ToItsPlace);
    };
    // what is wrong with the options is known without a broker
    let Ok(companions) = queue.options.companions(&queue.name) else {
        return Ok(Returning::NotKnown);
    };
    let asked = companions.queue_arguments(&queue.options.arguments);
    let compared = looker.compare(&queue.name, &asked).await;
    let arguments = match compared.map_err(OpsError::broker)? {
        Compared::Same => asked,
        Compared::Different { arguments, .. } => arguments,
        Compared::Missing | Compared::NoRight => return Ok(Returning::NotKnown),
    };
    let argument = |name: &str| {
        let mut arguments = arguments.iter();
        arguments.find_map(|(known, value)| (known == name).then_some(value))
    };
    let limit = argument("x-delivery-limit").and_then(Value::as_i64);
    let is_quorum = argument("x-queue-type").is_some_and(|kind| kind == &Value::from("quorum"));
    Ok(
        match is_quorum && limit.is_none_or(|limit| limit < LEAST_LIMIT) {
            true => Returning::Elsewhere,
            false => Returning::ToItsPlace,
        },
    )
}
