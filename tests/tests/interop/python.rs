use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long a script may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a script of this folder, and returns what it printed.
pub(crate) async fn run_python(script: &str, arguments: &[&str]) -> String {
    let output = timeout(PATIENCE, command(script, arguments).output()).await;
    let output = output.expect("the script ends").unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a script that prints JSON, one value a line.
pub(crate) async fn ask_python(script: &str, arguments: &[&str]) -> Vec<serde_json::Value> {
    let printed = run_python(script, arguments).await;
    let lines = printed.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Starts a script that goes on until it is dropped, and waits until it prints that it is ready.
pub(crate) async fn start_python(script: &str, arguments: &[&str]) -> Child {
    let mut child = command(script, arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await;
    let line = line.expect("the script says something").unwrap();
    assert_eq!(line.as_deref(), Some("ready"));
    child
}

fn command(script: &str, arguments: &[&str]) -> Command {
    let python = std::env::var_os("PLOOMBY_TEST_PYTHON").expect(
        "PLOOMBY_TEST_PYTHON names a Python with aio-pika: run ./scripts/test, which sets it up",
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/interop")
        .join(script);
    let mut command = Command::new(python);
    command
        .arg(script)
        .args(arguments)
        .kill_on_drop(true)
        // no files beside the sources
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
