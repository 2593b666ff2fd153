//! Asking a server over HTTP.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::DEADLINE;

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The code of its status.
    pub status: u16,
    head: String,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// A header of it.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }
}

/// Asks for a path by GET.
///
/// # Panics
///
/// Where nobody answers.
pub async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let answer = try_request(address, "GET", path, headers, "").await;
    answer.unwrap_or_else(|error| panic!("{address}{path}: {error}"))
}

/// Sends a request as it is, over a connection of its own.
///
/// # Errors
///
/// Nobody answers.
pub async fn try_request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Answer> {
    let mut request = format!(
        "{method} {path} HTTP/1.0\r\ncontent-length: {}\r\n",
        body.len()
    );
    if !headers.iter().any(|(name, _)| *name == "host") {
        request.push_str(&format!("host: {address}\r\n"));
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(body);
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    };
    let answer: std::io::Result<Vec<u8>> = timeout(DEADLINE, asking).await?;
    let answer = String::from_utf8_lossy(&answer?).into_owned();
    let cut = || std::io::Error::other("the answer was cut off");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(cut)?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}
