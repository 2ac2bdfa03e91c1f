//! Binds where callers come in, with TLS unless it is switched off.

use crate::config::{Listener, Tls};
use crate::forwarded::Forwarded;
use crate::response_headers::ResponseHeaders;
use crate::wiring::StartError;
use parking_lot::RwLock;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

/// A listener that is bound, and where.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) socket: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<ServerConfig>,
    pub(crate) rules: Rules,
    /// What it proves itself with, if it does.
    pub(crate) certificate: Option<Arc<Certificate>>,
}

/// How a listener treats those who come in.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Whether it shows the metrics to whoever asks.
    pub(crate) open_metrics: bool,
    /// Which proxies are believed, if any are.
    pub(crate) forwarded: Option<Forwarded>,
    /// What its answers carry besides what they say.
    pub(crate) headers: ResponseHeaders,
}

/// A certificate with its key, as callers are shown it: each new connection the one that is there then.
#[derive(Debug)]
pub(crate) struct Certificate(RwLock<Arc<CertifiedKey>>);

impl Certificate {
    fn load(tls: &Tls) -> Result<Self, String> {
        read_pair(&tls.cert_file, &tls.key_file).map(|pair| Self(RwLock::new(Arc::new(pair))))
    }

    /// Reads the files again. What cannot be used leaves all as it is.
    pub(crate) fn reload(&self, cert_file: &Path, key_file: &Path) -> Result<(), String> {
        *self.0.write() = Arc::new(read_pair(cert_file, key_file)?);
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

fn read_pair(cert_file: &Path, key_file: &Path) -> Result<CertifiedKey, String> {
    let chain = certificates("tls_cert_file", cert_file)?;
    let key = PrivateKeyDer::from_pem_file(key_file)
        .map_err(|error| unusable("tls_key_file", key_file, error))?;
    // Fails if the key is not that of the certificate.
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| {
        let (cert, key) = (cert_file.display(), key_file.display());
        format!("`tls_cert_file` `{cert}` and `tls_key_file` `{key}` cannot be used: {error}")
    })
}

/// Binds a listener.
pub(crate) fn bind(listener: &Listener) -> Result<Bound, StartError> {
    let failed = |reason: String| StartError::Listen { address: listener.address.clone(), reason };
    let tls = listener.tls.as_ref().map(server_config).transpose().map_err(failed)?;
    let (tls, certificate) = tls.unzip();
    let candidates =
        listener.address.to_socket_addrs().map_err(|error| failed(error.to_string()))?;
    let candidates: Vec<_> = candidates.collect();
    let socket =
        TcpListener::bind(candidates.as_slice()).map_err(|error| failed(error.to_string()))?;
    let address = socket.local_addr().map_err(|error| failed(error.to_string()))?;
    if tls.is_none() && !address.ip().is_loopback() {
        tracing::warn!(%address, "callers that are not on this machine send their tokens in clear: `tls_disable` is set");
    }
    let rules = Rules {
        open_metrics: listener.open_metrics,
        forwarded: listener.forwarded.clone(),
        headers: listener.headers.clone(),
    };
    Ok(Bound { socket, address, tls, rules, certificate })
}

/// Makes what a listener needs for TLS of its files.
pub(crate) fn server_config(tls: &Tls) -> Result<(ServerConfig, Arc<Certificate>), String> {
    let certificate = Arc::new(Certificate::load(tls)?);
    let versions: &[_] = if tls.only_tls13 {
        &[&rustls::version::TLS13]
    } else {
        &[&rustls::version::TLS13, &rustls::version::TLS12]
    };
    let config = ServerConfig::builder_with_protocol_versions(versions);
    let config = match &tls.client_ca_file {
        None => config.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("tls_client_ca_file", path)? {
                roots
                    .add(certificate)
                    .map_err(|error| unusable("tls_client_ca_file", path, error))?;
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots));
            let verifier =
                if tls.client_cert_required { verifier } else { verifier.allow_unauthenticated() };
            let verifier =
                verifier.build().map_err(|error| unusable("tls_client_ca_file", path, error))?;
            config.with_client_cert_verifier(verifier)
        }
    };
    Ok((config.with_cert_resolver(Arc::clone(&certificate) as _), certificate))
}

fn certificates(field: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path);
    let read: Result<Vec<_>, _> = read.and_then(Iterator::collect);
    match read {
        Ok(chain) if chain.is_empty() => Err(unusable(field, path, "it holds no certificate")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(unusable(field, path, error)),
    }
}

fn unusable(field: &str, path: &Path, reason: impl std::fmt::Display) -> String {
    format!("`{field}` `{}` cannot be used: {reason}", path.display())
}
