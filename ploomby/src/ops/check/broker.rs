use uuid::Uuid;

use super::{Finding, of_queue};
use crate::{
    consumer::{
        Declare,
        companions::{Companions, Declared},
    },
    message::{Message, Value, new_id},
    ops::{Ops, OpsError, QueueInfo, source::Source},
    publisher::PublishError,
    rabbit::{Compared, RabbitLooker},
};

/// Queues are looked for under these delays, in milliseconds, beside those of today's policies: RabbitMQ tells the names
/// of queues by its management plugin alone.
const USUAL_DELAYS: [u64; 22] = [
    100, 200, 500, 1_000, 2_000, 3_000, 4_000, 5_000, 8_000, 10_000, 15_000, 16_000, 20_000,
    30_000, 32_000, 60_000, 64_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000,
];

/// The delays of brakes and rates among them: any handler may need their queues.
const NEEDED_BY_ALL: [u64; 5] = [100, 1_000, 5_000, 30_000, 300_000];

/// `Err` once it makes no sense to go on.
pub(super) async fn check(ops: &Ops) -> Result<Vec<Finding>, Vec<Finding>> {
    let looker = match &ops.source {
        Source::Memory(_) => {
            let text = "it is made with the process, and gone with it";
            return Ok(vec![Finding::good("broker", text)]);
        }
        Source::Rabbit(looker) => looker,
    };
    let mut findings = login(looker).await.map_err(|finding| vec![finding])?;
    findings.push(may_write(ops).await);
    for queue in &ops.program.queues {
        match of_one(ops, looker, queue).await {
            Ok(more) => findings.extend(more),
            Err(error) => findings.push(Finding::bad(of_queue(&queue.name), error.to_string())),
        }
    }
    Ok(findings)
}

async fn login(looker: &RabbitLooker) -> Result<Vec<Finding>, Finding> {
    let connected = looker.server().await;
    let (address, server) = connected.map_err(|error| Finding::bad("login", error.to_string()))?;
    let user = looker.user();
    let mut findings = vec![Finding::good(
        "login",
        format!("user `{user}` is let in at {address}"),
    )];
    findings.push(match server {
        None => Finding::doubtful("broker", "it does not say what it is"),
        Some(server) => {
            let trap = trap(&server);
            let good = Finding::good("broker", server.clone());
            match trap {
                None => good,
                Some((text, remedy)) => {
                    Finding::doubtful("broker", format!("{server}: {text}")).remedy(remedy)
                }
            }
        }
    });
    Ok(findings)
}

/// What is to be known of a version.
fn trap(server: &str) -> Option<(&'static str, &'static str)> {
    let version = server.strip_prefix("RabbitMQ ")?;
    let mut numbers = version
        .split('.')
        .map_while(|number| number.parse::<u32>().ok());
    let (major, minor) = (numbers.next()?, numbers.next()?);
    match (major, minor) {
        (..=2, _) | (3, ..=9) => Some((
            "older than what ploomby is tested with, and it may drop dead letters and delayed messages",
            "upgrade to 3.10 or later",
        )),
        (4, 0..=2) => Some((
            "it drops a message of a quorum queue that came back 20 times, if the queue has neither a delivery limit of \
             its own nor a dead-letter exchange; each look in the management page counts",
            "have ploomby declare its queues, or set a policy with `delivery-limit`; the queues below say whether they \
             have one",
        )),
        _ => None,
    }
}

/// All that is kept, and all replies, go through the default exchange.
async fn may_write(ops: &Ops) -> Finding {
    let about = "right to write";
    // no queue has the name, so that nothing is left
    let nowhere = format!("ploomby-check-{}", Uuid::simple(new_id()));
    let publisher = match ops.publisher().await {
        Ok(publisher) => publisher,
        Err(error) => return Finding::bad(about, error.to_string()),
    };
    match publisher.publish(&nowhere, Message::new("")).await {
        Ok(()) | Err(PublishError::Unroutable(_)) => Finding::good(
            about,
            "to amq.default, for retries, dead letters and replies",
        ),
        Err(error) => Finding::bad(
            about,
            format!("copies of messages that fail cannot be kept: {error}"),
        )
        .remedy("give the user the right `write` on `amq.default`"),
    }
}

