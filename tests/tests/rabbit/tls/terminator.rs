use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use ploomby_tests::rabbit;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::certificates::Certificate;

/// TLS before the plain port of the broker of this process, as a balancer does it.
pub(super) struct Terminator {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Terminator {
    /// Shows the certificates of the file. Whoever comes has to show one of `clients`, if there are any.
    pub(super) async fn start(shown: &Certificate, clients: Option<&Path>) -> Self {
        let chain = CertificateDer::pem_file_iter(&shown.file).unwrap();
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(&shown.key).unwrap();
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone());
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(file) => {
                let mut roots = RootCertStore::empty();
                for root in CertificateDer::pem_file_iter(file).unwrap() {
                    roots.add(root.unwrap()).unwrap();
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                config.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let broker = (rabbit().await.host().to_owned(), rabbit().await.port());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, broker) = (acceptor.clone(), broker.clone());
                tokio::spawn(async move {
                    // an error is the end of the connection, which the client tells
                    let mut client = acceptor.accept(client).await?;
                    let mut broker = TcpStream::connect(broker).await?;
                    copy_bidirectional(&mut client, &mut broker).await
                });
            }
        });
        Self { address, accepting }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
