use std::fs;
use std::path::PathBuf;

use ploomby_tests::unique_name;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// Certificates in a folder that is removed at the end.
pub(super) struct Certificates {
    folder: PathBuf,
}

/// One that signs others.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub(super) file: PathBuf,
}

/// A certificate and its key.
pub(super) struct Certificate {
    pub(super) file: PathBuf,
    pub(super) key: PathBuf,
}

impl Certificates {
    pub(super) fn new() -> Self {
        let folder = std::env::temp_dir().join(unique_name("ploomby-tls"));
        fs::create_dir(&folder).unwrap();
        Self { folder }
    }

    pub(super) fn authority(&self, name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let file = self.write(name, &params.self_signed(&key).unwrap().pem());
        Authority {
            issuer: Issuer::new(params, key),
            file,
        }
    }

    /// A certificate for this host.
    pub(super) fn signed(&self, authority: &Authority, name: &str, host: &str) -> Certificate {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority.issuer).unwrap();
        Certificate {
            file: self.write(name, &certificate.pem()),
            key: self.write(&format!("{name}-key"), &key.serialize_pem()),
        }
    }

    /// A file of this content.
    pub(super) fn write(&self, name: &str, content: &str) -> PathBuf {
        let file = self.folder.join(format!("{name}.pem"));
        fs::write(&file, content).unwrap();
        file
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