async fn of_one(
    ops: &Ops,
    looker: &RabbitLooker,
    info: &QueueInfo,
) -> Result<Vec<Finding>, OpsError> {
    let mut findings = Vec::new();
    let name = &*info.name;
    let Some(set_up) = ops.program.set_up(name) else {
        return Ok(findings);
    };
    let declare = set_up.options.declare.unwrap_or_default();
    // what is wrong with the options is known without a broker
    let Ok(companions) = set_up.options.companions(name) else {
        return Ok(findings);
    };
    let arguments = companions.queue_arguments(&set_up.options.arguments);
    let compared = looker.compare(name, &arguments).await;
    let compared = compared.map_err(OpsError::broker)?;
    let is_there = !matches!(compared, Compared::Missing);
    findings.push(consumed(name, declare, &compared));
    if is_there {
        findings.extend(reading(looker, name).await?);
        findings.extend(depth(ops, info).await?);
    }
    findings.extend(dead_letters(looker, &companions, declare).await?);
    findings.extend(waiting(ops, looker, info, declare).await?);
    findings.extend(leftovers(ops, info).await?);
    Ok(findings)
}

fn consumed(name: &str, declare: Declare, compared: &Compared) -> Finding {
    let about = of_queue(name);
    match (compared, declare) {
        (Compared::Same, _) => Finding::good(about, "is there as it is asked for"),
        (Compared::Missing, Declare::Never) => Finding::bad(
            about,
            "is not there, and the program declares nothing: it waits",
        )
        .remedy("declare the queue, or let the program do so with `declare`"),
        (Compared::Missing, _) => Finding::doubtful(
            about,
            "is not there: it is declared at the start, and what is published until then does not reach it",
        )
        .remedy("check the name; `topology` says what is declared and bound"),
        (Compared::NoRight, Declare::Never) => Finding::good(
            about,
            "is there; what arguments it has cannot be seen without the right `configure`",
        ),
        (Compared::NoRight, _) => Finding::doubtful(
            about,
            "is there; the user may not declare it, so that its arguments cannot be seen",
        )
        .remedy("give the user the right `configure` for it, or say Declare::Never"),
        (Compared::Different { differences, .. }, Declare::All) => Finding::bad(
            about,
            format!(
                "is there with other arguments than asked for: {}",
                differences.join(", ")
            ),
        )
        .remedy("ask for what it has, or let it be used as it is with Declare::Missing"),
        (Compared::Different { differences, .. }, _) => Finding::doubtful(
            about,
            format!(
                "is used as it is, and not as it is asked for: {}",
                differences.join(", ")
            ),
        )
        .remedy("ask for what it has, or move its messages and delete it"),
    }
}

async fn reading(looker: &RabbitLooker, name: &str) -> Result<Option<Finding>, OpsError> {
    let may = looker.may_read(name).await.map_err(OpsError::broker)?;
    Ok((!may).then(|| {
        Finding::bad(of_queue(name), "the user may not consume it")
            .remedy("give the user the right `read` for it")
    }))
}

/// What waits that should not.
async fn depth(ops: &Ops, info: &QueueInfo) -> Result<Vec<Finding>, OpsError> {
    let names: Vec<_> = [&*info.name]
        .into_iter()
        .chain(info.dead_letters.as_deref())
        .collect();
    let depths = ops.source.depths(&names).await?;
    let mut findings = Vec::new();
    if let Some(Some(depth)) = depths.first() {
        if depth.consumers == 0 && depth.ready > 0 {
            let text = match depth.ready {
                1 => "1 message waits, and nobody consumes".to_owned(),
                ready => format!("{ready} messages wait, and nobody consumes"),
            };
            findings
                .push(Finding::doubtful(of_queue(&info.name), text).remedy("start the program"));
        }
    }
    if let Some(Some(depth)) = depths
        .get(1)
        .filter(|depth| depth.is_some_and(|depth| depth.ready > 0))
    {
        let text = match depth.ready {
            1 => "1 letter is there".to_owned(),
            ready => format!("{ready} letters are there"),
        };
        findings.push(
            Finding::doubtful(of_queue(names[1]), text)
                .remedy("`dlq groups` says why, `dlq check` which of them this build takes"),
        );
    }
    Ok(findings)
}

async fn dead_letters(
    looker: &RabbitLooker,
    companions: &Companions,
    declare: Declare,
) -> Result<Option<Finding>, OpsError> {
    let Some(declared) = &companions.dead_letters else {
        return Ok(None);
    };
    let about = of_queue(&declared.name);
    let compared = looker.compare(&declared.name, &declared.arguments).await;
    Ok(Some(match compared.map_err(OpsError::broker)? {
        Compared::Same => Finding::good(about, "keeps dead letters, and survives being looked at"),
        Compared::Missing if declare == Declare::Never => Finding::bad(
            about,
            "is not there: messages that fail stay in their queue and are tried again",
        )
        .remedy("declare it, durable and without a TTL"),
        Compared::Missing => Finding::good(about, "is not there yet, and declared at the start"),
        Compared::NoRight => Finding::doubtful(
            about,
            "is there; the user may not declare it, so that its arguments cannot be seen",
        )
        .remedy("see that it has neither a TTL nor a limit of length"),
        Compared::Different {
            differences,
            is_harmless,
            ..
        } => kept_otherwise(about, &differences, is_harmless),
    }))
}

