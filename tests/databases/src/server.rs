use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

/// A PostgreSQL of a test's own, in a folder of its own, that listens on a socket there. It ends with this.
#[derive(Debug)]
pub struct PostgresServer {
    folder: PathBuf,
    server: Option<Child>,
}

const MISSING: &str = "the tests need PostgreSQL: install Debian's package `postgresql` by \
                       scripts/apt-install, or put `initdb` and `postgres` into the PATH";

impl PostgresServer {
    /// Makes a new one.
    ///
    /// # Panics
    ///
    /// Where it is not installed, or does not start.
    pub fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        if is_root() {
            let status = Command::new("chown").arg("postgres").arg(&folder).status();
            assert!(status.unwrap().success(), "{MISSING}");
        }
        let made = program("initdb")
            .args([
                "--auth=trust",
                "--username=postgres",
                "--no-sync",
                "--encoding=UTF8",
            ])
            .args(["--locale=C", "-D"])
            .arg(folder.join("data"))
            .stdout(Stdio::null())
            .status()
            .expect(MISSING);
        assert!(made.success(), "PostgreSQL made no database");
        let mut server = Self {
            folder,
            server: None,
        };
        server.go_on();
        server
    }

    /// How `tokio_postgres` comes to it.
    pub fn config(&self) -> String {
        format!(
            "host={} user=postgres dbname=postgres connect_timeout=2",
            self.folder.display()
        )
    }

    /// Starts it, after [`stop`](Self::stop).
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub fn go_on(&mut self) {
        let server = program("postgres")
            .arg("-D")
            .arg(self.folder.join("data"))
            .arg("-k")
            .arg(&self.folder)
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .stderr(Stdio::null())
            .spawn();
        self.server = Some(server.expect(MISSING));
        // it listens before it answers
        for _ in 0..600 {
            let asked = program("pg_isready")
                .arg("-h")
                .arg(&self.folder)
                .stdout(Stdio::null())
                .status();
            if asked.expect(MISSING).success() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("PostgreSQL did not start within a minute");
    }

    /// Lets all its processes do nothing, or go on.
    pub fn pause(&self, is_paused: bool) {
        let signal = if is_paused { "-STOP" } else { "-CONT" };
        let Some(server) = &self.server else { return };
        let children = Command::new("pgrep")
            .args(["-P", &server.id().to_string()])
            .output();
        let children = children.map(|output| output.stdout).unwrap_or_default();
        let children = String::from_utf8_lossy(&children).into_owned();
        let _ = Command::new("kill")
            .arg(signal)
            .arg(server.id().to_string())
            .args(children.split_whitespace())
            .status();
    }

    /// Ends it at once, with all its connections.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // SIGQUIT: at once, and with its children
            let _ = Command::new("kill")
                .args(["-QUIT", &server.id().to_string()])
                .status();
            let _ = server.wait();
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A program of PostgreSQL, which refuses to run as root.
fn program(name: &str) -> Command {
    let path = installed(name).unwrap_or_else(|| PathBuf::from(name));
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    command.arg(path);
    command
}

/// Where Debian has it, outside of the PATH: the newest.
fn installed(name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut paths: Vec<_> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin").join(name)))
        .filter(|path| path.exists())
        .collect();
    paths.sort();
    paths.pop()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt;
        own.uid() == 0
    }) && Path::new("/usr/bin/setpriv").exists()
}
