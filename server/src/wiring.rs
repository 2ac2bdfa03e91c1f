//! Where ports meet adapters, and nowhere else: makes a server of a configuration, and runs it.

mod node;
mod sealing;
mod tracked;

pub(crate) use node::{FoundError, Founded, Node, Server};
pub(crate) use sealing::UnsealError;

use crate::api::{self, Front};
use crate::audit::{self, device::Device};
use crate::chance::SystemChance;
use crate::config::{Config, ConfigError, Storage};
use crate::listener::{self, Bound};
use crate::meters::Meters;
use crate::reload::Reload;
use crate::store::embedded::Embedded;
use crate::tasks::TokioTasks;
use crate::time::SystemClock;
use crate::{Options, dev, logging, process};
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use leasehold_core::audit::Audit;
use leasehold_core::broker::Ports;
use leasehold_core::seal::SealError;
use leasehold_core::seal::keeper::KeeperError;
use leasehold_core::secret::SecretText;
use leasehold_core::store::{Store, StoreError};
use leasehold_core::time::Clock;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracked::Tracked;
pub(crate) use tracked::{Count, Running};

/// How long a caller may take for the head of a request. Slow senders are cheap to hold off and this is long.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection may idle: longer than the pauses of clients that poll every minute.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Connections at a time for each worker: each costs some 20 KB.
const CONNECTIONS_MAX: usize = 8192;
/// Files that callers' connections leave to the store, the audit and the targets: a revocation that cannot connect
/// because of idle callers would be their victory.
const OPEN_FILES_KEPT: usize = 512;
/// How long requests that are being served may go on when the server is told to end: a target's longest answer.
const DRAIN_REQUESTS: Duration = Duration::from_secs(25);
/// How long answers may take to be written after that.
const DRAIN_ANSWERS: Duration = Duration::from_secs(1);
/// How long attempts at targets may go on after that. One that is cut off is found again after the next start.
const DRAIN_ATTEMPTS: Duration = Duration::from_secs(10);

/// The server does not start, or broke off.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nothing can be logged.
    #[error("logging cannot start: {0}")]
    Logging(String),
    /// The system lacks something that every server needs.
    #[error("{0}")]
    System(String),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] crate::store::embedded::OpenError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store cannot be unsealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The root key is not to be had.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// Nobody would have the root key.
    #[error(
        "the root key of this store is not split among people: name where it is in the configuration, as in `seal \"file\" {{ \
         path = … }}`, with `disabled = true` if people are to have it from now on"
    )]
    OpensByKey,
    /// An audit device cannot be used.
    #[error(transparent)]
    Audit(#[from] crate::audit::OpenError),
    /// Nobody could come in.
    #[error("cannot listen on `{address}`: {reason}")]
    Listen {
        /// Where.
        address: String,
        /// What the system said.
        reason: String,
    },
}

impl From<FoundError> for StartError {
    fn from(error: FoundError) -> Self {
        match error {
            FoundError::Seal(error) => error.into(),
            FoundError::Keeper(error) => error.into(),
            FoundError::Store(error) => error.into(),
        }
    }
}

fn system(error: impl std::fmt::Display) -> StartError {
    StartError::System(error.to_string())
}

