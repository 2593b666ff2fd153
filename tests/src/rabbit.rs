mod docker;
mod given;
mod handshake;
mod installation;
mod local;
mod own;
mod site;
mod watchdog;

pub use own::OwnRabbit;

use std::any::Any;
use std::env;
use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use amqprs::connection::{Connection, OpenConnectionArguments};
use anyhow::{Result, bail};
use tokio::process::Command;
use tokio::task;

use self::installation::Installation;
use crate::unique_name;

const URL: &str = "PLOOMBY_TEST_AMQP_URL";
const SOURCE: &str = "PLOOMBY_TEST_BROKER";

/// How long a broker may take from its start to its first answer. An idle machine needs 5 to 15 seconds.
const START: Duration = Duration::from_secs(120);

/// The RabbitMQ broker that the tests of this process run against, started by the first call.
///
/// It comes from the first of these that is there:
///
/// 1. `url`: the environment variable `PLOOMBY_TEST_AMQP_URL`
/// 2. `docker`: a container, where a Docker daemon answers
/// 3. `local`: a `rabbitmq-server` found on this machine, with ports and a folder of its own, or with
///    `PLOOMBY_TEST_RABBITMQ_ROOT` that of a system unpacked in this folder
///
/// `PLOOMBY_TEST_BROKER`, set to one of these names, allows that one alone. Whatever was started is
/// stopped and removed when the process ends, in whatever way it ends.
///
/// # Panics
///
/// Where there is none, with what each source lacks and what to do.
pub async fn rabbit() -> &'static Rabbit {
    // kept also when it failed, so that one missing broker is not looked for by each test anew.
    static RABBIT: OnceLock<Result<Rabbit>> = OnceLock::new();

    let started = task::spawn_blocking(|| RABBIT.get_or_init(start)).await;
    match started.expect("the start of the broker panicked") {
        Ok(rabbit) => rabbit,
        Err(error) => panic!("{error:#}"),
    }
}

/// A RabbitMQ of the test's own, with these lines in its `rabbitmq.conf`; it ends when it is dropped.
///
/// # Panics
///
/// Where there is no `rabbitmq-server` on this machine.
pub async fn rabbit_with(configuration: &str) -> Rabbit {
    let configuration = configuration.to_owned();
    let started = task::spawn_blocking(move || local::start_with(&configuration)).await;
    match started.expect("the start of the broker panicked") {
        Ok(rabbit) => rabbit,
        Err(error) => panic!("the test needs a broker of its own: {error:#}"),
    }
}

/// A new folder for files that the configuration of a broker [of the test's own](rabbit_with) names, and the same folder
/// as that broker sees it. Whoever makes it removes it.
///
/// # Panics
///
/// Where it cannot be made.
#[must_use]
pub fn folder_for_a_broker(name: &str) -> (PathBuf, PathBuf) {
    let name = unique_name(name);
    let (folder, seen) = match Installation::find() {
        Ok(installation) => {
            let folder = installation.folder(&name);
            let seen = installation.seen_by_the_broker(&folder);
            (folder, seen)
        }
        // tests without a broker of their own have such files, too
        Err(_) => (env::temp_dir().join(&name), env::temp_dir().join(&name)),
    };
    std::fs::create_dir(&folder).expect("a new folder");
    (folder, seen)
}

/// A broker that answers.
pub struct Rabbit {
    url: String,
    host: String,
    port: u16,
    username: String,
    password: String,
    virtual_host: String,
    rabbitmqctl: Option<Box<dyn Fn() -> Command + Send + Sync>>,
    /// What lives as long as the broker, or ends it.
    _kept: Option<Box<dyn Any + Send + Sync>>,
}

impl Rabbit {
    /// The `amqp://` URL, with user and password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The host of the URL.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The AMQP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection of the bare client, for what a test does beside the code that it tests.
    ///
    /// # Errors
    ///
    /// Where the broker refuses it.
    pub async fn connect(&self) -> Result<Connection, amqprs::error::Error> {
        Connection::open(&self.arguments()).await
    }

    /// What a [connection](Self::connect) is opened with.
    #[must_use]
    pub fn arguments(&self) -> OpenConnectionArguments {
        let mut arguments =
            OpenConnectionArguments::new(&self.host, self.port, &self.username, &self.password);
        arguments.virtual_host(&self.virtual_host);
        arguments
    }

    /// `rabbitmqctl` for this broker, to be given its arguments; none for a broker given by URL.
    #[must_use]
    pub fn rabbitmqctl(&self) -> Option<Command> {
        self.rabbitmqctl.as_ref().map(|command| command())
    }

    /// A broker that this process started, with the user that RabbitMQ creates at its first start.
    fn started(
        host: String,
        port: u16,
        rabbitmqctl: impl Fn() -> Command + Send + Sync + 'static,
        kept: impl Any + Send + Sync,
    ) -> Self {
        Self {
            url: format!("amqp://guest:guest@{host}:{port}"),
            host,
            port,
            username: "guest".to_owned(),
            password: "guest".to_owned(),
            virtual_host: "/".to_owned(),
            rabbitmqctl: Some(Box::new(rabbitmqctl)),
            _kept: Some(Box::new(kept)),
        }
    }
}

impl fmt::Debug for Rabbit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rabbit")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

fn start() -> Result<Rabbit> {
    match env::var(SOURCE).as_deref() {
        Ok("url") => given::connect(),
        Ok("docker") => docker::start(),
        Ok("local") => local::start(),
        Ok(other) => bail!("{SOURCE} is `{other}`: set it to url, docker or local, or unset it"),
        Err(_) if env::var_os(URL).is_some() => given::connect(),
        Err(_) => docker::start().or_else(|docker| {
            local::start().or_else(|local| {
                bail!(
                    "the tests need a RabbitMQ: start Docker, install rabbitmq-server, or set {URL}\n\
                     docker: {docker:#}\n\
                     local: {local:#}"
                )
            })
        }),
    }
}
