use std::collections::BTreeMap;

use super::{Finding, names, of_queue};
use crate::{
    delivery::KeySource,
    ops::{Fit, Ops, OpsError},
};

pub(super) async fn check(ops: &Ops, messages: usize) -> Result<Vec<Finding>, OpsError> {
    let mut findings = Vec::new();
    for queue in names(&ops.program) {
        findings.extend(of_one(ops, queue, messages).await?);
    }
    Ok(findings)
}

async fn of_one(ops: &Ops, queue: &str, most: usize) -> Result<Option<Finding>, OpsError> {
    let about = format!("messages of {queue}");
    let by_routing_key = ops
        .program
        .set_up(queue)
        .is_some_and(|queue| queue.key.first() == Some(&KeySource::RoutingKey));
    if by_routing_key {
        let text = "their keys are their routing keys, which a look does not show";
        return Ok(Some(Finding::doubtful(about, text)));
    }
    let Some((mut held, ready)) = ops.source.hold(queue).await? else {
        return Ok(None);
    };
    let (mut looked, mut fits) = (0, 0);
    let mut unfit = BTreeMap::<String, (usize, String)>::new();
    let looking = async {
        while looked < most.min(ready) {
            let Some((_, message)) = held.next(&ops.source).await? else {
                break;
            };
            looked += 1;
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
    if unfit.is_empty() {
        let text = match looked {
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