/// Runs a server until it is told to end.
pub(crate) fn run(
    config: &Config,
    options: Options,
    logging: logging::Reload,
) -> Result<(), StartError> {
    if options.dev.is_none() {
        config.checked_for_use()?;
    }
    let workers = thread::available_parallelism().map_or(2, NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("broker")
        .enable_all()
        .build()
        .map_err(system)?;
    let outcome = serve(&runtime, config, options, logging, workers);
    // What still runs holds the store; it is closed once the last of it is gone.
    runtime.shutdown_timeout(Duration::from_secs(5));
    outcome
}

fn serve(
    runtime: &Runtime,
    config: &Config,
    options: Options,
    logging: logging::Reload,
    workers: usize,
) -> Result<(), StartError> {
    passing!(StartBeforeOpen);
    let (store, storage) = match &config.storage {
        Storage::Memory => (Embedded::in_memory()?, "inmem"),
        Storage::Embedded(folder) => (Embedded::open(folder)?, "embedded"),
    };
    let meters = Meters { store: store.meter(), ..Meters::default() };
    let store: Arc<dyn Store> = Arc::new(store);
    let audits = open_audits(config, runtime)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start().map_err(system)?);
    let tasks = TokioTasks::new(runtime.handle().clone(), Arc::clone(&clock));
    let tasks = Arc::new(Tracked::new(tasks));
    let ports = Ports {
        store,
        clock,
        chance: Arc::new(SystemChance),
        tasks: tasks.clone(),
        audit: audits.iter().map(|audit| Arc::clone(audit) as Arc<dyn Audit>).collect(),
    };
    #[cfg(feature = "kill-points")]
    let ports = crate::kill_points::around(ports);
    let running = tasks.running.clone();
    let server = Arc::new(Server::new(ports, config, storage, meters, running));

    runtime.block_on(async {
        let bound = config.listeners.iter().map(listener::bind).collect::<Result<Vec<_>, _>>()?;
        let mut reload = Reload {
            paths: options.config,
            dev_address: options.dev.as_ref().map(|dev| dev.listen_address.clone()),
            logging,
            level_is_fixed: options.log_level.is_some(),
            running: config.clone(),
            certificates: bound.iter().map(|bound| bound.certificate.clone()).collect(),
            audits,
        };
        let founded = match options.dev {
            None => server.start().await.map(|()| None)?,
            Some(dev) => {
                let text = dev.root_token_id.map(SecretText::new);
                Some(server.found_for_dev(text).await?)
            }
        };
        if let Some(founded) = &founded {
            dev::welcome(&bound, founded).map_err(system)?;
        }
        // Whoever reads that it runs may tell it to end at once.
        let signals = Signals::caught()?;
        dev::announce(&bound, storage).map_err(system)?;
        drop(founded);
        let rules = bound.iter().map(|bound| (bound.address, bound.rules.clone())).collect();
        let front = Front::new(Arc::clone(&server), runtime.handle().clone(), rules);
        let http = listen(bound, front.clone(), workers)?;
        let handle = http.handle();
        let serving = runtime.spawn(http);
        signals.until_told(&mut reload).await;
        let ended = drain(&server, &front, handle, &tasks).await;
        server.close(ended).await;
        serving.await.map_err(system)?.map_err(system)
    })
}

fn open_audits(config: &Config, runtime: &Runtime) -> Result<Vec<Arc<Device>>, StartError> {
    let open = |device| audit::open(device, runtime.handle()).map(Arc::new);
    Ok(config.audits.iter().map(open).collect::<Result<Vec<_>, _>>()?)
}

fn listen(
    bound: Vec<Bound>,
    front: Front,
    workers: usize,
) -> Result<actix_web::dev::Server, StartError> {
    let front = web::Data::new(front);
    let app = move || App::new().app_data(front.clone()).default_service(web::to(api::serve));
    let mut http = HttpServer::new(app)
        .workers(workers)
        .max_connections(connections_max(process::raise_open_files(), workers))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_WITHIN)
        .shutdown_timeout(DRAIN_ANSWERS.as_secs())
        .tcp_nodelay(true)
        .disable_signals();
    for Bound { socket, tls, .. } in bound {
        http = match tls {
            None => http.listen(socket),
            Some(tls) => http.listen_rustls_0_23(socket, tls),
        }
        .map_err(system)?;
    }
    Ok(http.run())
}

/// Returns how many connections each worker may have, so that files are left for everything else.
fn connections_max(open_files: usize, workers: usize) -> usize {
    let kept = OPEN_FILES_KEPT.min(open_files / 2);
    let each = open_files.saturating_sub(kept).checked_div(workers);
    each.unwrap_or(CONNECTIONS_MAX).clamp(1, CONNECTIONS_MAX)
}

/// The signals that are heard; before, each of them would kill the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn caught() -> Result<Self, StartError> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(system)?,
            interrupt: signal(SignalKind::interrupt()).map_err(system)?,
            hang_up: signal(SignalKind::hangup()).map_err(system)?,
        })
    }

    /// Waits for the signal to end. On SIGHUP what can be given anew is.
    async fn until_told(mut self, reload: &mut Reload) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => reload.reload().await,
            }
        }
    }
}

/// Lets nobody in any more, begins nothing more, and lets what has begun go on to its end, within bounds; tells whether all
/// of it has come to its end.
async fn drain(server: &Server, front: &Front, http: ServerHandle, tasks: &Tracked) -> bool {
    tracing::info!("the server was told to end; it finishes what it has begun");
    http.pause().await;
    front.end();
    let answered = tokio::time::timeout(DRAIN_REQUESTS, front.serving.idle()).await.is_ok();
    if !answered {
        tracing::warn!("some requests are cut off; what they have begun is on leases");
    }
    http.stop(true).await;
    server.end_beside().await;
    let idle = tokio::time::timeout(DRAIN_ATTEMPTS, tasks.running.idle()).await.is_ok();
    if !idle {
        tracing::warn!("some attempts at targets are cut off; the next start goes on with them");
    }
    answered && idle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_everything_else() {
        assert_eq!(connections_max(1 << 20, 2), CONNECTIONS_MAX);
        assert_eq!(connections_max(usize::MAX, 2), CONNECTIONS_MAX);
        assert_eq!(connections_max(1024, 2), 256);
        assert_eq!(connections_max(100, 16), 3);
        assert_eq!(connections_max(10, 16), 1);
    }
}