/// A dead-letter queue that somebody else has made, or an earlier ploomby.
fn kept_otherwise(about: String, differences: &[String], is_harmless: bool) -> Finding {
    let told = differences.join(", ");
    if !is_harmless {
        return Finding::bad(about, format!("might drop the letters that it is given: {told}"))
            .remedy("move its messages and delete it, or name another dead-letter queue; the program does not start with it");
    }
    let is_without_limit = |difference: &String| {
        difference.starts_with("`x-delivery-limit`") || difference == "`x-queue-type` is quorum"
    };
    let has_no_limit = differences.iter().any(is_without_limit);
    match has_no_limit {
        true => Finding::doubtful(
            about,
            format!("is as an earlier ploomby or somebody else made it: {told}. RabbitMQ 4.0 to 4.2 drop a letter that was looked at 20 times, and RabbitMQ 3 puts letters that were looked at behind the others"),
        )
        .remedy("set a policy with a large `delivery-limit` for it, or export its letters, delete it, and import them again"),
        false => Finding::doubtful(about, format!("keeps dead letters, and is not as ploomby would make it: {told}")),
    }
}

/// The queues of the retries.
async fn waiting(
    ops: &Ops,
    looker: &RabbitLooker,
    info: &QueueInfo,
    declare: Declare,
) -> Result<Vec<Finding>, OpsError> {
    let mut findings = Vec::new();
    let mut good = 0;
    for declared in ops.program.waiting_queues(&info.name) {
        let Declared {
            name, arguments, ..
        } = declared;
        let compared = looker.compare(&name, &arguments).await;
        match compared.map_err(OpsError::broker)? {
            Compared::Different { differences, .. } => {
                let told = differences.join(", ");
                findings.push(
                    Finding::bad(
                        of_queue(&name),
                        format!("might not bring messages back when and where they should: {told}"),
                    )
                    .remedy("move its messages and delete it"),
                );
            }
            Compared::Missing if declare == Declare::Never => findings.push(
                Finding::bad(
                    of_queue(&name),
                    "is not there, and messages that wait for another attempt need it",
                )
                .remedy(format!(
                    "declare it as `topology` says: {}",
                    told(&arguments)
                )),
            ),
            _ => good += 1,
        }
    }
    if findings.is_empty() && good > 0 {
        let text = format!(
            "their {good} queue{} can be used",
            if good == 1 { "" } else { "s" }
        );
        findings.push(Finding::good(format!("retries of {}", info.name), text));
    }
    Ok(findings)
}

fn told(arguments: &[(String, Value)]) -> String {
    let arguments = arguments
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"));
    arguments.collect::<Vec<_>>().join(", ")
}

/// Queues of retries and delays that no policy of today uses.
pub(in crate::ops) async fn leftover_queues(
    ops: &Ops,
    info: &QueueInfo,
) -> Result<Vec<(String, usize)>, OpsError> {
    let used: Vec<_> = info.waiting.iter().map(|(name, _)| name.as_str()).collect();
    let names = USUAL_DELAYS.iter().flat_map(|delay| {
        let queue = &info.name;
        [
            format!("{queue}_retry_{delay}ms"),
            format!("{queue}_delay_{delay}ms"),
        ]
    });
    let may_be_needed = |name: &String| {
        let mut delays = NEEDED_BY_ALL.iter();
        delays.any(|delay| *name == format!("{}_retry_{delay}ms", info.name))
    };
    let names: Vec<_> = names
        .filter(|name| !used.contains(&name.as_str()) && !may_be_needed(name))
        .collect();
    let asked: Vec<_> = names.iter().map(String::as_str).collect();
    let depths = ops.source.depths(&asked).await?;
    let there = names
        .iter()
        .zip(depths)
        .filter_map(|(name, depth)| Some((name.clone(), depth?.ready)));
    Ok(there.collect())
}

async fn leftovers(ops: &Ops, info: &QueueInfo) -> Result<Option<Finding>, OpsError> {
    // a delay is chosen where a message is sent, which may be another program
    let left = leftover_queues(ops, info)
        .await?
        .into_iter()
        .filter(|(name, _)| name.contains("_retry_"));
    let left: Vec<_> = left
        .map(|(name, ready)| match ready {
            1 => format!("{name} (1 message)"),
            ready => format!("{name} ({ready} messages)"),
        })
        .collect();
    Ok((!left.is_empty()).then(|| {
        Finding::doubtful(
            format!("retries of {}", info.name),
            format!("no handler of this build uses {}", left.join(", ")),
        )
        .remedy("`topology --leftovers --delete-empty`, once no other build uses them")
    }))
}
