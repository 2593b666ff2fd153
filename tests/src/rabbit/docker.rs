use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use testcontainers::core::IntoContainerPort;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};
use tokio::{process, runtime};

use super::site::{ERL_ARGS, MOVES_SOON};
use super::watchdog::Watchdog;
use super::{Rabbit, START, handshake};
use crate::unique_name;

const IMAGE: &str = "rabbitmq";
const TAG: &str = "4-management";
const PORT: u16 = 5672;

const WATCHDOG: &str = r#"cat; docker rm --force --volumes "$1""#;

/// A broker in a container.
pub(super) fn start() -> Result<Rabbit> {
    ensure!(
        daemon_answers(),
        "no Docker daemon answers `docker version`"
    );

    let name = unique_name("ploomby-tests");
    // Before the container, so that there is no moment when it has no watchdog.
    let watchdog = Watchdog::spawn(WATCHDOG, |shell| {
        shell.arg(&name);
    })?;
    let (container, host, port) = start_container(&name)
        .with_context(|| format!("the image {IMAGE}:{TAG} does not start"))?;
    handshake::wait(&host, port, START, || Ok(()))?;
    // it listens a moment before it is started, see `Node::wait`
    let awaited = Command::new("docker")
        .args(["exec", &name, "rabbitmqctl", "await_startup"])
        .args(["--timeout", &START.as_secs().to_string()])
        .output()?;
    ensure!(
        awaited.status.success(),
        "the broker in the container does not start: {}",
        String::from_utf8_lossy(&awaited.stderr)
    );

    let rabbitmqctl = move || {
        let mut command = process::Command::new("docker");
        command.args(["exec", &name, "rabbitmqctl"]);
        command
    };
    Ok(Rabbit::started(
        host,
        port,
        rabbitmqctl,
        (container, watchdog),
    ))
}

fn daemon_answers() -> bool {
    Command::new("docker")
        .arg("version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn start_container(name: &str) -> Result<(ContainerAsync<GenericImage>, String, u16)> {
    let image = GenericImage::new(IMAGE, TAG)
        .with_exposed_port(PORT.tcp())
        .with_container_name(name)
        .with_env_var(ERL_ARGS, MOVES_SOON)
        .with_startup_timeout(START);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let container = image.start().await?;
        let port = container.get_host_port_ipv4(PORT).await?;
        let host = match container.get_host().await?.to_string() {
            // it may mean ::1, where Docker may forward another port
            host if host == "localhost" => "127.0.0.1".to_owned(),
            host => host,
        };
        Ok((container, host, port))
    })
}
