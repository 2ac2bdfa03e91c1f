//! A way to a target that a test can disturb: the engine under test reaches the target through it.
//!
//! What is counted are turns: whatever a client sends on a connection until it is answered. So a test can have each
//! turn of a step go wrong, one after the other, without knowing what the engine says.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

/// How much is carried at once.
const PIECE: usize = 64 << 10;

/// What becomes of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It never arrives, and its connection ends.
    Unsent,
    /// It arrives, its answer does not, and its connection ends.
    Unanswered,
    /// It is held up until it is let go.
    Held,
}

/// A way to a port of this machine. It ends when its last owner drops it.
#[derive(Debug)]
pub struct Way {
    port: u16,
    traffic: Arc<Traffic>,
    carrying: AbortHandle,
}

#[derive(Debug)]
struct Traffic {
    turns: Mutex<Turns>,
    met: Notify,
    let_go: Notify,
    is_cut: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Turns {
    so_far: usize,
    /// What is to become of which one.
    fault: Option<(usize, Fault)>,
}

impl Way {
    /// Opens a way.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let traffic = Arc::new(Traffic {
            turns: Mutex::default(),
            met: Notify::new(),
            let_go: Notify::new(),
            is_cut: watch::Sender::new(false),
        });
        let each = Arc::clone(&traffic);
        let carrying = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Where there is no server, the client is told by the end of its connection.
                if *each.is_cut.borrow() {
                    continue;
                }
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                    tokio::spawn(carry(client, server, Arc::clone(&each)));
                }
            }
        });
        Self { port, traffic, carrying: carrying.abort_handle() }
    }

    /// Returns the port where it begins.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns how many turns there were so far.
    #[must_use]
    pub fn turns(&self) -> usize {
        self.traffic.turns.lock().so_far
    }

    /// Has a turn go wrong: the first from now on is 0.
    pub fn disturb(&self, turn: usize, fault: Fault) {
        let mut turns = self.traffic.turns.lock();
        turns.fault = Some((turns.so_far + 1 + turn, fault));
    }

    /// Returns whether the turn that was to go wrong has come.
    #[must_use]
    pub fn has_met(&self) -> bool {
        self.traffic.turns.lock().fault.is_none()
    }

    /// Waits until the turn that is to go wrong has come.
    pub async fn met(&self) {
        self.traffic.met.notified().await;
    }

    /// Lets go what is held up.
    pub fn let_go(&self) {
        self.traffic.let_go.notify_one();
    }

    /// Ends all connections, and takes no more.
    pub fn cut(&self) {
        self.traffic.is_cut.send_replace(true);
    }

    /// Takes connections again.
    pub fn mend(&self) {
        self.traffic.is_cut.send_replace(false);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.cut();
        self.carrying.abort();
    }
}

impl Traffic {
    /// Counts a turn, and returns what is to become of it.
    fn turn(&self) -> Option<Fault> {
        let mut turns = self.turns.lock();
        turns.so_far += 1;
        let this = turns.so_far;
        let (_, fault) = turns.fault.take_if(|(turn, _)| *turn == this)?;
        self.met.notify_one();
        Some(fault)
    }
}

async fn is_cut(told: &mut watch::Receiver<bool>) {
    let _ = told.wait_for(|cut| *cut).await;
}

/// Carries what a client and a server say.
async fn carry(mut client: TcpStream, mut server: TcpStream, traffic: Arc<Traffic>) {
    let mut cut = traffic.is_cut.subscribe();
    let (mut from, mut to) = (vec![0; PIECE], vec![0; PIECE]);
    let mut is_answered = true;
    loop {
        tokio::select! {
            () = is_cut(&mut cut) => return,
            read = client.read(&mut from) => {
                let Ok(length @ 1..) = read else { return };
                let fault = if is_answered { traffic.turn() } else { None };
                is_answered = false;
                match fault {
                    Some(Fault::Unsent) => return,
                    Some(Fault::Held) => tokio::select! {
                        () = traffic.let_go.notified() => {}
                        () = is_cut(&mut cut) => return,
                    },
                    Some(Fault::Unanswered) | None => {}
                }
                let _ = server.write_all(&from[..length]).await;
                if fault == Some(Fault::Unanswered) {
                    drop(client);
                    return until_it_ends(server).await;
                }
            }
            read = server.read(&mut to) => {
                let Ok(length @ 1..) = read else { return };
                is_answered = true;
                let _ = client.write_all(&to[..length]).await;
            }
        }
    }
}

/// Lets a server do what it was sent: it is closed for writing only, and what it answers is thrown away.
async fn until_it_ends(mut server: TcpStream) {
    let _ = server.shutdown().await;
    let mut thrown_away = vec![0; PIECE];
    while matches!(server.read(&mut thrown_away).await, Ok(1..)) {}
}
