//! TLS: the server's certificate is always verified, by the system's roots and those that the command line adds.

use crate::in_time::InTime;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{
    io,
    sync::{Arc, OnceLock},
};

pub(super) type Stream = StreamOwned<ClientConnection, InTime>;

/// Where distributions keep the certificates that they trust.
const SYSTEM: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whom to trust; the system's certificates are many, and read when they are first needed.
#[derive(Clone, Default)]
pub(super) struct Trust {
    more: Arc<[CertificateDer<'static>]>,
    config: Arc<OnceLock<Result<Arc<ClientConfig>, String>>>,
}

impl Trust {
    /// `more`: a PEM file.
    pub(super) fn new(more: Option<&str>) -> Result<Self, String> {
        let more = more.map_or(Ok(Vec::new()), added)?;
        Ok(Self { more: more.into(), config: Arc::default() })
    }

    /// Encrypts a connection.
    pub(super) fn wrap(&self, host: &str, stream: InTime) -> io::Result<Box<Stream>> {
        let config = self.config.get_or_init(|| make(&self.more)).clone();
        let config = config.map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{host} is no name that a certificate has"))
        })?;
        let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut stream = Box::new(StreamOwned::new(connection, stream));
        // Here, so that what is wrong with a certificate is told as such.
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|error| told(&error))?;
        }
        Ok(stream)
    }
}

/// What is wrong with a certificate, in words.
fn told(error: &io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(why)) = inner else {
        return io::Error::new(error.kind(), error.to_string());
    };
    let why = match why {
        CertificateError::UnknownIssuer => {
            "its certificate is signed by nobody who is trusted here (--ca-file FILE trusts one more)".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name".to_owned()
        }
        other => format!("its certificate is refused: {other}"),
    };
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The certificates of a file that is to be trusted besides: all of them can be, and there is one.
fn added(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |e: &dyn std::fmt::Display| format!("{path}: {e}");
    let pem = std::fs::read(path).map_err(|e| wrong(&e))?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|e| wrong(&format!("no certificates in PEM form ({e})")))?;
    if found.is_empty() {
        return Err(wrong(&"no certificate in PEM form is in it (-----BEGIN CERTIFICATE-----)"));
    }
    let mut roots = RootCertStore::empty();
    for certificate in &found {
        roots.add(certificate.clone()).map_err(|e| wrong(&format!("a certificate that can't be trusted ({e})")))?;
    }
    Ok(found)
}

fn make(more: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = SYSTEM.iter().find(|path| std::path::Path::new(path).exists())
        && let Ok(found) = CertificateDer::pem_file_iter(path)
    {
        // Some of a system's may be too old to be read.
        roots.add_parsable_certificates(found.flatten());
    }
    for certificate in more {
        roots.add(certificate.clone()).map_err(|e| e.to_string())?;
    }
    if roots.is_empty() {
        return Err("there are no certificates to trust: install ca-certificates, or name a file by --ca-file".into());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
