//! What stands beside a program from before its start to after its end, such as a server that says how it is.

use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{App, Error, Queue};
use crate::{handler::HandlerRegistry, health::Health, metrics::Metrics, publisher::BrokerUrl};

/// Begins before anything is connected. The future that it gives runs beside the program, until [`Life::Ended`].
pub(crate) type Attend =
    fn(&mut App, watch::Receiver<Life>) -> BoxFuture<'static, Result<Attendant, Error>>;

/// What runs beside a program, and where it can be found.
pub(crate) struct Attendant {
    pub(crate) address: SocketAddr,
    pub(crate) work: BoxFuture<'static, ()>,
}

/// How far a program is.
#[derive(Clone, Debug)]
pub(crate) enum Life {
    Starting,
    Running(Controls),
    /// It was told to stop: what has begun goes on.
    Draining(Controls),
    Ended,
}

/// What a program that consumes can be asked and told by whoever stands beside it.
#[derive(Clone, Debug)]
pub(crate) struct Controls {
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
}

/// What a program is, without what it does.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) name: Option<String>,
    pub(crate) queues: Vec<Queue>,
    pub(crate) handlers: HandlerRegistry,
    pub(crate) url: BrokerUrl,
}

/// Who stands beside a program. Dropped, it ends at once.
#[derive(Debug)]
pub(super) struct Attending {
    life: watch::Sender<Life>,
    attendant: JoinSet<()>,
    pub(super) address: Option<SocketAddr>,
}

impl Attending {
    pub(super) async fn begin(app: &mut App) -> Result<Self, Error> {
        let life = watch::Sender::new(Life::Starting);
        let (mut attendant, mut address) = (JoinSet::new(), None);
        if let Some(attend) = app.attend.take() {
            let begun = attend(app, life.subscribe()).await?;
            address = Some(begun.address);
            attendant.spawn(begun.work);
        }
        Ok(Self {
            life,
            attendant,
            address,
        })
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    pub(super) fn running(&self, controls: Controls) {
        self.life.send_replace(Life::Running(controls));
    }

    pub(super) fn draining(&self) {
        self.life.send_if_modified(|life| match life {
            Life::Running(controls) => {
                *life = Life::Draining(controls.clone());
                true
            }
            _ => false,
        });
    }

    /// Waits until the attendant has seen that the program is over.
    pub(super) async fn end(&mut self, deadline: Instant) {
        self.life.send_replace(Life::Ended);
        let ending = async { while self.attendant.join_next().await.is_some() {} };
        if timeout_at(deadline, ending).await.is_err() {
            self.attendant.shutdown().await;
        }
    }
}

impl Life {
    /// What the program can be asked, once it consumes.
    pub(crate) fn controls(&self) -> Option<&Controls> {
        match self {
            Self::Running(controls) | Self::Draining(controls) => Some(controls),
            Self::Starting | Self::Ended => None,
        }
    }
}
