use std::env;

use anyhow::{Context, Result, bail, ensure};
use percent_encoding::percent_decode_str;
use url::Url;

use super::{Rabbit, START, URL, handshake};

/// The broker that the environment names.
pub(super) fn connect() -> Result<Rabbit> {
    let given = env::var(URL).with_context(|| format!("{URL} is not set"))?;
    let rabbit = parse(given).with_context(|| format!("{URL} is not usable"))?;
    handshake::wait(&rabbit.host, rabbit.port, START, || Ok(()))?;
    Ok(rabbit)
}

fn parse(given: String) -> Result<Rabbit> {
    let url = Url::parse(&given)?;
    ensure!(url.scheme() == "amqp", "its scheme is not `amqp`");
    let Some(host) = url.host_str() else {
        bail!("it has no host");
    };
    // https://www.rabbitmq.com/docs/uri-spec: no path means the default virtual host, `/`.
    let virtual_host = match url.path().strip_prefix('/') {
        None | Some("") => "/".to_owned(),
        Some(path) => decode(path)?,
    };
    let (username, password) = match (url.username(), url.password()) {
        ("", None) => ("guest".to_owned(), "guest".to_owned()),
        (username, password) => (decode(username)?, decode(password.unwrap_or_default())?),
    };
    Ok(Rabbit {
        host: host.to_owned(),
        port: url.port().unwrap_or(5672),
        username,
        password,
        virtual_host,
        rabbitmqctl: None,
        _kept: None,
        url: given,
    })
}

fn decode(part: &str) -> Result<String> {
    Ok(percent_decode_str(part).decode_utf8()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_url_are_percent_decoded() {
        let rabbit = parse("amqp://us%65r:p%40ss@broker:1234/my%2fhost".to_owned()).unwrap();
        assert_eq!((rabbit.host(), rabbit.port()), ("broker", 1234));
        assert_eq!(
            (rabbit.username.as_str(), rabbit.password.as_str()),
            ("user", "p@ss")
        );
        assert_eq!(rabbit.virtual_host, "my/host");
    }

    #[test]
    fn a_url_of_a_host_alone_means_the_defaults_of_rabbitmq() {
        let rabbit = parse("amqp://broker".to_owned()).unwrap();
        assert_eq!((rabbit.host(), rabbit.port()), ("broker", 5672));
        assert_eq!(
            (rabbit.username.as_str(), rabbit.password.as_str()),
            ("guest", "guest")
        );
        assert_eq!(rabbit.virtual_host, "/");
    }
}
