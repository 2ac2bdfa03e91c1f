//! What every engine has to do, whatever its target: the conformance suite, to be run on real servers.
//!
//! A test file makes a [`Site`] of each place that it runs its engine at, and has [`crate::engine_suite!`] make a test
//! of every case there. The cases are listed once, in `engine_suite/cases.rs`; the table in `docs/ENGINES.md` is
//! rendered from the same list. The tests assert, and name what was expected.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "the suite asserts: whatever is not as expected fails the test at once"
)]

pub mod batches;
pub mod cases;
pub mod in_use;
pub mod life;
pub mod listing;
pub mod proof;
pub mod rotation;
pub mod skew;
pub mod stops;
pub mod table;
pub mod way;

use leasehold_core::access::password::PasswordPolicy;
use leasehold_core::chance::Chance;
use leasehold_core::engine::naming::Naming;
use leasehold_core::engine::{
    Cause, Draft, Engine, EngineError, Issue, Origin, Renewal, Revocation, Unanswered,
};
use leasehold_core::ids::{InstallationId, LeaseId, TargetId};
use leasehold_core::secret::{Field, Secret};
use leasehold_core::time::{Clock, Timestamp};
use leasehold_server::time::SystemClock;
use std::collections::BTreeSet;
use std::fs::File;
use std::future::Future;
use std::io::{BufReader, Read as _};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;
use way::Way;

/// How long a credential of these tests is meant to live; none lives that long.
const TERM: Duration = Duration::from_hours(1);

/// How long a verb may take in these tests: 64 users at a stand-in for AWS are a thousand calls, on a machine that may
/// do other things as well.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A target with what the suite needs to see from outside what an engine did to it.
pub trait Site: Send + Sync + 'static {
    /// The engine under test.
    type Engine: Engine;
    /// An open session of a credential.
    type Session: Send;

    /// Returns the engine.
    fn engine(&self) -> &Arc<Self::Engine>;
    /// Returns a role that lets its credentials do what [`Site::works`] tries.
    fn role(&self) -> Arc<<Self::Engine as Engine>::Role>;
    /// Returns a lease no other has.
    fn lease(&self) -> LeaseId {
        lease()
    }
    /// Returns the name in a handle.
    fn name(&self, handle: &<Self::Engine as Engine>::Handle) -> String;
    /// Logs in as a client does.
    fn log_in(&self, secret: &Login) -> impl Future<Output = Result<Self::Session, String>> + Send;
    /// Tries whether a session is alive and may do what its role grants.
    fn works(&self, session: &mut Self::Session) -> impl Future<Output = bool> + Send;
    /// Returns the names of all credentials at the target, whoever made them.
    fn credentials(&self) -> impl Future<Output = BTreeSet<String>> + Send;
    /// Creates a credential by that name as somebody else would.
    fn plant(&self, name: &str) -> impl Future<Output = ()> + Send;
    /// Creates an account that the administrator may rotate, as an operator would.
    fn make_account(&self, name: &str) -> impl Future<Output = ()> + Send {
        self.plant(name)
    }
    /// Keeps a credential from logging in, as somebody else would.
    fn lock_out(&self, name: &str) -> impl Future<Output = ()> + Send;

    /// For whom the engine acts.
    fn origin(&self) -> Origin;
    /// The target's port on this machine.
    fn port(&self) -> u16;
    /// Opens the target once more, as another process would.
    fn opened_again(&self, opening: &Opening) -> Arc<Self::Engine>;
    /// Suspends the target: whatever is asked waits.
    fn suspend(&self);
    /// Lets it go on.
    fn resume(&self);
    /// Stops the target at once, as a crash does; or the way to it, where a target cannot be stopped.
    fn kill(&self, way: &Way);
    /// Starts it again with what it keeps.
    fn restart(&self, way: &Way);

    /// Whether a batch of issues is one step, of which all is done or nothing. Where it is not, each member has its own
    /// answer at once.
    const TOGETHER: bool = true;
    /// Whether the target knows sessions.
    const HAS_SESSIONS: bool = true;

    /// Returns what a client logs in with.
    fn login(&self, secret: &Secret) -> Login {
        Login::of(secret)
    }
    /// Returns the name of the credential that one logs in with.
    fn name_of(&self, login: &Login) -> impl Future<Output = String> + Send {
        std::future::ready(login.username.clone())
    }
}

/// How a target is opened once more.
#[derive(Clone, Debug)]
pub struct Opening {
    /// By which port of this machine it is reached.
    pub port: u16,
    /// For whom the engine acts.
    pub origin: Origin,
    /// What the engine takes the time to be.
    pub clock: Arc<dyn Clock>,
}

impl Opening {
    /// Opens it as the site's own engine does.
    pub fn of<S: Site>(site: &S) -> Self {
        Self { port: site.port(), origin: site.origin(), clock: clock() }
    }
}

/// What a client needs to log in.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user's name.
    pub username: String,
    /// Its password.
    pub password: String,
}

