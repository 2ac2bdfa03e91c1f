//! Where log lines go, and which.

use crate::config::LogFormat;
use crate::wiring::StartError;
use tracing::Dispatch;
use tracing_subscriber::{EnvFilter, reload};

/// Changes how much is logged while the server runs.
pub(crate) struct Reload(Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

/// Logs to the standard error from now on: this much of ours, and the warnings of the libraries.
pub(crate) fn start(level: Option<&str>, format: LogFormat) -> Result<Reload, StartError> {
    let (logs, reload) = subscriber(filter(level.unwrap_or_default())?, format);
    let started = tracing::dispatcher::set_global_default(logs);
    started.map_err(|error| StartError::Logging(error.to_string()))?;
    Ok(reload)
}

fn subscriber(filter: EnvFilter, format: LogFormat) -> (Dispatch, Reload) {
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Standard => {
            let logs = logs.with_ansi(false).with_filter_reloading();
            let handle = logs.reload_handle();
            (logs.finish().into(), Reload(Box::new(move |filter| handle.reload(filter))))
        }
        LogFormat::Json => {
            let logs = logs.json().with_filter_reloading();
            let handle = logs.reload_handle();
            (logs.finish().into(), Reload(Box::new(move |filter| handle.reload(filter))))
        }
    }
}

impl Reload {
    /// Logs this much from now on; the default, if the text is empty. After an error it logs as before.
    pub(crate) fn level(&self, level: &str) -> Result<(), StartError> {
        let filter = filter(level)?;
        (self.0)(filter).map_err(|error| StartError::Logging(error.to_string()))
    }
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reload(..)")
    }
}

fn filter(level: &str) -> Result<EnvFilter, StartError> {
    checked(level).map(|level| EnvFilter::new(format!("warn,leasehold={level}")))
}

/// Returns which of our levels one of Vault's words means.
pub(crate) fn checked(level: &str) -> Result<&'static str, StartError> {
    match level.to_ascii_lowercase().as_str() {
        "trace" => Ok("trace"),
        "debug" => Ok("debug"),
        "" | "info" | "notice" => Ok("info"),
        "warn" | "warning" => Ok("warn"),
        "err" | "error" => Ok("error"),
        _ => Err(StartError::Logging(format!(
            "the log level `{level}` is none of `error`, `warn`, `info`, `debug`, `trace`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn a_level_is_one_of_vaults_words() {
        assert_eq!(checked("ERR").unwrap(), "error");
        assert_eq!(checked("notice").unwrap(), "info");
        assert!(checked("loud").unwrap_err().to_string().contains("`loud`"));
    }

    #[test]
    fn the_level_can_be_changed_while_the_server_runs() {
        for format in [LogFormat::Standard, LogFormat::Json] {
            let (logs, reload) = subscriber(filter("info").unwrap(), format);
            tracing::dispatcher::with_default(&logs, || {
                let ours = || tracing::enabled!(target: "leasehold_core::broker", Level::DEBUG);
                let theirs = || tracing::enabled!(target: "sqlx::query", Level::INFO);
                assert!(!ours());
                reload.level("debug").unwrap();
                assert!(ours() && !theirs());
                reload.level("loud").unwrap_err();
                assert!(ours());
                reload.level("").unwrap();
                assert!(!ours());
            });
        }
    }
}
