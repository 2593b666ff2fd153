use std::env;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::watchdog::Watchdog;
use super::{Rabbit, START, handshake};
use crate::unique_name;

/// The scripts of RabbitMQ itself, where a package of Debian or Red Hat puts wrappers on the `PATH`: those
/// switch to a system user, and refuse to run for ordinary ones.
const UNWRAPPED: &str = "/usr/lib/rabbitmq/bin";

/// Folders that not every user has on the `PATH`; the last is Homebrew's.
const BESIDE_PATH: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"];

/// Runs a server, and an epmd of its own in the foreground: the one that Erlang would start is a daemon,
/// which stays. At the end of the tests the server is killed, then its folder is removed, and then
/// whatever else is left of this process group is killed too, the watchdog with it.
const WATCHDOG: &str = r#"
folder=$1 server=$2
exec 3<&0
PATH=$PATH:$(dirname "$(readlink -f "$(command -v erl)")")
epmd </dev/null >"$folder/epmd.log" 2>&1 &
"$server" </dev/null >"$folder/server.log" 2>&1 &
server=$!
{ cat <&3; kill -KILL "$server"; } &
wait "$server"
touch "$folder/stopped"
cat <&3
rm -rf "$folder"
kill -KILL 0
"#;

/// A broker by the `rabbitmq-server` of this machine, beside any that runs already.
pub(super) fn start() -> Result<Rabbit> {
    start_with("")
}

/// The same with more lines in its `rabbitmq.conf`.
pub(super) fn start_with(configuration: &str) -> Result<Rabbit> {
    let scripts = find().context("no rabbitmq-server on this machine")?;
    let name = unique_name("ploomby-tests");
    let folder = env::temp_dir().join(&name);
    let [port, dist_port, epmd_port] = free_ports().context("no free ports")?;
    let environment = environment(&name, &folder, port, dist_port, epmd_port);

    write_configuration(&folder, configuration)
        .with_context(|| format!("{} cannot be written", folder.display()))?;
    let watchdog = Watchdog::spawn(WATCHDOG, |shell| {
        shell
            .current_dir(&folder)
            .arg(&folder)
            .arg(scripts.join("rabbitmq-server"));
        set_environment(shell, &environment);
    })?;
    let host = Ipv4Addr::LOCALHOST.to_string();
    handshake::wait(&host, port, START, || still_runs(&folder))?;

    let rabbitmqctl = move || {
        let mut command = Command::new(scripts.join("rabbitmqctl"));
        set_environment(&mut command, &environment);
        command.into()
    };
    Ok(Rabbit::started(host, port, rabbitmqctl, watchdog))
}

/// The folder of the scripts.
fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    [UNWRAPPED.into()]
        .into_iter()
        .chain(env::split_paths(&path))
        .chain(BESIDE_PATH.map(PathBuf::from))
        .find(|folder| folder.join("rabbitmq-server").is_file())
}

/// Held together, so that they differ.
fn free_ports() -> io::Result<[u16; 3]> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let [a, b, c] = [bind()?, bind()?, bind()?];
    Ok([
        a.local_addr()?.port(),
        b.local_addr()?.port(),
        c.local_addr()?.port(),
    ])
}

type Environment = Vec<(&'static str, String)>;

fn environment(
    name: &str,
    folder: &Path,
    port: u16,
    dist_port: u16,
    epmd_port: u16,
) -> Environment {
    let loopback = Ipv4Addr::LOCALHOST.to_string();
    let within = |path| folder.join(path).display().to_string();
    vec![
        // where Erlang keeps its cookie
        ("HOME", folder.display().to_string()),
        // the script becomes the server, instead of waiting for it in a process of its own
        ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
        ("ERL_EPMD_ADDRESS", loopback.clone()),
        ("ERL_EPMD_PORT", epmd_port.to_string()),
        ("RABBITMQ_NODENAME", format!("{name}@localhost")),
        ("RABBITMQ_NODE_IP_ADDRESS", loopback),
        ("RABBITMQ_NODE_PORT", port.to_string()),
        ("RABBITMQ_DIST_PORT", dist_port.to_string()),
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
        ),
        ("RABBITMQ_MNESIA_BASE", within("data")),
        ("RABBITMQ_LOG_BASE", within("log")),
        ("RABBITMQ_LOGS", "-".to_owned()),
        ("RABBITMQ_PID_FILE", within("pid")),
        ("RABBITMQ_GENERATED_CONFIG_DIR", within("config")),
        ("RABBITMQ_SCHEMA_DIR", within("schema")),
        // else those of the machine in /etc/rabbitmq apply
        ("RABBITMQ_CONF_ENV_FILE", within("rabbitmq-env.conf")),
        ("RABBITMQ_CONFIG_FILE", within("rabbitmq.conf")),
        ("RABBITMQ_CONFIG_FILES", within("conf.d")),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", within("advanced.config")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", within("enabled_plugins")),
    ]
}

fn write_configuration(folder: &Path, configuration: &str) -> io::Result<()> {
    fs::create_dir(folder)?;
    fs::create_dir(folder.join("conf.d"))?;
    fs::write(folder.join("rabbitmq-env.conf"), "")?;
    fs::write(folder.join("rabbitmq.conf"), configuration)?;
    fs::write(folder.join("advanced.config"), "[].")?;
    fs::write(folder.join("enabled_plugins"), "[].")
}

fn set_environment(command: &mut Command, environment: &Environment) {
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"RABBITMQ_") {
            command.env_remove(name);
        }
    }
    command.envs(environment.iter().map(|(name, value)| (name, value)));
}

fn still_runs(folder: &Path) -> Result<()> {
    const LINES: usize = 20;

    if !folder.join("stopped").exists() {
        return Ok(());
    }
    let log = fs::read(folder.join("server.log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    let tail = lines[lines.len().saturating_sub(LINES)..].join("\n");
    bail!("rabbitmq-server stopped right after its start; the end of its log is:\n{tail}")
}
