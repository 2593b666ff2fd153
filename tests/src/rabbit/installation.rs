use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The root of another system, to run the RabbitMQ that is installed there. That needs root.
const ROOT: &str = "PLOOMBY_TEST_RABBITMQ_ROOT";

/// The scripts of RabbitMQ itself, where a package of Debian or Red Hat puts wrappers on the `PATH`: those
/// switch to a system user, and refuse to run for ordinary ones.
const UNWRAPPED: &str = "/usr/lib/rabbitmq/bin";

/// Folders that not every user has on the `PATH`; the last is Homebrew's.
const BESIDE_PATH: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"];

/// The RabbitMQ of this machine, or of a system that is unpacked on it.
#[derive(Clone, Debug)]
pub(super) struct Installation {
    root: Option<PathBuf>,
    scripts: PathBuf,
}

impl Installation {
    pub(super) fn find() -> Result<Self> {
        if let Some(root) = env::var_os(ROOT).map(PathBuf::from) {
            return Ok(Self {
                root: Some(root),
                scripts: UNWRAPPED.into(),
            });
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let scripts = [UNWRAPPED.into()]
            .into_iter()
            .chain(env::split_paths(&path))
            .chain(BESIDE_PATH.map(PathBuf::from))
            .find(|folder| folder.join("rabbitmq-server").is_file())
            .context("no rabbitmq-server on this machine")?;
        Ok(Self {
            root: None,
            scripts,
        })
    }

    /// The words of a command that runs one of RabbitMQ's scripts.
    pub(super) fn script(&self, name: &str) -> Vec<PathBuf> {
        self.within(self.scripts.join(name))
    }

    /// The words of a command that runs a program of the same system.
    pub(super) fn within(&self, program: impl Into<PathBuf>) -> Vec<PathBuf> {
        let mut words = match &self.root {
            Some(root) => vec!["chroot".into(), root.clone()],
            None => Vec::new(),
        };
        words.push(program.into());
        words
    }

    /// A folder for what a broker keeps, as this process sees it.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        match &self.root {
            Some(root) => root.join("tmp").join(name),
            None => env::temp_dir().join(name),
        }
    }

    /// The same path, as the broker sees it.
    pub(super) fn seen_by_the_broker(&self, path: &Path) -> PathBuf {
        match &self.root {
            Some(root) => Path::new("/").join(path.strip_prefix(root).unwrap_or(path)),
            None => path.to_owned(),
        }
    }
}

/// A command of these words.
pub(super) fn command(words: &[PathBuf]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// Takes away what would reach RabbitMQ's scripts from the environment of this process.
pub(super) fn clear_environment(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"RABBITMQ_") {
            command.env_remove(name);
        }
    }
}
