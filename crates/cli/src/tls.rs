//! TLS with a certificate and a key from files, which may be replaced while the program runs.
//!
//! New files are loaded at SIGHUP, and otherwise within ten seconds. Open connections keep their certificate.
//! Invalid or incomplete files change nothing: the earlier certificate stays in use, and an error is logged.

mod files;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tracing::{error, info};

use self::files::{Files, TlsError};

/// Interval of the checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Certificate in use, and its files.
///
/// Clones are cheap and share the certificate.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    files: Arc<Files>,
    served: Arc<Served>,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files, for TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// When a file cannot be read, or is invalid.
    pub(crate) fn open(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let provider = Arc::new(default_provider());
        let files = Files { cert: cert.to_owned(), key: key.to_owned(), seen: Mutex::default() };
        let read = files.read()?;
        let pair = files.pair(&read, &provider)?;
        *files.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
        let served = Arc::new(Served { pair: RwLock::new(Arc::new(pair)), provider: Arc::clone(&provider) });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&served) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Returning clients, of which there are many after a restart of a proxy, save the expensive half of a
        // handshake.
        config.ticketer = Ticketer::new().map_err(TlsError::Setup)?;
        Ok(Self { files: Arc::new(files), served, config: Arc::new(config) })
    }

    /// Configuration for an acceptor; it stays the same when the files change.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Loads the files if they have changed since the last time; returns whether it did.
    ///
    /// It blocks while it reads the files.
    ///
    /// # Errors
    /// When the new files cannot be used; the earlier certificate stays in use. The same files are refused
    /// once.
    fn reload(&self) -> Result<bool, TlsError> {
        let read = self.files.read()?;
        let mut seen = self.files.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.as_ref() == Some(&read) {
            return Ok(false);
        }
        let pair = self.files.pair(&read, &self.served.provider);
        *seen = Some(read);
        *self.served.pair.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair?);
        Ok(true)
    }

    /// Reloads at SIGHUP and every [`CHECK_INTERVAL`], until it is dropped; logs loaded files and failures.
    pub(crate) async fn keep_current(self) {
        let mut hangup = Hangup::new();
        let mut refused = false;
        loop {
            let hangup_received = tokio::select! {
                () = hangup.next() => true,
                () = tokio::time::sleep(CHECK_INTERVAL) => false,
            };
            let tls = self.clone();
            let cert = self.files.cert.display();
            match tokio::task::spawn_blocking(move || tls.reload()).await {
                Ok(Ok(true)) => {
                    refused = false;
                    info!(%cert, "the certificate was reloaded");
                }
                Ok(Ok(false)) if hangup_received => info!(%cert, "the certificate files have not changed"),
                Ok(Ok(false)) => {}
                // A missing file is missing at every check, and is reported once.
                Ok(Err(_)) if refused && !hangup_received => {}
                Ok(Err(error)) => {
                    refused = true;
                    let error = crate::terminal::chain(&error);
                    error!(%cert, error, "cannot reload the certificate; the old one stays in use");
                }
                Err(error) => error!(%cert, %error, "cannot check the certificate files"),
            }
        }
    }
}

/// Certificate of every handshake from now on.
#[derive(Debug)]
struct Served {
    pair: RwLock<Arc<CertifiedKey>>,
    provider: Arc<CryptoProvider>,
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.pair.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// SIGHUP, on systems that have it.
struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    #[cfg(unix)]
    fn new() -> Self {
        let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
        if let Err(error) = &signal {
            error!(%error, "cannot handle SIGHUP: it will not reload the certificate");
        }
        Self { signal: signal.ok() }
    }

    #[cfg(not(unix))]
    fn new() -> Self {
        Self {}
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::path::PathBuf;

    use rcgen::{CertifiedKey as Made, generate_simple_self_signed};
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

    use super::*;

    /// Two files, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ssekit-tls-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).expect("a folder can be made");
            Self(path)
        }

        fn write(&self, cert: impl AsRef<[u8]>, key: impl AsRef<[u8]>) {
            std::fs::write(self.0.join("cert.pem"), cert).expect("a file can be written");
            std::fs::write(self.0.join("key.pem"), key).expect("a file can be written");
        }

        fn open(&self) -> Result<Tls, TlsError> {
            Tls::open(&self.0.join("cert.pem"), &self.0.join("key.pem"))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn certificate() -> Made<rcgen::KeyPair> {
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made")
    }

    /// Makes a handshake with a client that trusts only this certificate; returns the protocol.
    fn handshake(
        tls: &Tls,
        trusted: &Made<rcgen::KeyPair>,
        speaks: &[&[u8]],
    ) -> Result<Option<Vec<u8>>, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.cert.der().clone()).expect("it is a certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = speaks.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from("localhost").expect("it is a name");
        let mut client = ClientConnection::new(Arc::new(config), name)?;
        let mut server = ServerConnection::new(tls.config())?;
        while client.is_handshaking() || server.is_handshaking() {
            let (mut there, mut back) = (Vec::new(), Vec::new());
            client.write_tls(&mut there).expect("memory takes it");
            server.read_tls(&mut &*there).expect("memory gives it");
            server.process_new_packets()?;
            server.write_tls(&mut back).expect("memory takes it");
            client.read_tls(&mut &*back).expect("memory gives it");
            client.process_new_packets()?;
        }
        Ok(client.alpn_protocol().map(<[u8]>::to_vec))
    }

