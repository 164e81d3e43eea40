//! TLS of the metrics port: the certificate that it shows, and its connections, encrypted or not.

use crate::in_time::InTime;
#[cfg(feature = "tls")]
use rustls::{
    InconsistentKeys, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::{
    io::{self, Read, Write},
    path::Path,
    time::Instant,
};

/// What the port shows of itself, and the key of that: read at the start, with the privileges that there are then.
#[cfg(feature = "tls")]
#[derive(Clone)]
pub struct MetricsTls {
    config: Arc<ServerConfig>,
}

/// There is none.
#[cfg(not(feature = "tls"))]
#[derive(Clone)]
pub enum MetricsTls {}

impl MetricsTls {
    /// PEM files, which may be one: the certificate with those that lead to its root, in order, and its key. What is wrong with them is said
    /// with the option that named the file.
    #[cfg(feature = "tls")]
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, String> {
        let wrong =
            |option: &str, path: &Path, why: &dyn std::fmt::Display| format!("{option} {}: {why}", path.display());
        let of_certificate = |why: &dyn std::fmt::Display| wrong("--metrics-cert", certificate, why);
        let of_key = |why: &dyn std::fmt::Display| wrong("--metrics-key", key, why);
        let pem = std::fs::read(certificate).map_err(|e| of_certificate(&e))?;
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|e| of_certificate(&format!("no certificate in PEM form ({e})")))?;
        if chain.is_empty() {
            return Err(of_certificate(&"no certificate in PEM form is in it (-----BEGIN CERTIFICATE-----)"));
        }
        let pem = std::fs::read(key).map_err(|e| of_key(&e))?;
        let secret = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
            let locked = pem.windows(9).any(|part| part == b"ENCRYPTED");
            of_key(&if locked {
                "the key is locked by a passphrase: write it without one (openssl pkey -in FILE -out OTHER)"
            } else {
                "no private key in PEM form is in it (-----BEGIN PRIVATE KEY-----)"
            })
        })?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| of_key(&e))?
            .with_no_client_auth()
            .with_single_cert(chain, secret);
        let mut config = config.map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                of_key(&format!("this is not the key of the certificate in {}", certificate.display()))
            }
            rustls::Error::InvalidCertificate(why) => {
                of_certificate(&format!("this certificate can't be read ({why})"))
            }
            other => of_key(&other),
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config) })
    }

    #[cfg(not(feature = "tls"))]
    pub fn read(_: &Path, _: &Path) -> Result<Self, String> {
        Err("--metrics-cert: this weftrace was built without TLS".to_owned())
    }

    /// Encrypts a connection; None: who asks speaks no TLS, and has been told so.
    #[cfg(feature = "tls")]
    pub(super) fn wrap(&self, mut stream: InTime) -> io::Result<Option<Connection>> {
        const HANDSHAKE: u8 = 22;
        if stream.first()? != HANDSHAKE {
            // What isn't read would make the end of the connection a reset, and the answer be thrown away.
            let _ = stream.read(&mut [0; 8 << 10])?;
            let text = "this port speaks https\n";
            let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n";
            write!(stream, "{head}Content-Length: {}\r\n\r\n{text}", text.len())?;
            return Ok(None);
        }
        let connection = ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)?;
        Ok(Some(Connection::Tls(Box::new(StreamOwned::new(connection, stream)))))
    }

    #[cfg(not(feature = "tls"))]
    pub(super) fn wrap(&self, _: InTime) -> io::Result<Option<Connection>> {
        match *self {}
    }
}

/// With TLS, or without.
pub(super) enum Connection {
    Plain(InTime),
    #[cfg(feature = "tls")]
    Tls(Box<StreamOwned<ServerConnection, InTime>>),
}

impl Connection {
    /// What follows is done by this time.
    pub(super) fn until(&mut self, due: Instant) {
        match self {
            Self::Plain(stream) => stream.until(due),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.sock.until(due),
        }
    }

    pub(super) fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.read(bytes),
        }
    }

    /// Sends all, and that there is no more.
    pub(super) fn finish(mut self, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts {
            match &mut self {
                Self::Plain(stream) => stream.write_all(part)?,
                #[cfg(feature = "tls")]
                Self::Tls(stream) => stream.write_all(part)?,
            }
        }
        match &mut self {
            Self::Plain(stream) => stream.flush(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()
            }
        }
    }
}
