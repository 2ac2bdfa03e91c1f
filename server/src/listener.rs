//! Binds where callers come in, with TLS unless it is switched off.

use crate::config::{Listener, Tls};
use crate::wiring::StartError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
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
    /// Whether it shows the metrics to whoever asks.
    pub(crate) open_metrics: bool,
}

/// Binds a listener.
pub(crate) fn bind(listener: &Listener) -> Result<Bound, StartError> {
    let failed = |reason: String| StartError::Listen { address: listener.address.clone(), reason };
    let tls = listener.tls.as_ref().map(server_config).transpose().map_err(failed)?;
    let candidates =
        listener.address.to_socket_addrs().map_err(|error| failed(error.to_string()))?;
    let candidates: Vec<_> = candidates.collect();
    let socket =
        TcpListener::bind(candidates.as_slice()).map_err(|error| failed(error.to_string()))?;
    let address = socket.local_addr().map_err(|error| failed(error.to_string()))?;
    if tls.is_none() && !address.ip().is_loopback() {
        tracing::warn!(%address, "callers that are not on this machine send their tokens in clear: `tls_disable` is set");
    }
    Ok(Bound { socket, address, tls, open_metrics: listener.open_metrics })
}

/// Makes what a listener needs for TLS of its files.
pub(crate) fn server_config(tls: &Tls) -> Result<ServerConfig, String> {
    let chain = certificates("tls_cert_file", &tls.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key_file)
        .map_err(|error| unusable("tls_key_file", &tls.key_file, error))?;
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
    config
        .with_single_cert(chain, key)
        .map_err(|error| format!("`tls_cert_file` and `tls_key_file` cannot be used: {error}"))
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
