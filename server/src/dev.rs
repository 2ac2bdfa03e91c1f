//! What a server tells on the standard output when it starts: where it listens, and, if it is one to try
//! things with, how to come in.

use crate::listener::Bound;
use crate::wiring::Founded;
use std::io::{self, Write};

/// Tells where the server listens.
pub(crate) fn announce(bound: &[Bound], storage: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "==> Leasehold server configuration:\n")?;
    for (number, listener) in (1..).zip(bound) {
        let tls = if listener.tls.is_some() { "enabled" } else { "disabled" };
        let address = listener.address;
        writeln!(
            out,
            "              Listener {number}: tcp (addr: \"{address}\", tls: \"{tls}\")"
        )?;
    }
    writeln!(out, "                 Storage: {storage}")?;
    writeln!(out, "                 Version: {}\n", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "==> Leasehold server started! Log data will stream in below:\n")?;
    out.flush()
}

/// Tells how to come into a server to try things with. Its root token is no secret worth the name.
pub(crate) fn welcome(bound: &[Bound], founded: &Founded) -> io::Result<()> {
    let Some(address) = bound.first().map(|listener| listener.address) else { return Ok(()) };
    let root = &founded.token;
    let mut out = io::stdout().lock();
    writeln!(out, "WARNING! dev mode is enabled! In this mode, Leasehold runs entirely in memory")?;
    writeln!(out, "and starts unsealed. Everything is forgotten when it ends; the credentials it")?;
    writeln!(out, "has lent stay at their targets until they lapse there.\n")?;
    writeln!(out, "You may need to set the following environment variables:\n")?;
    writeln!(out, "    $ export VAULT_ADDR='http://{address}'")?;
    writeln!(out, "    $ export VAULT_TOKEN='{}'\n", root.reveal())?;
    for share in &founded.shares {
        writeln!(out, "Unseal Key: {}", *share.base64())?;
    }
    writeln!(out, "Root Token: {}\n", root.reveal())?;
    writeln!(out, "Development mode should NOT be used in production installations!\n")?;
    out.flush()
}
