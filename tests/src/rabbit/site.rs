use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::installation::{Installation, clear_environment, command};
use super::watchdog::Watchdog;
use super::{START, handshake};
use crate::unique_name;

/// Runs an epmd in the foreground (the one that Erlang would start is a daemon, which stays), and a server
/// for each line that names a node. At the end of the tests the servers are killed, then the folder is
/// removed, and then whatever else is left of this process group is killed too, the watchdog with it.
const WATCHDOG: &str = r#"
folder=$1
shift
(umask 377; echo ploomby >"$folder/.erlang.cookie")
PATH=$PATH:$(dirname "$(readlink -f "$(command -v erl)")")
. "$folder/epmd"
while read -r node; do
    (
        cd "$folder/$node"
        . ./environment
        "$@" </dev/null >>server.log 2>&1 &
        echo $! >server.pid
        wait $!
        touch stopped
    ) &
done
while [ -e "$folder" ]; do
    for pid in "$folder"/*/server.pid; do kill -KILL "$(cat "$pid")"; done
    rm -rf "$folder" || sleep 0.1
done
kill -KILL 0
"#;

/// How long a server may take to end once it was told to.
const END: Duration = Duration::from_secs(60);

/// What a server's Erlang is started with besides.
pub(super) const ERL_ARGS: &str = "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS";

/// How soon a quorum queue tries again to move what could not be moved: usually after three minutes.
pub(super) const MOVES_SOON: &str = "-rabbit dead_letter_worker_publisher_confirm_timeout 5000";

/// Erlang's list of what starts with the server.
const ENABLED_PLUGINS: &str = "enabled_plugins";

const LOG: &str = "server.log";

/// What a server logs once it is started.
const STARTED: &str = "Server startup complete";

const INTERVAL: Duration = Duration::from_millis(20);

/// A folder with the servers of one broker: they share an epmd and are stopped together.
pub(super) struct Site {
    installation: Installation,
    folder: PathBuf,
    epmd_port: u16,
    watchdog: Watchdog,
}

/// One server of a site.
pub(super) struct Node {
    site: Arc<Site>,
    /// Erlang's name of it.
    name: String,
    pub(super) port: u16,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
    /// How long its log was when it was started last.
    log_begins: AtomicU64,
}

impl Site {
    pub(super) fn new() -> Result<Arc<Self>> {
        let installation = Installation::find()?;
        let folder = installation.folder(&unique_name("ploomby-tests"));
        let epmd_port = free_port().context("no free port")?;
        fs::create_dir(&folder)
            .with_context(|| format!("{} cannot be written", folder.display()))?;
        let epmd = installation.within("epmd");
        let epmd: Vec<String> = epmd.iter().map(|word| word.display().to_string()).collect();
        let epmd = format!(
            "ERL_EPMD_ADDRESS={} ERL_EPMD_PORT={epmd_port} {} </dev/null >\"$folder/epmd.log\" 2>&1 &",
            Ipv4Addr::LOCALHOST,
            epmd.join(" ")
        );
        fs::write(folder.join("epmd"), epmd)?;
        let watchdog = Watchdog::spawn(WATCHDOG, |shell| {
            clear_environment(shell);
            shell
                .current_dir(&folder)
                .arg(&folder)
                .args(installation.script("rabbitmq-server"));
        })?;
        Ok(Arc::new(Self {
            installation,
            folder,
            epmd_port,
            watchdog,
        }))
    }

    /// Makes ready so many servers, with these lines in their `rabbitmq.conf`, and starts none.
    pub(super) fn nodes(self: &Arc<Self>, count: usize, configuration: &str) -> Result<Vec<Node>> {
        let names: Vec<String> = (1..=count)
            .map(|number| format!("{}@localhost", unique_name(&format!("rabbit{number}"))))
            .collect();
        names
            .iter()
            .map(|name| self.node(name, configuration))
            .collect()
    }

    fn node(self: &Arc<Self>, name: &str, configuration: &str) -> Result<Node> {
        let folder = self.folder.join(name);
        fs::create_dir(&folder)?;
        fs::create_dir(folder.join("conf.d"))?;
        fs::write(folder.join("rabbitmq-env.conf"), "")?;
        fs::write(folder.join("rabbitmq.conf"), configuration)?;
        fs::write(folder.join("advanced.config"), "[].")?;
        // the login by certificate
        let plugins = match configuration.contains("EXTERNAL") {
            true => "[rabbitmq_auth_mechanism_ssl].",
            false => "[].",
        };
        fs::write(folder.join(ENABLED_PLUGINS), plugins)?;
        let (port, dist_port) = (free_port()?, free_port()?);
        let environment = self.environment(name, &folder, port, dist_port);
        let exports: String = environment
            .iter()
            .map(|(name, value)| format!("export {name}='{value}'\n"))
            .collect();
        fs::write(folder.join("environment"), exports)?;
        Ok(Node {
            site: self.clone(),
            name: name.to_owned(),
            port,
            folder,
            environment,
            log_begins: AtomicU64::new(0),
        })
    }

    fn environment(
        &self,
        name: &str,
        folder: &std::path::Path,
        port: u16,
        dist_port: u16,
    ) -> Vec<(&'static str, String)> {
        let loopback = Ipv4Addr::LOCALHOST.to_string();
        let seen = |path: PathBuf| {
            let path = self.installation.seen_by_the_broker(&path);
            path.display().to_string()
        };
        let within = |path| seen(folder.join(path));
        vec![
            // where Erlang keeps its cookie
            ("HOME", seen(self.folder.clone())),
            // the script becomes the server, instead of waiting for it in a process of its own
            ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
            ("ERL_EPMD_ADDRESS", loopback.clone()),
            ("ERL_EPMD_PORT", self.epmd_port.to_string()),
            ("RABBITMQ_NODENAME", name.to_owned()),
            ("RABBITMQ_NODE_IP_ADDRESS", loopback),
            ("RABBITMQ_NODE_PORT", port.to_string()),
            ("RABBITMQ_DIST_PORT", dist_port.to_string()),
            (
                ERL_ARGS,
                format!("-kernel inet_dist_use_interface {{127,0,0,1}} {MOVES_SOON}"),
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
            ("RABBITMQ_ENABLED_PLUGINS_FILE", within(ENABLED_PLUGINS)),
        ]
    }
}

impl Node {
    /// Erlang's name of the server.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Has these plugins start with the server.
    pub(super) fn enable(&self, plugins: &[&str]) -> Result<()> {
        let list = format!("[{}].", plugins.join(","));
        Ok(fs::write(self.folder.join(ENABLED_PLUGINS), list)?)
    }

    /// Starts the server, on the data that it left where it ran before. It answers
    /// [later](Self::wait).
    pub(super) fn start(&self) -> Result<()> {
        for file in ["stopped", "server.pid"] {
            let _ = fs::remove_file(self.folder.join(file));
        }
        let log_before = fs::metadata(self.folder.join(LOG));
        let log_begins = log_before.map_or(0, |log_before| log_before.len());
        self.log_begins.store(log_begins, Ordering::Relaxed);
        self.site.watchdog.tell(&self.name)
    }

    /// Waits until the server answers, and says that it is started: RabbitMQ 4 listens a moment before that, and drops
    /// what is sent to an address of direct reply-to until then.
    pub(super) fn wait(&self) -> Result<()> {
        let host = Ipv4Addr::LOCALHOST.to_string();
        let start = Instant::now();
        handshake::wait(&host, self.port, START, || self.still_runs())?;
        while !self.log()?.contains(STARTED) {
            self.still_runs()?;
            ensure!(start.elapsed() < START, "{} does not start", self.name);
            thread::sleep(INTERVAL);
        }
        Ok(())
    }

    /// What the server has logged since its last start.
    fn log(&self) -> Result<String> {
        let log = fs::read(self.folder.join(LOG))?;
        let begins = usize::try_from(self.log_begins.load(Ordering::Relaxed))?;
        let since = log.get(begins..).unwrap_or_default();
        Ok(String::from_utf8_lossy(since).into_owned())
    }

    /// Sends the server's process a signal, such as `KILL`.
    pub(super) fn signal(&self, signal: &str) -> Result<()> {
        let pid = fs::read_to_string(self.folder.join("server.pid"))?;
        let status = process::Command::new("kill")
            .args([&format!("-{signal}"), pid.trim()])
            .status()?;
        ensure!(status.success(), "there is no process {pid}");
        Ok(())
    }

    /// Waits until the server's process has ended.
    pub(super) fn wait_for_end(&self) -> Result<()> {
        let start = Instant::now();
        while !self.folder.join("stopped").exists() {
            ensure!(start.elapsed() < END, "{} does not end", self.name);
            thread::sleep(INTERVAL);
        }
        Ok(())
    }

    /// `rabbitmqctl` for this server.
    pub(super) fn rabbitmqctl(&self) -> process::Command {
        let mut command = command(&self.site.installation.script("rabbitmqctl"));
        clear_environment(&mut command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn still_runs(&self) -> Result<()> {
        const LINES: usize = 20;

        if !self.folder.join("stopped").exists() {
            return Ok(());
        }
        let log = self.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LINES)..].join("\n");
        bail!("rabbitmq-server stopped right after its start; the end of its log is:\n{tail}")
    }
}

/// A port that nothing listens on.
///
/// It is none of those that Linux gives to outgoing connections: one that tries to reach a broker that is
/// down could be given the broker's own port, and would reach itself.
fn free_port() -> io::Result<u16> {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);

    // processes that run at the same time begin at different places
    let offset = u16::try_from(process::id() * 31 % u32::from(COUNT)).unwrap_or_default();
    for _ in 0..COUNT {
        let port = FIRST + (offset + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}
