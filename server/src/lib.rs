//! The server: HTTP, configuration, and the adapters of core's ports.
//!
//! [`run`] is all that a binary needs. Ports meet adapters in `wiring` and nowhere else; what a request
//! means is told by the route table in `api`.

/// Passes a point of `kill_points`; in a build without the feature it is nothing at all.
macro_rules! passing {
    ($point:ident) => {
        #[cfg(feature = "kill-points")]
        crate::kill_points::pass(crate::kill_points::Point::$point);
    };
}

mod api;
pub mod audit;
pub mod chance;
mod check;
mod config;
mod dev;
mod forwarded;
mod keeper;
#[cfg(feature = "kill-points")]
pub mod kill_points;
mod listener;
mod logging;
mod meters;
mod process;
mod reload;
mod response_headers;
pub mod restore;
mod seal_file;
pub mod store;
pub mod sweeper;
pub mod tasks;
pub mod time;
mod wiring;

pub use api::{ListedPath, listed_paths};
pub use check::{Checked, Finding, check};
pub use wiring::StartError;

use std::path::PathBuf;

/// What a server is started with.
#[derive(Debug)]
pub struct Options {
    /// Files and folders with the configuration.
    pub config: Vec<PathBuf>,
    /// Set for a server to try things with.
    pub dev: Option<Dev>,
    /// How much to log; goes before what the configuration says.
    pub log_level: Option<String>,
}

/// A server to try things with: in memory, unsealed, without TLS.
pub struct Dev {
    /// The root token, if it is not to be drawn.
    pub root_token_id: Option<String>,
    /// Where to listen.
    pub listen_address: String,
}

impl std::fmt::Debug for Dev {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dev").field("listen_address", &self.listen_address).finish_non_exhaustive()
    }
}

/// Runs a server until it is told to end by SIGTERM or SIGINT.
pub fn run(options: Options) -> Result<(), StartError> {
    let loaded = config::load(&options.config)?;
    let mut config = loaded.config;
    if let Some(dev) = &options.dev {
        config.for_dev(&dev.listen_address)?;
    }
    let logging = logging::start(
        options.log_level.as_deref().or(config.log_level.as_deref()),
        config.log_format,
    )?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    process::harden();
    if options.dev.is_none() {
        process::lock_memory();
    }
    choose_cryptography();
    wiring::run(&config, options, logging)
}

/// The first call that needs cryptography would otherwise have to choose a provider, and fail.
fn choose_cryptography() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
