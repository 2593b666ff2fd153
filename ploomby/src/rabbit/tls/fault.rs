use std::{borrow::Cow, fmt, io};

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::{TlsParameters, verifier::UnknownIssuer};

/// What TLS with a broker failed by, and what to do about it.
#[derive(Debug)]
pub(in crate::rabbit) struct TlsFault {
    cause: Cow<'static, str>,
    remedy: Cow<'static, str>,
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cause, remedy } = self;
        match remedy.is_empty() {
            true => f.write_str(cause),
            false => write!(f, "{cause}: {remedy}"),
        }
    }
}

impl std::error::Error for TlsFault {}

impl TlsFault {
    /// `None`, if it is not TLS that failed.
    pub(in crate::rabbit) fn of(error: &io::Error, parameters: &TlsParameters) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<Error>()?;
        Some(match error {
            Error::InvalidCertificate(fault) => Self::certificate(fault),
            Error::AlertReceived(alert) => Self::alert(*alert, parameters.certificate.is_some()),
            // the first bytes are none of TLS
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::new(
                "this port does not speak TLS",
                "write amqp://, or choose the port for amqps://",
            ),
            Error::PeerIncompatible(_) => Self::new(
                format!("the broker's TLS is not compatible ({error})"),
                "let it speak TLS 1.2 or 1.3, with a cipher of these (`ssl_options.versions`)",
            ),
            error => Self::new(format!("TLS failed ({error})"), ""),
        })
    }

    fn new(cause: impl Into<Cow<'static, str>>, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self {
            cause: cause.into(),
            remedy: remedy.into(),
        }
    }

    /// What we have against the broker's certificate.
    fn certificate(fault: &CertificateError) -> Self {
        match fault {
            CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
                Self::new(
                    "the broker's certificate names no host in its subjectAltName, and the common \
                     name (CN) does not count",
                    "have it issued anew with the host in the subjectAltName, as `openssl req` does \
                     with `-addext subjectAltName=DNS:host`",
                )
            }
            CertificateError::NotValidForNameContext { .. } | CertificateError::NotValidForName => {
                Self::new(
                    fault.to_string(),
                    "connect to a name that it has, or set `server_name_indication` to that name",
                )
            }
            CertificateError::ExpiredContext { time, not_after } => Self::new(
                format!(
                    "the broker's certificate, or that of an authority of it, expired {} ago",
                    age(not_after.as_secs(), time.as_secs())
                ),
                "renew it, or correct this machine's clock if that is wrong",
            ),
            CertificateError::NotValidYetContext { time, not_before } => Self::new(
                format!(
                    "the broker's certificate, or that of an authority of it, is not valid before {} \
                     from now",
                    age(time.as_secs(), not_before.as_secs())
                ),
                "correct this machine's clock if that is wrong, or wait",
            ),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::new(
                    "the broker's certificate is not one for servers",
                    "have it issued with `serverAuth` in its extended key usage",
                )
            }
            CertificateError::Other(other) => match other.0.downcast_ref::<UnknownIssuer>() {
                Some(unknown) => Self::new(unknown.to_string(), ""),
                None if format!("{other:?}").contains("UnsupportedCertVersion") => Self::new(
                    "the broker's certificate is of an old version of X.509",
                    "have it issued as version 3, with a subjectAltName",
                ),
                None => Self::new(format!("the broker's certificate is refused ({fault})"), ""),
            },
            fault => Self::new(
                format!("the broker's certificate is refused ({fault})"),
                "have it issued anew",
            ),
        }
    }

    /// What the broker has against us.
    fn alert(alert: AlertDescription, shows_certificate: bool) -> Self {
        use AlertDescription as Alert;

        const SHOW: &str = "show it a certificate of an authority that it trusts, with `certfile` and \
                            `keyfile`";
        let (cause, remedy) = match alert {
            Alert::CertificateRequired | Alert::NoCertificate if shows_certificate => (
                "the broker takes no certificate of the kind in `certfile`",
                "show it a certificate of an authority that it trusts",
            ),
            Alert::CertificateRequired | Alert::NoCertificate => {
                ("the broker wants to see a certificate", SHOW)
            }
            Alert::UnknownCA if shows_certificate => (
                "the broker does not know the authority that signed the certificate in `certfile`",
                "show it one of an authority in its `ssl_options.cacertfile`, with the intermediates \
                 behind it in the file",
            ),
            Alert::BadCertificate | Alert::UnknownCA | Alert::CertificateUnknown
                if !shows_certificate =>
            {
                ("the broker does not do without a certificate", SHOW)
            }
            Alert::BadCertificate | Alert::UnsupportedCertificate | Alert::CertificateUnknown => (
                "the broker does not take the certificate in `certfile`",
                "its log says why; it may not be one for clients (`clientAuth`), or lack a name",
            ),
            Alert::CertificateExpired => (
                "by the broker's clock, the certificate in `certfile` has expired or is not valid yet",
                "renew it, or correct the broker's clock",
            ),
            Alert::CertificateRevoked => (
                "the certificate in `certfile` was revoked",
                "show another one",
            ),
            Alert::AccessDenied => (
                "the broker takes the certificate in `certfile` for genuine, and gives it no access",
                "its log says why",
            ),
            Alert::HandshakeFailure | Alert::InsufficientSecurity if shows_certificate => (
                "the broker and this program have no cipher or kind of key in common",
                "its log says why; check `ssl_options.ciphers` and `ssl_options.versions`",
            ),
            Alert::HandshakeFailure | Alert::InsufficientSecurity => (
                "the broker wants to see a certificate (`certfile`), or has no cipher or kind of key in common \
                 with this program",
                "its log says which",
            ),
            Alert::ProtocolVersion => (
                "the broker does not speak TLS 1.2 or 1.3",
                "allow one of them in its `ssl_options.versions`",
            ),
            Alert::UnrecognisedName => (
                "the broker knows no certificate for the name that it was called by",
                "set `server_name_indication` to a name that it has",
            ),
            Alert::DecryptError => (
                "the broker could not verify a signature of this program",
                "check that the certificate in `certfile` and the key in `keyfile` belong together",
            ),
            Alert::InternalError => (
                "the broker failed within its TLS",
                "its log says by what: mostly a certificate or key of its own that it cannot read",
            ),
            Alert::UnexpectedMessage | Alert::DecodeError | Alert::IllegalParameter => (
                "the broker did not understand the TLS of this program",
                "its log says more; something between the two may not carry TLS through",
            ),
            Alert::NoApplicationProtocol => (
                "what answers speaks another protocol than AMQP over TLS",
                "choose the port for amqps://",
            ),
            _ => ("the broker refused TLS", "its log says why"),
        };
        Self::new(format!("{cause} (alert {alert:?})"), remedy)
    }
}

/// About as much as lies between two moments, in seconds.
fn age(from: u64, to: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(24 * 60 * 60, "days"), (60 * 60, "hours"), (60, "minutes")];

    let seconds = to.saturating_sub(from);
    let large = UNITS.iter().find(|(unit, _)| seconds >= 2 * unit);
    let (unit, name) = large.copied().unwrap_or((1, "seconds"));
    format!("{} {name}", seconds / unit)
}
