use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Result;

use super::Rabbit;
use super::site::{Node, Site};

/// A broker by the `rabbitmq-server` of this machine, beside any that runs already.
pub(super) fn start() -> Result<Rabbit> {
    start_with("")
}

/// The same with more lines in its `rabbitmq.conf`.
pub(super) fn start_with(configuration: &str) -> Result<Rabbit> {
    let node = Site::new()?.nodes(1, configuration)?.remove(0);
    node.start()?;
    node.wait()?;
    Ok(rabbit(&Arc::new(node)))
}

/// The broker that a server is, or is part of.
pub(super) fn rabbit(node: &Arc<Node>) -> Rabbit {
    let host = Ipv4Addr::LOCALHOST.to_string();
    let asked = node.clone();
    let rabbitmqctl = move || asked.rabbitmqctl().into();
    Rabbit::started(host, node.port, rabbitmqctl, node.clone())
}
