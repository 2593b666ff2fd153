use std::io;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{connector::Address, url::RabbitUrl};

/// What carries the bytes between us and a broker, whatever lies between.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Carrier for S {}

pub(super) type Stream = Box<dyn Carrier>;

/// Connects to an address as the URL says, and says when the address has taken the connection.
///
/// # Cancel safety
///
/// Dropped at any point, the connection is given up.
pub(super) async fn dial(
    url: &RabbitUrl,
    address: &Address,
    taken: impl FnOnce(),
) -> io::Result<Stream> {
    let stream = TcpStream::connect(address.at).await?;
    taken();
    stream.set_nodelay(true)?;
    hold_little(&stream);
    #[cfg(feature = "tls")]
    if let Some(tls) = &url.tls {
        return Ok(Box::new(
            super::tls::connect(tls, &address.host, stream).await?,
        ));
    }
    let _ = url;
    Ok(Box::new(stream))
}

/// Has the operating system hold little of what it cannot send yet: what has left our hands is nearly at the broker
/// then, which those know by who wait for an answer. What is under way is not limited.
fn hold_little(stream: &TcpStream) {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    {
        /// In bytes.
        const UNSENT: u32 = 128 << 10;

        // without it, some answers are waited for a little longer
        let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
    }
    let _ = stream;
}
