//! What every engine has to do, whatever its target: the conformance suite, to be run on real servers.
//!
//! A test file makes a [`Site`] of its target and calls these functions. They assert, and name what was
//! expected.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "the suite asserts: whatever is not as expected fails the test at once"
)]

pub mod proof;
pub mod rotation;

use leasehold_core::access::password::PasswordPolicy;
use leasehold_core::chance::Chance;
use leasehold_core::engine::naming::Naming;
use leasehold_core::engine::{
    Cause, Draft, Engine, EngineError, Issue, Origin, Renewal, Renewed, Revocation, Unanswered,
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

    /// Whether a batch of issues is one step, of which all is done or nothing. Where it is not, each member has its own
    /// answer at once.
    const TOGETHER: bool = true;

    /// Returns what a client logs in with.
    fn login(&self, secret: &Secret) -> Login {
        Login::of(secret)
    }
    /// Returns the name of the credential that one logs in with.
    fn name_of(&self, login: &Login) -> impl Future<Output = String> + Send {
        std::future::ready(login.username.clone())
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

/// A credential is issued, works, is renewed, is listed, and is gone with its sessions once revoked.
pub async fn a_credential_lives_and_dies<S: Site>(site: &S) {
    let mut issued = issued(site, 1).await;
    let (issue, login) = issued.pop().expect("one was issued");
    let mut session = site.log_in(&login).await.expect("the credential logs in");
    assert!(site.works(&mut session).await, "the credential may do what its role grants");

    let end = now().plus(2 * TERM);
    assert_eq!(site.engine().renew(&[renewal(&issue, end)]).await, [Ok(Renewed::Extended)]);
    let listed = site.engine().list().await.expect("the target lists what is ours");
    assert_eq!(listed.len(), 1, "only what is ours is listed: {listed:?}");
    assert_eq!(listed[0].lease, issue.lease);
    assert_eq!(site.name(&listed[0].handle), site.name(&issue.handle));
    if let Some(told) = listed[0].lapses_at {
        let difference = told.since(end).max(end.since(told));
        assert!(
            difference < Duration::from_secs(1),
            "the target knows the new end, to {difference:?}"
        );
    }

    assert_eq!(site.engine().revoke(&[revocation(&issue)]).await, [Ok(())]);
    assert!(!site.works(&mut session).await, "its open session has ended");
    assert!(site.log_in(&login).await.is_err(), "it logs in no more");
    assert!(
        site.engine().list().await.expect("the target lists").is_empty(),
        "nothing of ours is left"
    );
    assert_eq!(site.engine().renew(&[renewal(&issue, end)]).await, [Ok(Renewed::Gone)]);
}

/// Revoking what never was, or twice, is revoking.
pub async fn what_is_not_there_is_revoked<S: Site>(site: &S) {
    let never = asked(site, 1);
    assert_eq!(site.engine().revoke(&[revocation(&never[0])]).await, [Ok(())]);
    let (issue, _) = issued(site, 1).await.pop().expect("one was issued");
    for _ in 0..2 {
        assert_eq!(site.engine().revoke(&[revocation(&issue)]).await, [Ok(())]);
    }
}

/// A client that logs in again all the time is out once its credential is revoked.
pub async fn a_client_that_reconnects_is_cut_off<S: Site>(site: &Arc<S>) {
    let (issue, login) = issued(&**site, 1).await.pop().expect("one was issued");
    let (seen, mut first) = tokio::sync::mpsc::channel(1);
    let client = {
        let (site, login) = (Arc::clone(site), login.clone());
        tokio::spawn(async move {
            let mut sessions = Vec::new();
            // Ends once it is let in no more.
            while let Ok(session) = site.log_in(&login).await {
                sessions.push(session);
                let _ = seen.try_send(());
                if sessions.len() > 20 {
                    sessions.remove(0);
                }
            }
            sessions
        })
    };
    first.recv().await.expect("the client got in at first");
    assert_eq!(site.engine().revoke(&[revocation(&issue)]).await, [Ok(())]);
    let mut sessions =
        tokio::time::timeout(PATIENCE, client).await.expect("the client is out").expect("it ran");
    for session in &mut sessions {
        assert!(!site.works(session).await, "none of its sessions lives");
    }
}

/// A name that is taken is an error, never taken over. It refuses its whole batch, of which nothing is issued;
/// sent alone, as such a batch is, the others are.
pub async fn what_exists_is_never_taken_over<S: Site>(site: &S) {
    let asked = asked(site, 3);
    let taken = site.name(&asked[1].handle);
    site.plant(&taken).await;
    if S::TOGETHER {
        let before = site.credentials().await;
        for answer in site.engine().issue(&asked).await {
            assert!(matches!(answer, Err(EngineError::Refused(_))), "{answer:?}");
        }
        assert_eq!(site.credentials().await, before);
    }
    let mut answers = Vec::new();
    for one in asked.chunks(if S::TOGETHER { 1 } else { 3 }) {
        answers.append(&mut site.engine().issue(one).await);
    }
    assert!(answers[0].is_ok() && answers[2].is_ok(), "the others are issued: {answers:?}");
    let refused = answers[1].as_ref().expect_err("the taken name is an error");
    assert!(
        matches!(refused, EngineError::Uncertain(_)),
        "it may be our own, so it is uncertain: {refused:?}"
    );
    assert!(site.credentials().await.contains(&taken), "what was there is still there");
    let login = site.login(answers[0].as_ref().expect("it was issued"));
    assert!(
        site.log_in(&Login { username: taken, ..login }).await.is_err(),
        "and its password is its own"
    );
}

/// One revocation that cannot be done does not hold up the others; and nothing is removed whose name
/// does not bear the bits of the lease that is revoked.
pub async fn a_poisoned_revocation_harms_nobody_else<S: Site>(site: &S) {
    let issued = issued(site, 5).await;
    let mut revocations: Vec<_> = issued.iter().map(|(issue, _)| revocation(issue)).collect();
    revocations[2].lease = lease();
    let answers = site.engine().revoke(&revocations).await;
    assert_eq!(cause(&answers[2]), Some(Cause::NeedsOperator), "{answers:?}");
    assert!(
        answers.iter().enumerate().all(|(at, answer)| at == 2 || answer.is_ok()),
        "{answers:?}"
    );
    let left = site.credentials().await;
    for (at, (issue, login)) in issued.iter().enumerate() {
        assert_eq!(left.contains(&site.name(&issue.handle)), at == 2, "{at}");
        assert_eq!(site.log_in(login).await.is_ok(), at == 2, "{at}");
    }
    let answers =
        site.engine().renew(&[Renewal { lease: lease(), ..renewal(&issued[2].0, now()) }]).await;
    assert_eq!(cause(&answers[0]), Some(Cause::NeedsOperator), "a renewal minds the bits as well");
}

/// Many at once, in batches and alone, do not get in each other's way.
pub async fn sixty_four_at_once<S: Site>(site: &Arc<S>) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in [1, 1, 1, 1, 4, 8, 16, 32] {
        let site = Arc::clone(site);
        tasks.spawn(async move {
            let issued = issued(&*site, number).await;
            let (_, login) = issued.first().expect("some were issued");
            let mut session = site.log_in(login).await.expect("it logs in");
            assert!(site.works(&mut session).await, "it works");
            issued.into_iter().map(|(issue, _)| issue).collect::<Vec<_>>()
        });
    }
    let issues: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(issues.len(), 64);
    assert_eq!(site.engine().list().await.expect("the target lists").len(), 64);
    let revocations: Vec<_> = issues.iter().map(revocation).collect();
    let answers = site.engine().revoke(&revocations).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(site.engine().list().await.expect("the target lists").is_empty());
}

/// After `issue_by` nothing is created, and that is certain.
pub async fn a_late_issue_creates_nothing<S: Site>(site: &S) {
    let before = site.credentials().await;
    let mut late = asked(site, 2);
    for issue in &mut late {
        issue.issue_by = now().minus(Duration::from_secs(1));
    }
    let answers = site.engine().issue(&late).await;
    for answer in &answers {
        assert!(matches!(answer, Err(EngineError::Refused(_))), "{answer:?}");
        assert_eq!(cause(answer), Some(Cause::TooLate), "{answer:?}");
    }
    assert_eq!(site.credentials().await, before);
}

/// One whose time is up is answered so at once; those that share its batch have their own time.
pub async fn an_expired_member_leaves_its_batch_alone<S: Site>(site: &S) {
    let past = now().minus(Duration::from_secs(1));
    let mut issues = asked(site, 3);
    issues[1].issue_by = past;
    let answers = site.engine().issue(&issues).await;
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(matches!(answers[1], Err(EngineError::Refused(_))), "{answers:?}");
    assert_eq!(cause(&answers[1]), Some(Cause::TooLate), "{answers:?}");
    let logins = [&answers[0], &answers[2]].map(|answer| site.login(answer.as_ref().expect("Ok")));
    for (login, at) in logins.iter().zip([0, 2]) {
        let name = site.name_of(login).await;
        assert_eq!(name, site.name(&issues[at].handle), "each has its own answer");
    }
    assert!(!site.credentials().await.contains(&site.name(&issues[1].handle)));

    let end = now().plus(2 * TERM);
    let mut renewals: Vec<_> = issues.iter().map(|issue| renewal(issue, end)).collect();
    renewals[0].answer_by = past;
    let answers = site.engine().renew(&renewals).await;
    assert_eq!(cause(&answers[0]), Some(Cause::TooLate), "{answers:?}");
    assert_eq!(answers[1..], [Ok(Renewed::Gone), Ok(Renewed::Extended)]);

    let mut revocations: Vec<_> = issues.iter().map(revocation).collect();
    revocations[0].answer_by = past;
    let answers = site.engine().revoke(&revocations).await;
    assert_eq!(cause(&answers[0]), Some(Cause::TooLate), "{answers:?}");
    assert_eq!(answers[1..], [Ok(()), Ok(())]);
    assert!(site.log_in(&logins[0]).await.is_ok() && site.log_in(&logins[1]).await.is_err());
    assert_eq!(site.engine().revoke(&[revocation(&issues[0])]).await, [Ok(())]);
}

/// An absence proves nothing while an unanswered issue may still land.
pub async fn an_unanswered_issue_is_not_counted_before_its_time<S: Site>(site: &S) {
    let never = asked(site, 2);
    let mut revocations: Vec<_> = never.iter().map(revocation).collect();
    revocations[0].unanswered = until(now().plus(TERM));
    revocations[1].unanswered = until(now().minus(TERM));
    let answers = site.engine().revoke(&revocations).await;
    assert_eq!(cause(&answers[0]), Some(Cause::Contended), "{answers:?}");
    assert_eq!(answers[1], Ok(()));
    // One that landed is removed before its time as well: it can land only once.
    let (issue, login) = issued(site, 1).await.pop().expect("one was issued");
    let landed = Revocation { unanswered: until(now().plus(TERM)), ..revocation(&issue) };
    assert_eq!(site.engine().revoke(&[landed]).await, [Ok(())]);
    assert!(site.log_in(&login).await.is_err());
}

/// Names made of hostile words are names.
pub async fn hostile_names_are_names<S: Site>(site: &S) {
    let role = site.role();
    for (display_name, role_name) in
        [("a\"; --", "b'; --"), ("\\'\"", "$$"), ("é€😀", "{{name}}"), ("/* x", ";%s?"), ("", "")]
    {
        let names = (display_name, role_name);
        let asked = [prepared_as(site.lease(), &**site.engine(), &role, names, PATIENCE)];
        let answers = site.engine().issue(&asked).await;
        let login = site
            .login(answers[0].as_ref().unwrap_or_else(|error| panic!("{display_name}: {error}")));
        let name = site.name_of(&login).await;
        assert!(site.credentials().await.contains(&name), "{login:?}");
        let mut session = site.log_in(&login).await.expect("it logs in");
        assert!(site.works(&mut session).await);
        assert_eq!(site.engine().revoke(&[revocation(&asked[0])]).await, [Ok(())], "{login:?}");
        assert!(!site.credentials().await.contains(&name));
    }
}

/// What an engine is opened with is for one target; another's credentials are not listed.
pub async fn only_our_own_is_listed<S: Site>(site: &S, other: &S::Engine) {
    let (issue, _) = issued(site, 1).await.pop().expect("one was issued");
    assert!(other.list().await.expect("the other lists").is_empty());
    let answer = other.revoke(&[revocation(&issue)]).await;
    assert_eq!(
        cause(&answer[0]),
        Some(Cause::NeedsOperator),
        "another installation's mark is respected"
    );
    assert!(site.credentials().await.contains(&site.name(&issue.handle)));
}
