//! On what was measured.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    thread,
};

use anyhow::Context;

use crate::wire::{Frame, PROTOCOL};

/// What counts of instructions depend on beside the code.
///
/// # Errors
///
/// One of the programs is missing.
pub fn of_counts() -> anyhow::Result<String> {
    let compiler = output("rustc", &["-vV"])?;
    let compiler = |name| {
        let line = compiler.lines().find_map(|line| line.strip_prefix(name));
        line.with_context(|| format!("rustc does not say its {name}"))
    };
    Ok(format!(
        "rustc {}, {}, {}, {}",
        compiler("release: ")?,
        compiler("host: ")?,
        output("getconf", &["GNU_LIBC_VERSION"])?,
        output("valgrind", &["--version"])?,
    ))
}

/// Processor and kernel.
#[must_use]
pub fn of_machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor", |(_, model)| model);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

/// The compiler.
///
/// # Errors
///
/// There is none.
pub fn compiler() -> anyhow::Result<String> {
    output("rustc", &["--version"])
}

/// What the broker at this address calls itself.
///
/// # Errors
///
/// Nobody answers there.
pub fn broker(host: &str, port: u16) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect((host, port))?;
    stream.write_all(PROTOCOL)?;
    let mut buffer = Vec::new();
    let mut piece = [0; 1024];
    while Frame::split(&buffer).is_none() {
        let read = stream.read(&mut piece)?;
        anyhow::ensure!(read > 0, "the broker closed the connection");
        buffer.extend_from_slice(&piece[..read]);
    }
    let property = |name: &str| {
        let at = buffer
            .windows(name.len())
            .position(|at| at == name.as_bytes())?
            + name.len();
        // the type, `S`, and four bytes of a length that fits into the last
        let (head, rest) = buffer.get(at..)?.split_at_checked(5)?;
        let value = rest.get(..usize::from(head[4]))?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let (product, version) = (property("\x07product"), property("\x07version"));
    Ok(format!(
        "{} {}",
        product.unwrap_or_else(|| "an unknown broker".to_owned()),
        version.unwrap_or_default()
    ))
}

fn output(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("this needs {program}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
