use tokio::time::timeout;

use super::{Acknowledger, NobodyThere, NotTaken};
use crate::{
    delivery::{Delivery, Loss},
    outcome::Failure,
    reply::Addressed,
};

/// Sends a reply to who asked. It is tried once, and for a limited time: what comes of it decides nothing about the
/// message, and is counted.
///
/// # Errors
///
/// The broker does not take the reply as it is, and may take one that says so.
pub(super) async fn send<A: Acknowledger>(
    Addressed { address, reply }: Addressed,
    delivery: &Delivery,
    acknowledger: &A,
) -> Result<(), Failure> {
    let replying = delivery.replying();
    let (exchange, routing_key) = (&*address.exchange, &*address.routing_key);
    let within = replying.rules.within;
    let sending = async {
        match exchange {
            "" => acknowledger.reply(routing_key, reply).await,
            exchange => {
                acknowledger
                    .reply_through(exchange, routing_key, reply)
                    .await
            }
        }
    };
    match timeout(within, sending).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.is::<NobodyThere>() => {
            replying.note(Loss::Unroutable, routing_key, &error);
        }
        Ok(Err(error)) => {
            replying.note(Loss::Failed, routing_key, &error);
            if error.is::<NotTaken>() {
                return Err(Failure::reply_not_taken(&error));
            }
        }
        Err(_) => {
            let why = format!("the broker did not take it within {within:?}");
            replying.note(Loss::Failed, routing_key, &why);
        }
    }
    Ok(())
}
