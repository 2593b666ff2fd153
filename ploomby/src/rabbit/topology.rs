use amqprs::channel::QueueDeclareArguments;
use futures_util::future::{join, join_all};
use tracing::warn;

#[cfg(feature = "testing")]
pub(crate) use self::ground::RabbitGround;
pub(super) use self::{asker::Asker, compare::compare, refusal::Asked};
pub(crate) use self::{asker::Depth, compare::Compared, refusal::TopologyError};
use self::{
    difference::Difference,
    once::once,
    wire::{bind, declare_exchanges},
};
use super::{connection::SharedConnection, session::events::Closed};
use crate::{
    consumer::{
        Declare,
        companions::{Declared, Purpose},
    },
    message::{Value, wire::field_table},
    stage::Made,
    topology::Wiring,
};

mod asker;
mod compare;
mod difference;
#[cfg(feature = "testing")]
mod ground;
mod once;
mod refusal;
mod staged;
mod wire;

/// A queue that is to be consumed, as the program describes it.
pub(super) struct Consumed<'a> {
    pub(super) queue: &'a str,
    pub(super) declare: Declare,
    pub(super) arguments: &'a [(String, Value)],
    pub(super) wiring: &'a Wiring,
}

/// Makes sure that the consumed queue and those beside it are there, and that its exchanges lead to it.
///
/// The questions about those beside it go over `others`, side by side.
pub(super) async fn ensure(
    asker: &mut Asker<'_>,
    consumed: &Consumed<'_>,
    others: &mut [(Asker<'_>, &[Declared])],
) -> Result<(), TopologyError> {
    let beside = others.iter_mut().map(async |(asker, beside)| {
        for declared in *beside {
            declare_by(asker, declared).await?;
        }
        Ok(())
    });
    // all of them to the end: what is dropped halfway leaves the client in disorder
    let (ensured, beside) = join(
        async {
            declare_exchanges(asker, consumed.declare, consumed.wiring).await?;
            ensure_consumed(asker, consumed).await?;
            bind(asker, consumed.queue, consumed.declare, consumed.wiring).await
        },
        join_all(beside),
    )
    .await;
    ensured.and(beside.into_iter().collect())
}

/// Makes sure that the consumed queue is there. As a rule it is used as it is, whatever its arguments.
async fn ensure_consumed(
    asker: &mut Asker<'_>,
    consumed: &Consumed<'_>,
) -> Result<(), TopologyError> {
    let Consumed {
        queue,
        declare: how,
        arguments,
        wiring,
    } = *consumed;
    let broker = asker.broker();
    once(&broker, queue, &[], async || {
        if how != Declare::All && exists_by(asker, queue).await? {
            return Ok(());
        }
        if how == Declare::Never {
            return Err(TopologyError::Missing(queue.to_owned()));
        }
        let declare = declaration(queue, arguments)?;
        let declared = asker.declare(declare).await;
        declared.map_err(|fault| {
            fault.told(|closed| TopologyError::refused(queue, Asked::Declare, closed))
        })?;
        if how == Declare::Missing && wiring.has_bindings() {
            warn!(
                queue,
                "the queue was not there and is declared, and bound as the program says: what was published before \
                 did not reach it"
            );
        } else if how == Declare::Missing {
            warn!(
                queue,
                "the queue was not there and is declared, without bindings: what was published to exchanges meanwhile \
                 did not reach it"
            );
        }
        Ok(())
    })
    .await
}

/// Makes sure again that what the exchanges of a consumed queue bring comes to it.
pub(super) async fn wire(
    asker: &mut Asker<'_>,
    queue: &str,
    declare: Declare,
    wiring: &Wiring,
) -> Result<(), TopologyError> {
    declare_exchanges(asker, declare, wiring).await?;
    bind(asker, queue, declare, wiring).await
}

/// The same, over a channel of its own.
pub(super) async fn wire_beside(
    connection: &SharedConnection,
    queue: &str,
    declare: Declare,
    wiring: &Wiring,
) -> Result<(), TopologyError> {
    let mut asker = Asker::new(connection);
    let wired = wire(&mut asker, queue, declare, wiring).await;
    asker.close().await;
    wired
}

/// Declares exchanges that the program sends to.
pub(super) async fn declare_for_sending(
    connection: &SharedConnection,
    wiring: &Wiring,
) -> Result<(), TopologyError> {
    let mut asker = Asker::new(connection);
    let done = declare_exchanges(&mut asker, Declare::Missing, wiring).await;
    asker.close().await;
    done
}

/// Whether there is a queue of this name.
pub(super) async fn exists(
    connection: &SharedConnection,
    queue: &str,
) -> Result<bool, TopologyError> {
    let mut asker = Asker::new(connection);
    let exists = exists_by(&mut asker, queue).await;
    asker.close().await;
    exists
}

async fn exists_by(asker: &mut Asker<'_>, queue: &str) -> Result<bool, TopologyError> {
    Ok(depth_by(asker, queue).await?.is_some())
}

/// How much there is in a queue; None if there is no such queue.
pub(super) async fn depth_by(
    asker: &mut Asker<'_>,
    queue: &str,
) -> Result<Option<Depth>, TopologyError> {
    let mut declare = QueueDeclareArguments::new(queue);
    declare.passive(true);
    match asker.ask(declare).await {
        Ok(depth) => Ok(Some(depth)),
        Err(fault) => match fault.told(|closed| TopologyError::refused(queue, Asked::Look, closed))
        {
            TopologyError::Refused { closed, .. } if closed.is_not_found() => Ok(None),
            error => Err(error),
        },
    }
}

/// Declares a queue of ours, or makes sure that it is as we declare it.
pub(super) async fn declare(
    connection: &SharedConnection,
    declared: &Declared,
) -> Result<(), TopologyError> {
    let mut asker = Asker::new(connection);
    let done = declare_by(&mut asker, declared).await;
    asker.close().await;
    done
}

async fn declare_by(asker: &mut Asker<'_>, declared: &Declared) -> Result<(), TopologyError> {
    let broker = asker.broker();
    once(&broker, &declared.name, &declared.arguments, async || {
        staged::makes(asker, Made::Queue(&declared.name)).await?;
        declare_alone(asker, declared).await
    })
    .await
}

/// As many arguments as a queue can have, about.
const MOST_ARGUMENTS: usize = 16;

/// What came of declaring a queue.
enum Tried {
    Declared,
    NoRight(Closed),
    /// One argument of the queue that is there. The broker names one at a time.
    Different(Difference, Closed),
}

/// Declares a queue, and says what stands in the way.
async fn try_to_declare(
    asker: &mut Asker<'_>,
    queue: &str,
    arguments: &[(String, Value)],
) -> Result<Tried, TopologyError> {
    let declare = declaration(queue, arguments)?;
    let refused = match asker.declare(declare).await {
        Ok(()) => return Ok(Tried::Declared),
        Err(fault) => fault.told(|closed| TopologyError::refused(queue, Asked::Declare, closed)),
    };
    let TopologyError::Refused { closed, .. } = refused else {
        return Err(refused);
    };
    if closed.is_no_right() {
        return Ok(Tried::NoRight(closed));
    }
    match Difference::read(&closed.text) {
        Some(difference) => Ok(Tried::Different(difference, closed)),
        None => Err(TopologyError::refused(queue, Asked::Declare, closed)),
    }
}

/// Declares a queue of ours, while nobody else in this process does.
///
/// A dead-letter queue that somebody else has made is used as it is, if it differs in nothing that could lose a message.
async fn declare_alone(asker: &mut Asker<'_>, declared: &Declared) -> Result<(), TopologyError> {
    let queue = &declared.name;
    let mut arguments = declared.arguments.clone();
    let mut accepted = Vec::new();
    loop {
        let (difference, closed) = match try_to_declare(asker, queue, &arguments).await? {
            Tried::Declared => break,
            Tried::NoRight(closed) => return look_instead(asker, declared, closed).await,
            Tried::Different(difference, closed) => (difference, closed),
        };
        let is_kept = declared.purpose == Purpose::DeadLetters && difference.is_harmless();
        if !is_kept || accepted.len() == MOST_ARGUMENTS {
            return Err(TopologyError::Different {
                queue: queue.clone(),
                purpose: declared.purpose,
                difference: Box::new(difference),
                closed,
            });
        }
        difference.accept(&mut arguments);
        accepted.push(difference.to_string());
    }
    if !accepted.is_empty() {
        let differences = accepted.join(", ");
        let is_quorum = arguments.contains(&("x-queue-type".to_owned(), "quorum".into()));
        let has_limit = arguments.iter().any(|(name, _)| name == "x-delivery-limit");
        match is_quorum && !has_limit {
            true => warn!(
                queue,
                differences,
                "the dead-letter queue is not as ploomby would make it, and used as it is: RabbitMQ 4.0 to 4.2 drop a letter \
                 that was looked at 20 times, so set a policy with a large `delivery-limit` for it, or export its letters, \
                 delete it, and import them again"
            ),
            false => warn!(
                queue,
                differences,
                "the dead-letter queue is not as ploomby would make it, and used as it is"
            ),
        }
    }
    Ok(())
}

/// Without the right to declare a queue, it is enough that the queue is there.
async fn look_instead(
    asker: &mut Asker<'_>,
    declared: &Declared,
    refused: Closed,
) -> Result<(), TopologyError> {
    let queue = &declared.name;
    let is_there = match exists_by(asker, queue).await {
        Ok(is_there) => is_there,
        // newer brokers want a right for looking, too; what is published is `mandatory` in any case
        Err(TopologyError::Refused { closed, .. }) if closed.is_no_right() => true,
        Err(error) => return Err(error),
    };
    if !is_there {
        return Err(TopologyError::refused(queue, Asked::Declare, refused));
    }
    warn!(
        queue,
        "the user has no right to declare this queue, so that nothing shows whether it has the right arguments"
    );
    Ok(())
}

fn declaration(
    queue: &str,
    arguments: &[(String, Value)],
) -> Result<QueueDeclareArguments, TopologyError> {
    let mut declare = QueueDeclareArguments::durable_client_named(queue);
    declare.arguments(field_table(arguments)?);
    Ok(declare)
}
