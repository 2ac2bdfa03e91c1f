//! Hands the audit record to this machine's syslog, as the C library does: one message a line.
//!
//! Syslog never says what became of a message, so this device never acknowledges.

use super::device::Device;
use super::socket::{Resting, each_line};
use super::{Broken, OpenError, Sink};
use std::io::{self, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a message may take while syslog is busy.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// The severity of all messages: informational (RFC 5424, section 6.2.1).
const INFO: u8 = 6;

/// Sends to the syslog that listens at `path`.
pub(crate) fn open(name: &str, path: &Path, facility: u8, tag: &str) -> Result<Device, OpenError> {
    let priority = facility.saturating_mul(8).saturating_add(INFO);
    let sink = SyslogSink {
        path: path.to_owned(),
        head: format!("<{priority}>"),
        tag: format!(" {tag}[{}]: ", std::process::id()),
        connected: Resting::default(),
    };
    Device::start(name, false, sink)
}

struct SyslogSink {
    path: PathBuf,
    head: String,
    tag: String,
    connected: Resting<Connected>,
}

enum Connected {
    Messages(UnixDatagram),
    Stream(UnixStream),
}

impl Sink for SyslogSink {
    fn take(&mut self, lines: &[u8]) -> Result<(), Broken> {
        let Self { path, head, tag, connected } = self;
        connected.with(
            || connect(path),
            |connected| {
                each_line(lines, |line| {
                    let at = crate::time::syslog_time();
                    let mut message =
                        [head.as_bytes(), at.as_bytes(), tag.as_bytes(), line].concat();
                    match connected {
                        Connected::Messages(socket) => socket.send(&message).map(drop),
                        Connected::Stream(stream) => {
                            // As the C library ends them, since a message may hold newlines.
                            message.push(0);
                            stream.write_all(&message)
                        }
                    }
                })
            },
        )
    }
}

fn connect(path: &Path) -> io::Result<Connected> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
    if socket.connect(path).is_ok() {
        return Ok(Connected::Messages(socket));
    }
    // It listens for streams, or not at all.
    let stream = UnixStream::connect(path)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    Ok(Connected::Stream(stream))
}
