use std::fs;
use std::path::{Path, PathBuf};

use ploomby_tests::folder_for_a_broker;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};

/// Certificates in a folder that is removed at the end.
pub(super) struct Certificates {
    folder: PathBuf,
    /// The same, as the broker sees it.
    seen: PathBuf,
}

/// One that signs others.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub(super) file: PathBuf,
}

/// What is special about a certificate.
pub(super) type Change = fn(&mut CertificateParams);

/// A certificate and its key.
pub(super) struct Certificate {
    pub(super) file: PathBuf,
    pub(super) key: PathBuf,
}

impl Certificates {
    pub(super) fn new() -> Self {
        let (folder, seen) = folder_for_a_broker("ploomby-tls");
        Self { folder, seen }
    }

    /// What the broker's configuration calls this file.
    pub(super) fn seen_by_the_broker(&self, file: &Path) -> String {
        let file = file.strip_prefix(&self.folder).unwrap();
        self.seen.join(file).display().to_string()
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
        self.signed_with(authority, name, host, |_| {})
    }

    pub(super) fn signed_with(
        &self,
        authority: &Authority,
        name: &str,
        host: &str,
        change: Change,
    ) -> Certificate {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority.issuer).unwrap();
        Certificate {
            file: self.write(name, &certificate.pem()),
            key: self.write(&format!("{name}-key"), &key.serialize_pem()),
        }
    }

    /// A certificate that signs for itself, as `openssl req -x509` makes it: one of an authority, for these names.
    pub(super) fn self_signed(&self, name: &str, hosts: &[&str], change: Change) -> Certificate {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "localhost");
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Certificate {
            file: self.write(name, &certificate.pem()),
            key: self.write(&format!("{name}-key"), &key.serialize_pem()),
        }
    }

    /// An authority that another one has signed.
    pub(super) fn intermediate(&self, authority: &Authority, name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority.issuer).unwrap();
        let file = self.write(name, &certificate.pem());
        Authority {
            issuer: Issuer::new(params, key),
            file,
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
