//! Hands the audit record to whoever listens on a socket.
//!
//! That a write succeeded says only that the system has the line, not that anybody has it, so these devices never
//! acknowledge.

use super::device::Device;
use super::{Broken, OpenError, Sink};
use crate::config::SocketKind;
use crate::time::Stopwatch;
use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long a place that failed is left alone: each try may take as long as its time-out, and lines wait meanwhile.
const REST: Duration = Duration::from_secs(1);

/// Writes to a socket. It is connected when the first line is there, and again when it was lost.
pub(crate) fn open(
    name: &str,
    address: &str,
    kind: SocketKind,
    write_timeout: Duration,
) -> Result<Device, OpenError> {
    let sink = SocketSink {
        address: address.to_owned(),
        kind,
        write_timeout,
        connected: Resting::default(),
    };
    Device::start(name, false, sink)
}

struct SocketSink {
    address: String,
    kind: SocketKind,
    write_timeout: Duration,
    connected: Resting<Connected>,
}

enum Connected {
    Stream(Box<dyn Write + Send>),
    Messages(UdpSocket),
}

/// A connection that is made when it is needed, but not again and again.
pub(super) struct Resting<T> {
    connected: Option<T>,
    failed: Option<Stopwatch>,
}

impl<T> Default for Resting<T> {
    fn default() -> Self {
        Self { connected: None, failed: None }
    }
}

impl<T> Resting<T> {
    /// Uses the connection. After a failure it is made anew, a little later.
    pub(super) fn with(
        &mut self,
        connect: impl FnOnce() -> io::Result<T>,
        use_it: impl FnOnce(&mut T) -> Result<(), (usize, io::Error)>,
    ) -> Result<(), Broken> {
        if self.failed.is_some_and(|watch| watch.took() < REST) {
            let reason = "it failed a moment ago and is left alone for a second".to_owned();
            return Err(Broken { arrived: 0, reason });
        }
        let outcome = match self.connected.take().map_or_else(connect, Ok) {
            Ok(mut connected) => use_it(&mut connected).map(|()| self.connected = Some(connected)),
            Err(error) => Err((0, error)),
        };
        self.failed = outcome.is_err().then(Stopwatch::start);
        outcome.map_err(|(arrived, error)| Broken { arrived, reason: error.to_string() })
    }
}

impl Sink for SocketSink {
    fn take(&mut self, lines: &[u8]) -> Result<(), Broken> {
        let Self { address, kind, write_timeout, connected } = self;
        connected.with(
            || connect(address, *kind, *write_timeout),
            |connected| match connected {
                Connected::Stream(stream) => {
                    let written = stream.write_all(lines).and_then(|()| stream.flush());
                    // Nobody knows how much of it.
                    written.map_err(|error| (0, error))
                }
                Connected::Messages(socket) => each_line(lines, |line| socket.send(line).map(drop)),
            },
        )
    }
}

/// Sends each line by itself, without its newline; tells how many bytes were sent before what failed.
pub(super) fn each_line(
    lines: &[u8],
    mut send: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), (usize, io::Error)> {
    let mut gone = 0_usize;
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        send(line.strip_suffix(b"\n").unwrap_or(line)).map_err(|error| (gone, error))?;
        gone = gone.saturating_add(line.len());
    }
    Ok(())
}

fn connect(address: &str, kind: SocketKind, within: Duration) -> io::Result<Connected> {
    match kind {
        SocketKind::Unix => {
            let stream = UnixStream::connect(address)?;
            stream.set_write_timeout(Some(within))?;
            Ok(Connected::Stream(Box::new(stream)))
        }
        SocketKind::Tcp => {
            let mut failed = io::Error::from(io::ErrorKind::NotFound);
            for candidate in address.to_socket_addrs()? {
                match TcpStream::connect_timeout(&candidate, within) {
                    Ok(stream) => {
                        stream.set_write_timeout(Some(within))?;
                        return Ok(Connected::Stream(Box::new(stream)));
                    }
                    Err(error) => failed = error,
                }
            }
            Err(failed)
        }
        SocketKind::Udp => {
            let mut failed = io::Error::from(io::ErrorKind::NotFound);
            for candidate in address.to_socket_addrs()? {
                let any = if candidate.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                match socket.connect(candidate) {
                    Ok(()) => return Ok(Connected::Messages(socket)),
                    Err(error) => failed = error,
                }
            }
            Err(failed)
        }
    }
}

#[cfg(test)]
#[path = "socket/tests.rs"]
mod tests;
