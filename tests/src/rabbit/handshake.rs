use std::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const INTERVAL: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(2);

/// Waits until an AMQP 0-9-1 server answers at `host` and `port`, as long as `alive` finds no fault.
pub(super) fn wait(
    host: &str,
    port: u16,
    deadline: Duration,
    alive: impl Fn() -> Result<()>,
) -> Result<()> {
    let start = Instant::now();
    loop {
        let error = match attempt(host, port) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        alive()?;
        if start.elapsed() > deadline {
            bail!("no AMQP server answered at {host}:{port} within {deadline:?}: {error}");
        }
        thread::sleep(INTERVAL);
    }
}

/// Sends the protocol header and waits for the first byte of `connection.start`. An accepted connection
/// proves nothing: Docker accepts on a forwarded port before the server in the container listens.
fn attempt(host: &str, port: u16) -> IoResult<()> {
    const METHOD_FRAME: u8 = 1;

    let mut stream = connect(host, port)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"AMQP\x00\x00\x09\x01")?;
    let mut frame_type = [0];
    stream.read_exact(&mut frame_type)?;
    if frame_type != [METHOD_FRAME] {
        return Err(Error::new(
            ErrorKind::InvalidData,
            "it does not speak AMQP 0-9-1",
        ));
    }
    Ok(())
}

fn connect(host: &str, port: u16) -> IoResult<TcpStream> {
    let mut error = Error::from(ErrorKind::AddrNotAvailable);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(refused) => error = refused,
        }
    }
    Err(error)
}
