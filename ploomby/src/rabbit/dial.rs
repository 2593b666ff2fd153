use std::io;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::url::RabbitUrl;

/// What carries the bytes between us and a broker, whatever lies between.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Carrier for S {}

pub(super) type Stream = Box<dyn Carrier>;

/// Connects to a host as the URL says.
///
/// # Cancel safety
///
/// Dropped at any point, the connection is given up.
pub(super) async fn dial(url: &RabbitUrl, host: &str, port: u16) -> io::Result<Stream> {
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    stream.set_nodelay(true)?;
    #[cfg(feature = "tls")]
    if let Some(tls) = &url.tls {
        return Ok(Box::new(super::tls::connect(tls, host, stream).await?));
    }
    let _ = url;
    Ok(Box::new(stream))
}
