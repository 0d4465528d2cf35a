//! Files of a certificate and its key.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Files of the certificate and the key, and their last contents.
pub(super) struct Files {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    /// Contents at the last time.
    pub(super) seen: Mutex<Option<Contents>>,
}

#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("cert", &self.cert).field("key", &self.key).finish_non_exhaustive()
    }
}

impl Files {
    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents { cert: read(&self.cert)?, key: read(&self.key)? })
    }

    /// Parses the contents, and checks that the key belongs to the certificate.
    pub(super) fn pair(
        &self,
        contents: &Contents,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, TlsError> {
        let pem = |path: &Path, what, source| TlsError::Pem { path: path.to_owned(), what, source };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&contents.cert)
            .collect::<Result<_, _>>()
            .map_err(|error| pem(&self.cert, "certificate", Some(error)))?;
        if chain.is_empty() {
            return Err(pem(&self.cert, "certificate", None));
        }
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|error| match error {
            pem::Error::NoItemsFound => pem(&self.key, "private key", None),
            error => pem(&self.key, "private key", Some(error)),
        })?;
        CertifiedKey::from_der(chain, key, provider).map_err(|source| TlsError::Pair {
            cert: self.cert.clone(),
            key: self.key.clone(),
            source,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_SIZE).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(bytes),
        Err(source) => Err(TlsError::Read { path: path.to_owned(), source }),
    }
}

/// Reason why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file is invalid.
    #[error("{} contains no {what} in PEM format", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// The expected content: a certificate, or a private key.
        what: &'static str,
        /// Error of the parser, if the file begins as PEM.
        source: Option<pem::Error>,
    },
    /// The certificate is damaged, its key has an unknown type, or they do not belong together.
    #[error(
        "the certificate in {} and the private key in {} cannot be used together",
        cert.display(),
        key.display()
    )]
    Pair {
        /// File of the certificate.
        cert: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
    /// TLS does not work on this machine.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

/// Maximum size of a certificate or key file in bytes.
const MAX_SIZE: u64 = 1 << 20;
