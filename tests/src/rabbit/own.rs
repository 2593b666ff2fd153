use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use tokio::task;

use super::site::{Node, Site};
use super::{Rabbit, local};

/// A server of RabbitMQ that a test may do anything to. It is stopped when it is dropped, and when the
/// process ends, in whatever way.
///
/// It is the `rabbitmq-server` of this machine, or with the environment variable
/// `PLOOMBY_TEST_RABBITMQ_ROOT` that of a system unpacked in this folder, also where other tests have
/// their broker in Docker.
///
/// All that is done to it panics where it does not succeed.
pub struct OwnRabbit {
    node: Arc<Node>,
    rabbit: Rabbit,
}

impl OwnRabbit {
    /// One server, which answers.
    pub async fn start() -> Self {
        Self::with_plugins(&[]).await
    }

    /// The same with these plugins, which come with RabbitMQ.
    pub async fn with_plugins(plugins: &'static [&'static str]) -> Self {
        let [own] = Self::nodes(plugins).await;
        own
    }

    /// Three servers that are one broker. They all answer.
    pub async fn cluster() -> [Self; 3] {
        let nodes: [Self; 3] = Self::nodes(&[]).await;
        let [first, others @ ..] = &nodes;
        // not by the discovery of peers, which each version does in another way
        for node in others {
            node.ctl(&["stop_app"]).await;
            node.ctl(&["join_cluster", first.name()]).await;
            node.ctl(&["start_app"]).await;
            node.answers().await;
        }
        nodes
    }

    async fn nodes<const COUNT: usize>(plugins: &'static [&'static str]) -> [Self; COUNT] {
        let nodes = task::spawn_blocking(|| {
            let nodes = Site::new()?.nodes(COUNT, "")?;
            nodes.iter().try_for_each(|node| node.enable(plugins))?;
            nodes.iter().try_for_each(Node::start)?;
            nodes.iter().try_for_each(Node::wait)?;
            anyhow::Ok(nodes)
        });
        let nodes: Vec<Self> = nodes
            .await
            .unwrap()
            .unwrap_or_else(|error| panic!("{error:#}"))
            .into_iter()
            .map(|node| {
                let node = Arc::new(node);
                Self {
                    rabbit: local::rabbit(&node),
                    node,
                }
            })
            .collect();
        nodes.try_into().unwrap()
    }

    /// Erlang's name of the server.
    pub fn name(&self) -> &str {
        self.node.name()
    }

    /// Ends the server as a power cut does: SIGKILL.
    pub async fn kill(&self) {
        self.end("KILL").await;
    }

    /// Ends the server in order: SIGTERM.
    pub async fn stop(&self) {
        self.end("TERM").await;
    }

    async fn end(&self, signal: &'static str) {
        self.on_node(move |node| {
            node.signal(signal)?;
            node.wait_for_end()
        })
        .await;
    }

    /// Lets the server's process do nothing until it is [thawed](Self::thaw): its sockets stay open.
    pub async fn freeze(&self) {
        self.on_node(|node| node.signal("STOP")).await;
    }

    /// Lets the server's process go on.
    pub async fn thaw(&self) {
        self.on_node(|node| node.signal("CONT")).await;
    }

    /// Starts a server that was ended, on its data and its ports, and waits until it answers.
    pub async fn start_again(&self) {
        self.on_node(|node| {
            node.start()?;
            node.wait()
        })
        .await;
    }

    /// Starts a server that was ended, and does not wait.
    pub async fn begin_again(&self) {
        self.on_node(Node::start).await;
    }

    /// Waits until the server answers.
    pub async fn answers(&self) {
        self.on_node(Node::wait).await;
    }

    /// What `rabbitmqctl` prints.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        let mut command = self.rabbit.rabbitmqctl().unwrap();
        let output = command.args(arguments).output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Lets the broker take more memory than it may: it reads no more from connections that publish.
    pub async fn raise_memory_alarm(&self) {
        self.ctl(&["set_vm_memory_high_watermark", "0.0000001"])
            .await;
    }

    /// Ends the [alarm](Self::raise_memory_alarm).
    pub async fn clear_memory_alarm(&self) {
        self.ctl(&["set_vm_memory_high_watermark", "0.9"]).await;
    }

    async fn on_node(&self, action: impl FnOnce(&Node) -> anyhow::Result<()> + Send + 'static) {
        let node = self.node.clone();
        let done = task::spawn_blocking(move || action(&node)).await;
        done.unwrap().unwrap_or_else(|error| panic!("{error:#}"));
    }
}

impl Deref for OwnRabbit {
    type Target = Rabbit;

    fn deref(&self) -> &Rabbit {
        &self.rabbit
    }
}

impl fmt::Debug for OwnRabbit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnRabbit")
            .field("name", &self.name())
            .field("rabbit", &self.rabbit)
            .finish_non_exhaustive()
    }
}
