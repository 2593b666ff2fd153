use std::{fmt, sync::Arc};

use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{TlsError, names::Names};

/// Verifies a broker's certificate as usual, and trusts one that is itself among the authorities: that of a broker
/// which signs for itself.
///
/// RFC 5280 tells authorities and servers apart, and rustls refuses a server that shows the certificate of an
/// authority. `openssl req -x509` makes such certificates unless told otherwise. To name one as the authority says
/// more than a signature could.
#[derive(Debug)]
pub(super) struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    /// The certificates that the program names.
    named: Vec<CertificateDer<'static>>,
}

impl Verifier {
    pub(super) fn new(
        roots: RootCertStore,
        named: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Self {
            usual: usual
                .build()
                .map_err(|cause| TlsError::Provider(Error::General(cause.to_string())))?,
            named,
        })
    }

    fn is_named(&self, certificate: &CertificateDer<'_>) -> bool {
        self.named.iter().any(|named| named == certificate)
    }

    /// What is wrong with a chain whose end nobody here knows.
    fn unknown(&self, shown: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Error {
        let unknown = UnknownIssuer::new(shown, others, !self.named.is_empty());
        let error = OtherError(Arc::new(unknown));
        Error::InvalidCertificate(CertificateError::Other(error))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let usual = &self.usual;
        let verified =
            usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // both are looked for once the time of the certificate is known to be right
            Err(Error::InvalidCertificate(fault))
                if is_unknown_issuer(&fault) || is_authority(&fault) =>
            {
                if self.is_named(end_entity) {
                    let certificate = ParsedCertificate::try_from(end_entity)?;
                    verify_server_name(&certificate, server_name)?;
                    Ok(ServerCertVerified::assertion())
                } else {
                    Err(self.unknown(end_entity, intermediates))
                }
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

fn is_unknown_issuer(fault: &CertificateError) -> bool {
    matches!(fault, CertificateError::UnknownIssuer)
}

/// rustls tells it by the name of webpki's error alone.
fn is_authority(fault: &CertificateError) -> bool {
    matches!(fault, CertificateError::Other(error) if format!("{error:?}").contains("CaUsedAsEndEntity"))
}

/// A certificate whose signature leads to no authority that is trusted.
#[derive(Debug)]
pub(super) struct UnknownIssuer {
    /// Who signed the last certificate of the chain, if its name can be read.
    issuer: Option<String>,
    is_self_signed: bool,
    /// The broker showed its own certificate alone.
    is_alone: bool,
    /// Authorities are named by the program, not taken from the machine.
    has_authorities: bool,
}

impl UnknownIssuer {
    fn new(
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        has_authorities: bool,
    ) -> Self {
        let shown = Names::of(shown);
        let others: Vec<_> = others.iter().filter_map(|other| Names::of(other)).collect();
        let mut last = shown;
        // no longer than the chain: it may run in circles
        for _ in &others {
            let next = last.and_then(|last| {
                let is_issuer = |other: &&Names<'_>| other.subject == last.issuer;
                let other = others.iter().find(is_issuer)?;
                (!other.is_self_signed()).then_some(*other)
            });
            last = next.or(last);
        }
        Self {
            issuer: last.and_then(|last| last.issuer_text()),
            is_self_signed: shown.is_some_and(|shown| shown.is_self_signed()),
            is_alone: others.is_empty(),
            has_authorities,
        }
    }
}

impl fmt::Display for UnknownIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_self_signed {
            return f.write_str(
                "the broker's certificate is signed by itself, and not named in `cacertfile`: name \
                 it there, if it is the broker's, to trust it as it is",
            );
        }
        let issuer = self.issuer.as_deref().unwrap_or("an unreadable name");
        let known = match self.has_authorities {
            true => "is not among the authorities in `cacertfile`",
            false => "is no authority that this machine trusts",
        };
        write!(
            f,
            "the broker's certificate was signed by `{issuer}`, which {known}: name that authority \
             with `cacertfile`"
        )?;
        match self.is_alone {
            true => f.write_str(
                "; or, if it is an intermediate of an authority that is there, have the broker send \
                 the intermediate's certificate, too, behind its own in `ssl_options.certfile`",
            ),
            false => Ok(()),
        }
    }
}

impl std::error::Error for UnknownIssuer {}
