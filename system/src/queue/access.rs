//! What a connection needs besides an address: secrets, and how it is encrypted.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// How a connection is encrypted. The files are read for each connection anew: a certificate that
/// was renewed counts from the next one on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// File with the certificates of those who are trusted, instead of the system's.
    pub ca: Option<PathBuf>,
    /// Files with a certificate of our own and with its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must be for, where that is not its host's.
    pub server_name: Option<String>,
}

impl Tls {
    /// Reads the files, and says what is wrong with them.
    ///
    /// # Errors
    /// One sentence with the variable that names the file.
    pub fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be had: {error}"))?
            .with_root_certificates(self.trusted()?);
        let Some((certificate, key)) = &self.identity else {
            return Ok(Arc::new(config.with_no_client_auth()));
        };
        let chain = certificates("BROKER_TLS_CERT", certificate)?;
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| unreadable("BROKER_TLS_KEY", key, &error))?;
        let config = config.with_client_auth_cert(chain, key);
        config.map(Arc::new).map_err(|error| {
            format!("the certificate of BROKER_TLS_CERT and the key of BROKER_TLS_KEY: {error}")
        })
    }

    fn trusted(&self) -> Result<RootCertStore, String> {
        let mut store = RootCertStore::empty();
        match &self.ca {
            Some(file) => {
                for certificate in certificates("BROKER_TLS_CA", file)? {
                    store
                        .add(certificate)
                        .map_err(|error| unreadable("BROKER_TLS_CA", file, &error))?;
                }
            }
            None => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        Ok(store)
    }

    /// The name that the certificate of the server at `host` must be for.
    pub(super) fn name(&self, host: &str) -> io::Result<ServerName<'static>> {
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        ServerName::try_from(name).map_err(io::Error::other)
    }

    /// Encrypts a connection to `host`.
    pub(super) async fn encrypt(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let config = self.config().map_err(io::Error::other)?;
        TlsConnector::from(config).connect(self.name(host)?, stream).await
    }
}

fn certificates(variable: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match found {
        Ok(found) if found.is_empty() => {
            Err(format!("{variable} names {}, which holds no certificate", file.display()))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(unreadable(variable, file, &error)),
    }
}

fn unreadable(variable: &str, file: &Path, error: &dyn fmt::Display) -> String {
    format!("{variable} names {}, which cannot be used: {error}", file.display())
}

/// Whether a handshake failed because the server's certificate is not trusted.
pub(super) fn is_untrusted(cause: &str) -> bool {
    cause.contains("invalid peer certificate")
}

/// What a failed handshake means to people; nothing where TLS is not at fault. What is told of a
/// certificate does not change from one attempt to the next.
pub(super) fn tls_advice(cause: &str) -> Option<&'static str> {
    let says = |text: &str| cause.contains(text);
    if is_untrusted(cause) {
        Some("BROKER_TLS_CA says whom to trust, BROKER_TLS_SERVER_NAME what the server is called")
    } else if says("CertificateRequired") || says("received fatal alert") {
        Some("BROKER_TLS_CERT and BROKER_TLS_KEY say who connects")
    } else if says("InvalidContentType") {
        Some("does the server speak TLS on this port?")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        assert_eq!(format!("{:?}", Secret("hunter2".to_owned())), "(secret)");
    }

    #[test]
    fn files_that_cannot_be_used_are_named_with_their_variable() {
        let directory = tempfile::tempdir().expect("a directory");
        let (absent, empty) = (directory.path().join("absent"), directory.path().join("empty"));
        std::fs::write(&empty, "").expect("writes");
        let told = |tls: Tls| tls.config().expect_err("it cannot be used");
        let absent_ca = told(Tls { ca: Some(absent.clone()), ..Tls::default() });
        assert!(absent_ca.starts_with("BROKER_TLS_CA names "), "{absent_ca}");
        let empty_ca = told(Tls { ca: Some(empty.clone()), ..Tls::default() });
        assert!(empty_ca.ends_with("holds no certificate"), "{empty_ca}");
        let identity = told(Tls { identity: Some((absent, empty)), ..Tls::default() });
        assert!(identity.starts_with("BROKER_TLS_CERT names "), "{identity}");
    }
}
