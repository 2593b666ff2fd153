//! What amqprs is opened with.

use amqprs::connection::OpenConnectionArguments;
use anyhow::{Context, ensure};
use percent_encoding::percent_decode_str;
use url::Url;

/// By a URL, whose percents its own parser does not decode.
///
/// # Errors
///
/// The URL cannot be used.
pub fn arguments(url: &str) -> anyhow::Result<OpenConnectionArguments> {
    let url = Url::parse(url).context("the URL cannot be read")?;
    ensure!(url.scheme() == "amqp", "the URL must start with amqp://");
    let host = url.host_str().context("the URL names no host")?;
    let decode = |text, default: &str| match percent_decode_str(text).decode_utf8_lossy() {
        text if text.is_empty() => default.to_owned(),
        text => text.into_owned(),
    };
    let user = decode(url.username(), "guest");
    let password = decode(url.password().unwrap_or_default(), "guest");
    let vhost = decode(url.path().trim_start_matches('/'), "/");
    let mut arguments =
        OpenConnectionArguments::new(host, url.port().unwrap_or(5672), &user, &password);
    arguments.virtual_host(&vhost);
    Ok(arguments)
}