impl Login {
    /// Takes it out of what a caller is shown.
    #[must_use]
    pub fn of(secret: &Secret) -> Self {
        Self::of_fields(secret, ("username", "password"))
    }

    /// The same where the two are called otherwise.
    #[must_use]
    pub fn of_fields(secret: &Secret, (username, password): (&str, &str)) -> Self {
        let field = |wanted: &str| {
            let found = secret.fields().find(|(name, _)| *name == wanted);
            match found.expect("the secret has the field").1 {
                Field::Open(text) => text.clone(),
                Field::Hidden(text) => text.reveal().to_owned(),
            }
        };
        Self { username: field(username), password: field(password) }
    }
}

/// Chance from the system.
#[derive(Debug)]
pub struct Urandom;

/// Read ahead: a password is drawn byte by byte.
static SOURCE: LazyLock<Mutex<BufReader<File>>> = LazyLock::new(|| {
    Mutex::new(BufReader::new(File::open("/dev/urandom").expect("the system has chance")))
});

impl Chance for Urandom {
    fn fill(&self, bytes: &mut [u8]) {
        let mut source = SOURCE.lock().unwrap_or_else(PoisonError::into_inner);
        source.read_exact(bytes).expect("the system has chance");
    }
}

/// Returns the time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a real target lives in real time")]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(0).plus(since.expect("the clock is past 1970"))
}

/// Returns a lease no other has.
#[must_use]
pub fn lease() -> LeaseId {
    LeaseId::new(now(), &Urandom)
}

/// Returns a lease that was made a while ago: what is not there is then not merely not known everywhere yet.
#[must_use]
pub fn old_lease() -> LeaseId {
    LeaseId::new(now().minus(TERM), &Urandom)
}

/// Returns an origin no other has.
#[must_use]
pub fn origin() -> Origin {
    Origin {
        installation: InstallationId::new(now(), &Urandom),
        target: TargetId::new(now(), &Urandom),
    }
}

/// Prepares an issue as the broker does.
pub fn prepared<E: Engine>(
    engine: &E,
    role: &Arc<E::Role>,
    names: (&str, &str),
    time: Duration,
) -> Issue<E> {
    prepared_as(lease(), engine, role, names, time)
}

/// The same for a lease.
pub fn prepared_as<E: Engine>(
    lease: LeaseId,
    engine: &E,
    role: &Arc<E::Role>,
    names: (&str, &str),
    time: Duration,
) -> Issue<E> {
    let naming = Naming { lease, display_name: names.0, role_name: names.1, now: now() };
    let (handle, mut draft) = engine
        .prepare(role, &naming, &PasswordPolicy::default(), &Urandom)
        .expect("the credential can be named");
    engine.derive(role, &mut draft);
    let now = now();
    Issue {
        lease,
        handle,
        draft: Draft(draft),
        role: Arc::clone(role),
        lapses_at: now.plus(TERM),
        issue_by: now.plus(time),
    }
}

/// Asks for a number of credentials of one role.
pub fn asked<S: Site>(site: &S, number: usize) -> Vec<Issue<S::Engine>> {
    let role = site.role();
    let prepare =
        |_| prepared_as(site.lease(), &**site.engine(), &role, ("tester", "app"), PATIENCE);
    (0..number).map(prepare).collect()
}

/// Returns the revocation of an issue that was answered.
pub fn revocation<E: Engine>(issue: &Issue<E>) -> Revocation<E> {
    Revocation {
        lease: issue.lease,
        handle: issue.handle.clone(),
        role: Some(Arc::clone(&issue.role)),
        unanswered: None,
        lapses_at: issue.lapses_at,
        answer_by: now().plus(PATIENCE),
    }
}

/// Says that an issue is not known to have been answered and could land until then.
#[must_use]
pub fn until(at: Timestamp) -> Option<Unanswered> {
    Some(Unanswered { issue_by: at, settles_at: at })
}

/// Returns the clock that the times above come from.
#[must_use]
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::start().expect("the system has clocks"))
}

/// Returns the renewal of an issue.
pub fn renewal<E: Engine>(issue: &Issue<E>, lapses_at: Timestamp) -> Renewal<E> {
    Renewal {
        lease: issue.lease,
        handle: issue.handle.clone(),
        role: Arc::clone(&issue.role),
        lapses_at,
        answer_by: now().plus(PATIENCE),
    }
}

/// Issues and expects that all goes well.
pub async fn issued<S: Site>(site: &S, number: usize) -> Vec<(Issue<S::Engine>, Login)> {
    let asked = asked(site, number);
    let answers = site.engine().issue(&asked).await;
    assert_eq!(answers.len(), asked.len(), "every issue is answered");
    let logins: Vec<_> =
        answers.iter().map(|answer| site.login(answer.as_ref().expect("it is issued"))).collect();
    asked.into_iter().zip(logins).collect()
}

fn cause<T>(answer: &Result<T, EngineError>) -> Option<Cause> {
    answer.as_ref().err().map(|error| error.reason().cause)
}
