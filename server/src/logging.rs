//! Where log lines go, and which.

use crate::config::LogFormat;
use crate::wiring::StartError;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// Logs to the standard error from now on: this much of ours, and the warnings of the libraries.
pub(crate) fn start(level: Option<&str>, format: LogFormat) -> Result<(), StartError> {
    let level = checked(level.unwrap_or("info"))?;
    let filter = EnvFilter::new(format!("warn,leasehold={level}"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Standard => logs.with_ansi(false).finish().try_init(),
        LogFormat::Json => logs.json().finish().try_init(),
    };
    started.map_err(|error| StartError::Logging(error.to_string()))
}

fn checked(level: &str) -> Result<&'static str, StartError> {
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

    #[test]
    fn a_level_is_one_of_vaults_words() {
        assert_eq!(checked("ERR").unwrap(), "error");
        assert_eq!(checked("notice").unwrap(), "info");
        assert!(checked("loud").unwrap_err().to_string().contains("`loud`"));
    }
}