    #[test]
    fn http_2_is_preferred_and_http_1_1_is_spoken() {
        let (folder, one) = (Folder::new("alpn"), certificate());
        folder.write(one.cert.pem(), one.signing_key.serialize_pem());
        let tls = folder.open().expect("they belong together");
        for (speaks, expected) in [("http/1.1 h2", Some("h2")), ("http/1.1", Some("http/1.1")), ("", None)] {
            let speaks: Vec<&[u8]> = speaks.split_whitespace().map(str::as_bytes).collect();
            let agreed = handshake(&tls, &one, &speaks).expect("it is trusted");
            assert_eq!(agreed.as_deref(), expected.map(str::as_bytes));
        }
    }

    #[test]
    fn new_files_are_served_and_wrong_ones_change_nothing() {
        let (folder, one, two) = (Folder::new("reload"), certificate(), certificate());
        let (first_key, second_key) = (one.signing_key.serialize_pem(), two.signing_key.serialize_pem());
        folder.write(one.cert.pem(), &first_key);
        let tls = folder.open().expect("they belong together");
        assert!(!tls.reload().expect("they are there"), "nothing has changed");

        // Half of a renewal, and likely mistakes: refused once, and not reported again.
        for (cert, key) in [
            (two.cert.pem(), &*first_key),
            (String::new(), &*first_key),
            ("-----BEGIN CERTIFICATE-----\nAA".to_owned(), &*first_key),
            (one.cert.pem(), "no key"),
        ] {
            folder.write(cert, key);
            tls.reload().expect_err("they are wrong");
            assert!(!tls.reload().expect("they are known"));
            handshake(&tls, &one, &[]).expect("the first is still served");
        }
        std::fs::remove_file(folder.0.join("key.pem")).expect("it is there");
        tls.reload().expect_err("one is missing");
        handshake(&tls, &one, &[]).expect("the first is still served");

        folder.write(two.cert.pem(), &second_key);
        assert!(tls.reload().expect("they belong together"));
        handshake(&tls, &two, &[]).expect("the second is served");
        handshake(&tls, &one, &[]).expect_err("the first is not");
    }

    #[test]
    fn errors_name_the_file() {
        let (folder, one, two) = (Folder::new("wrong"), certificate(), certificate());
        let key = one.signing_key.serialize_pem();
        for (cert, key, expected, has_cause) in [
            (String::new(), &*key, "cert.pem contains no certificate in PEM format", false),
            (
                "-----BEGIN CERTIFICATE-----\nAA".to_owned(),
                &*key,
                "cert.pem contains no certificate in PEM format",
                true,
            ),
            (one.cert.pem(), "", "key.pem contains no private key in PEM format", false),
            (two.cert.pem(), &*key, "key.pem cannot be used together", true),
        ] {
            folder.write(cert, key);
            let error = folder.open().expect_err("it is wrong");
            assert!(error.to_string().ends_with(expected), "{error}");
            assert_eq!(error.source().is_some(), has_cause, "{error:?}");
        }
        let error = Tls::open(Path::new("/nowhere/cert.pem"), Path::new("/nowhere/key.pem"))
            .expect_err("none is there");
        assert_eq!(error.to_string(), "cannot read /nowhere/cert.pem");
    }

    /// A signal is for the whole process: a test that waits for time alone must not receive it.
    static SIGNALS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    #[tokio::test]
    async fn sighup_reloads() {
        let _alone = SIGNALS.lock().await;
        let (folder, one, two) = (Folder::new("sighup"), certificate(), certificate());
        folder.write(one.cert.pem(), one.signing_key.serialize_pem());
        let tls = folder.open().expect("they belong together");
        // A listener of its own, so that the signal does not end the process, whatever the other one does.
        let _safe = Hangup::new();
        let mut keeping = std::pin::pin!(tls.clone().keep_current());
        folder.write(two.cert.pem(), two.signing_key.serialize_pem());
        let first_look = tokio::time::timeout(Duration::ZERO, &mut keeping).await;
        first_look.expect_err("it goes on for ever");
        let kill = format!("kill -s HUP {}", std::process::id());
        assert!(
            std::process::Command::new("sh")
                .args(["-c", &kill])
                .status()
                .expect("a shell is there")
                .success()
        );
        let served = async {
            while handshake(&tls, &two, &[]).is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = keeping => unreachable!("it goes on for ever"),
            served = tokio::time::timeout(CHECK_INTERVAL / 2, served) => {
                served.expect("the second is served");
            }
        }
    }

    // The clock is paused, except while the test waits.
    #[tokio::test(start_paused = true)]
    async fn the_files_are_checked_every_ten_seconds() {
        let _alone = SIGNALS.lock().await;
        let (folder, one, two) = (Folder::new("look"), certificate(), certificate());
        folder.write(one.cert.pem(), one.signing_key.serialize_pem());
        let tls = folder.open().expect("they belong together");
        let keeping = tokio::spawn(tls.clone().keep_current());
        folder.write(two.cert.pem(), two.signing_key.serialize_pem());
        let since = tokio::time::Instant::now();
        while handshake(&tls, &two, &[]).is_err() {
            assert!(since.elapsed() < 3 * CHECK_INTERVAL, "the files are not checked");
            tokio::time::sleep(CHECK_INTERVAL / 10).await;
        }
        assert!(since.elapsed() >= CHECK_INTERVAL);
        keeping.abort();
    }
}
