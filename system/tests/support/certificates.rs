//! Certificates of a test's own: an authority, a server and a client.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// The name that the server's certificate is for, which nothing resolves.
pub(crate) const SERVER_NAME: &str = "broker.test";

/// Files: `ca.pem`, and of a server and a client the certificate and key.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    pub(crate) fn make() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: String| {
            std::fs::write(directory.path().join(name), text).expect("writes");
        };
        let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "an authority");
        let key = KeyPair::generate().expect("a key");
        write("ca.pem", authority.self_signed(&key).expect("signs").pem());
        let issuer = Issuer::new(authority, key);
        for (name, known_as) in [("server", SERVER_NAME), ("client", "somebody")] {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(vec![known_as.to_owned()]).expect("parameters");
            params.distinguished_name.push(DnType::CommonName, known_as);
            let certificate = params.signed_by(&key, &issuer).expect("signs");
            write(&format!("{name}.pem"), certificate.pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self(directory)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The variables by which a client trusts the server, and is trusted.
    pub(crate) fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("BROKER_TLS_CA", self.file("ca.pem")),
            ("BROKER_TLS_CERT", self.file("client.pem")),
            ("BROKER_TLS_KEY", self.file("client.key")),
            ("BROKER_TLS_SERVER_NAME", SERVER_NAME.into()),
        ]
    }
}
