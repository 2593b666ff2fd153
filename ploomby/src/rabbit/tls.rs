use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, ClientConfig, RootCertStore,
        crypto::{CryptoProvider, ring},
        pki_types::{
            CertificateDer, PrivateKeyDer, ServerName,
            pem::{self, PemObject},
        },
    },
};

pub(super) use self::fault::TlsFault;
use self::verifier::Verifier;
use super::url::TlsParameters;

mod fault;
mod names;
mod verifier;

/// Tells what is wrong with the files before anything is connected.
///
/// They are read again each time, so that a certificate that was renewed is used by the next connection.
pub(super) fn check(parameters: &TlsParameters, host: &str) -> Result<(), TlsError> {
    server_name(parameters, host)?;
    config(parameters)?;
    Ok(())
}

fn server_name(parameters: &TlsParameters, host: &str) -> Result<ServerName<'static>, TlsError> {
    let name = match &parameters.server_name {
        Some(name) => name,
        None => host.trim_matches(['[', ']']),
    };
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))
}

/// Speaks TLS over a stream to `host`.
pub(super) async fn connect(
    parameters: &TlsParameters,
    host: &str,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let name = server_name(parameters, host).map_err(io::Error::other)?;
    let config = config(parameters).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

fn config(parameters: &TlsParameters) -> Result<ClientConfig, TlsError> {
    // the one that the program has chosen, else ring, which builds wherever there is a C compiler;
    // never left to rustls, which panics where the program has two and has chosen none
    let provider = match CryptoProvider::get_default() {
        Some(chosen) => chosen.clone(),
        None => Arc::new(ring::default_provider()),
    };
    let (roots, named) = authorities(parameters.authorities.as_deref())?;
    let verifier = Verifier::new(roots, named, provider.clone())?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?
        // rustls calls it dangerous, since one of its own may trust anybody
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match (&parameters.certificate, &parameters.key) {
        (None, None) => Ok(config.with_no_client_auth()),
        (Some(certificate), Some(key)) => config
            .with_client_auth_cert(
                certificates("certfile", certificate)?,
                private_key("keyfile", key)?,
            )
            .map_err(|cause| TlsError::ClientCertificate {
                certificate: certificate.clone(),
                key: key.clone(),
                cause,
            }),
        _ => Err(TlsError::HalfOfACertificate),
    }
}

/// Whose signature a broker's certificate must have, and the certificates that the program named for that.
fn authorities(
    file: Option<&Path>,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsError> {
    let mut store = RootCertStore::empty();
    let mut named = Vec::new();
    match file {
        Some(file) => {
            named = certificates("cacertfile", file)?;
            for certificate in &named {
                store
                    .add(certificate.clone())
                    .map_err(|cause| TlsError::Authority {
                        file: file.to_owned(),
                        cause,
                    })?;
            }
        }
        // the machine's own are renewed with it, while a list that is compiled in would age
        None => {
            let machine = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(machine.certs);
            if store.is_empty() {
                return Err(TlsError::NoAuthorities);
            }
        }
    }
    Ok((store, named))
}

fn certificates(
    parameter: &'static str,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|fault| TlsError::file(parameter, file, "certificate", fault))?;
    if certificates.is_empty() {
        let fault = pem::Error::NoItemsFound;
        return Err(TlsError::file(parameter, file, "certificate", fault));
    }
    Ok(certificates)
}

fn private_key(parameter: &'static str, file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(file)
        .map_err(|fault| TlsError::file(parameter, file, "unencrypted private key", fault))
}

/// Why there can be no TLS with a broker.
#[derive(Debug, Error)]
pub(super) enum TlsError {
    #[error("the parameter `{parameter}` names `{}`, which cannot be read: {cause}", .file.display())]
    Unreadable {
        parameter: &'static str,
        file: PathBuf,
        cause: io::Error,
    },
    #[error(
        "the parameter `{parameter}` names `{}`, which holds no {what} in PEM format \
         (`-----BEGIN …`)", .file.display()
    )]
    NotPem {
        parameter: &'static str,
        file: PathBuf,
        what: &'static str,
    },
    #[error(
        "the parameter `cacertfile` names `{}`, which holds a certificate that cannot be used: \
         {cause}", .file.display()
    )]
    Authority { file: PathBuf, cause: rustls::Error },
    #[error(
        "the certificate in `{}` (parameter `certfile`) cannot be used with the key in `{}` \
         (parameter `keyfile`), check that they belong together: {cause}",
        .certificate.display(), .key.display()
    )]
    ClientCertificate {
        certificate: PathBuf,
        key: PathBuf,
        cause: rustls::Error,
    },
    #[error("`certfile` and `keyfile` belong together: give both parameters, or none")]
    HalfOfACertificate,
    #[error(
        "this machine knows no authorities to trust: install them (on Debian, `ca-certificates`), \
         or name the broker's with the parameter `cacertfile`"
    )]
    NoAuthorities,
    #[error(
        "`{0}` cannot be the name in a certificate: set the parameter `server_name_indication` to \
         the one in the broker's"
    )]
    ServerName(String),
    #[error("the cryptography that the program has chosen for rustls cannot be used: {0}")]
    Provider(rustls::Error),
}

impl TlsError {
    /// The words of a syntax error are left out: they may be those of a key.
    fn file(parameter: &'static str, file: &Path, what: &'static str, fault: pem::Error) -> Self {
        let file = file.to_owned();
        match fault {
            pem::Error::Io(cause) => Self::Unreadable {
                parameter,
                file,
                cause,
            },
            _ => Self::NotPem {
                parameter,
                file,
                what,
            },
        }
    }
}
