//! Hub with TLS, and its clients.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::hub::{Answer, Hub, OPEN, PATIENCE, ssekit};

pub(crate) type Secure = StreamOwned<ClientConnection, TcpStream>;

/// Hub with TLS.
pub(crate) struct TlsHub {
    pub(crate) hub: Hub,
    config: Arc<ClientConfig>,
    _folder: tempfile::TempDir,
}

impl TlsHub {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        let [cert_file, key_file] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        std::fs::write(&cert_file, cert.pem()).expect("it can be written");
        std::fs::write(&key_file, signing_key.serialize_pem()).expect("it can be written");
        let mut command = ssekit();
        command.args(OPEN).args(["--addr", "127.0.0.1:0"]).args(flags);
        command.arg("--tls-cert").arg(cert_file).arg("--tls-key").arg(key_file);
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).expect("a root");
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { hub: Hub::of(&mut command), config: Arc::new(config), _folder: folder }
    }

    /// Makes a TLS handshake over a connection.
    pub(crate) fn secure(&self, socket: TcpStream) -> Secure {
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::clone(&self.config), name).expect("a connection");
        let mut secure = StreamOwned::new(connection, socket);
        secure.flush().expect("a handshake");
        secure
    }

    /// Sends a request on a connection of its own.
    pub(crate) fn ask(&self, request: &str) -> Answer {
        let mut secure = self.secure(self.hub.connect());
        secure.sock.set_read_timeout(Some(PATIENCE)).expect("it can be set");
        secure.write_all(request.as_bytes()).expect("the hub reads");
        Answer::read(&mut secure).expect("the hub answers")
    }
}
