//! The ports and the limits, nothing else: what stands between callers, store and targets.
//!
//! Each verb is one file below, and each file is read from top to bottom.

mod abandon;
mod access;
mod adopt;
mod approle;
mod audited_headers;
mod authenticate;
mod backup;
pub mod batch;
mod clock;
mod count;
mod cubbyhole;
mod deny;
mod flights;
mod generate_root;
mod holders;
mod housekeep;
mod idempotency;
mod identity;
mod in_hand;
mod issue;
mod key_ring;
mod lanes;
mod login;
mod lookup;
mod mass_revocation;
mod method;
mod mount;
mod open_targets;
mod password_policy;
mod policy;
mod proof;
mod put_back;
mod quota;
mod reconcile;
mod recording;
mod rehearse;
mod rekey;
mod remount;
mod renew;
mod reserve;
mod restored;
mod revoke;
mod role;
mod rotate;
mod skew;
mod static_role;
mod sweep;
mod target;
mod token;
mod userpass;
mod whois;
mod wrapping;

pub use abandon::{Abandon, AbandonError, AllGone, Gone};
pub use access::held;
pub use approle::{AppRoleWrite, SecretIdMade, SecretIdView, SecretIdWrite, WhichSecretId};
pub use authenticate::{AdmitError, Caller};
pub use backup::{Backup, BackupError};
pub use clock::{ClockAccepted, ClockError, ClockState, ClockView};
pub use count::Readings;
pub use cubbyhole::{CubbyholeError, Kept};
pub use generate_root::{OTP_CHARS, RootGeneration, decoded_root_token};
pub use holders::HolderError;
pub use idempotency::{BadIdempotencyKey, IdempotencyKey};
pub use identity::{
    AliasView, AliasWrite, EntityView, EntityWrite, GroupView, GroupWrite, IdentityError, Listed,
    LookedFor, Merge, Page, Which, Written,
};
pub use issue::{IssueError, Issued};
pub use key_ring::{KeyRingError, RotationWrite};
pub use lanes::InHand;
pub use login::LoginError;
pub use lookup::{FailedLeases, FailedRevocation, LeaseView, LookupError};
pub use mass_revocation::{
    Left, MassRevocationError, MassRevocationView, MassRevocations, PlanAsked, PlanCursor, PlanOf,
    Planned, RevocationPlan, Trouble,
};
pub use method::{LockedName, MethodError};
pub use mount::{LockoutWrite, MountError, MountTune, MountWrite, Side, VisibleMounts};
pub use password_policy::{PasswordPolicyError, PasswordPolicyText};
pub use policy::{AllGranted, Granted, PolicyError, PolicyView};
pub use quota::{QuotaConfigWrite, QuotaError, QuotaWrite, TooOften};
pub use reconcile::{
    Compared, Difference, Kind as DifferenceKind, LastCompared, ReconcileError, Repair, Repaired,
    Report,
};
pub use recording::{DeviceError, KeysDrawn, first_public_keys};
pub use rehearse::{Act, Rehearsal, RehearseError, Step};
pub use rekey::Rekeying;
pub use remount::Moved;
pub use renew::{RenewError, RenewedLease};
pub use reserve::TooManyLeases;
pub use restored::{HeldTarget, TakeOverError};
pub use revoke::{RevokeError, Revoked, StillTried, Until};
pub use role::{Cautions, RoleError, RoleView, RoleWrite};
pub use rotate::{OlderSecret, RotateError};
pub use skew::TargetSkew;
pub use static_role::{StaticCredential, StaticRoleError, StaticRoleView, StaticRoleWrite};
pub use sweep::Swept;
pub use target::{TargetError, TargetView, TargetWrite};
pub(crate) use token::root_token;
pub use token::{
    Children, TokenError, TokenKind, TokenMade, TokenRequest, TokenRoleWrite, TokenView,
    WhichToken, entity_told, found, found_with_holders,
};
pub use userpass::UserWrite;
pub use whois::{AccountKnown, Holder, Stage, Whois, WhoisError, Whose};
pub use wrapping::{Unwrapped, WrapError, Wrapping};

use crate::access::lockout::Lockouts;
use crate::access::policy::Right;
use crate::access::throttle::Throttle;
use crate::access::token::{BatchRing, Token};
use crate::address::{ClientAddress, Network};
use crate::audit::{Asked, Audit, AuditError, Trail};
use crate::backup::BackupKey;
use crate::chance::Chance;
use crate::engine::erased::Kind;
use crate::ids::{BootId, InstallationId, LeaseId, MountId, TokenAccessor};
use crate::lease::id_key::IdKey;
use crate::lease::queue::Queue;
use crate::lease::{Lease, LeaseState};
use crate::limits::{AUDIT_WITHIN, Limits};
use crate::metrics::Metrics;
use crate::mount::Catalog;
use crate::quota::estimates::Estimates;
use crate::quota::tallies::Tallies;
use crate::seal::{Unsealed, ring};
use crate::secret::{Locked, SecretText};
use crate::store::records::{Found, Records};
use crate::store::tokens::TokenKey;
use crate::store::{Batch, Revision, Store, StoreError};
use crate::tasks::Tasks;
use crate::time::{Clock, Timestamp};
use aws_lc_rs::hmac;
use futures_channel::mpsc;
use futures_util::future::{Either, select};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How the broker reaches the world.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub chance: Arc<dyn Chance>,
    /// Work beside the caller.
    pub tasks: Arc<dyn Tasks>,
    /// Where requests and revocations are recorded; on none if there is none, as in Vault.
    pub audit: Vec<Arc<dyn Audit>>,
}

/// Stands between callers, store and targets. Exists only while the store is unsealed.
pub struct Broker {
    records: Records,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
    tasks: Arc<dyn Tasks>,
    trail: Trail,
    token_key: Arc<Locked<hmac::Key>>,
    backup_key: BackupKey,
    lease_ids: IdKey,
    /// The keys that seal batch tokens, as they were read last.
    batch_ring: RwLock<Arc<BatchRing>>,
    installation: InstallationId,
    boot: BootId,
    /// When this process began, in milliseconds since the epoch; moved with the clock, so that what has passed since
    /// is what has truly passed.
    began_at: AtomicU64,
    limits: Limits,
    kinds: Vec<Arc<dyn Kind>>,
    catalog: RwLock<Arc<Catalog>>,
    reloading: futures_util::lock::Mutex<()>,
    mounting: futures_util::lock::Mutex<()>,
    /// The mounts that were moved last, the latest first.
    moves: Mutex<VecDeque<Moved>>,
    /// What the holders of key shares have begun.
    begun: holders::Begun,
    /// Held by the backup that is being taken.
    backing_up: Arc<futures_util::lock::Mutex<()>>,
    open_targets: open_targets::OpenTargets,
    skews: skew::Skews,
    put_backs: put_back::PutBacks,
    /// What is to be refused until it ends by itself.
    denials: deny::Denials,
    /// What credentials were armed with that are being revoked.
    controls: proof::Controls,
    clock_watch: Mutex<clock::ClockWatch>,
    /// Issues that callers wait for.
    issuing: flights::Flights,
    /// Issues of this process that were never answered, or not for sure. An issue of another process is
    /// taken for unanswered until it settles.
    unanswered: Mutex<HashSet<LeaseId>>,
    /// Leases of which a renewal or an attempt to revoke goes on.
    turns: flights::Flights,
    /// Answers that their callers may ask for again.
    repeats: idempotency::Repeats,
    /// What tokens may do.
    compiled: access::Compiled,
    leases_due: Mutex<Queue>,
    tokens_due: Mutex<Queue>,
    /// Tokens that have ended and are being told of and removed: so that none is told of twice.
    tokens_in_hand: in_hand::InHand<TokenKey>,
    lanes: lanes::Lanes,
    counted: quota::Counted,
    /// The leases of each role, where a quota bounds them.
    tallies: Mutex<Tallies>,
    /// About how many leases each token and role has.
    estimates: Mutex<Estimates>,
    /// Passwords that are being checked, and those that wait for it.
    hashing: login::Hashing,
    /// Who has guessed too often.
    lockouts: Mutex<Lockouts>,
    /// Networks whose logins fail too often.
    throttle: Mutex<Throttle>,
    /// Targets that are being compared with a store that was restored.
    comparisons: restored::Comparisons,
    /// What was found when targets were compared with the leases.
    plans: reconcile::Plans,
    /// Roles that are being rehearsed.
    rehearsing: in_hand::InHand<(MountId, String)>,
    /// When they are compared next by themselves.
    reconciles: reconcile::Schedule,
    /// Accounts that are being rotated, and when to look at the others.
    rotations: rotate::Rotations,
    /// Secrets that were tried since a restore, for whoever asked for them.
    tried: rotate::Tried,
    /// Mass revocations that go on, and when to look at them.
    mass_revocations: mass_revocation::Jobs,
    metrics: Metrics,
    /// Until when the sweep sleeps, in milliseconds since the epoch; the last one of all while it is awake, so
    /// that whatever becomes due meanwhile wakes it again.
    asleep_until: AtomicU64,
    wake: mpsc::Sender<()>,
}

/// A request, as its caller sent it.
#[derive(Debug, Default)]
pub struct Request {
    /// What the audit sees of it.
    pub asked: Asked,
    /// The token it came with.
    pub token: Option<SecretText>,
    /// What its route needs.
    pub right: Right,
    /// For how long its answer is to be wrapped, if it is to be.
    pub wrap_ttl: Option<Duration>,
    /// What makes it the same request as another, if its caller says that it may be.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl Request {
    /// Returns whom it is counted for.
    pub(crate) fn network(&self) -> Option<Network> {
        self.asked.from.map(ClientAddress::network)
    }
}

impl Broker {
    /// Stands before an unsealed store. The receiver is told whenever something may be due earlier than the last
    /// sweep said.
    pub async fn open(
        ports: Ports,
        unsealed: Unsealed,
        kinds: Vec<Arc<dyn Kind>>,
        limits: Limits,
    ) -> Result<(Arc<Self>, mpsc::Receiver<()>), StoreError> {
        ring::begin_count(&*ports.store, &unsealed.barrier).await?;
        let records = Records::new(ports.store, unsealed.barrier, Arc::clone(&ports.chance));
        let clock_watch = clock::ClockWatch::begin(&records, &*ports.clock).await?;
        let catalog = Catalog::load(&records, ports.clock.now()).await?;
        let trail = Trail::open(ports.audit, &records, unsealed.installation, &ports.clock).await?;
        let boot = BootId::new(ports.clock.now(), &*ports.chance);
        let (wake, woken) = mpsc::channel(1);
        let broker = Self {
            records,
            trail,
            repeats: idempotency::Repeats::new(&unsealed.token_key),
            lease_ids: IdKey::new(&unsealed.token_key),
            token_key: unsealed.token_key,
            backup_key: unsealed.backup_key,
            batch_ring: RwLock::default(),
            installation: unsealed.installation,
            boot,
            began_at: AtomicU64::new(ports.clock.now().0),
            limits,
            kinds,
            catalog: RwLock::new(Arc::new(catalog)),
            reloading: futures_util::lock::Mutex::default(),
            mounting: futures_util::lock::Mutex::default(),
            moves: Mutex::default(),
            begun: holders::Begun::default(),
            backing_up: Arc::default(),
            open_targets: open_targets::OpenTargets::default(),
            skews: skew::Skews::default(),
            put_backs: put_back::PutBacks::default(),
            denials: deny::Denials::default(),
            controls: proof::Controls::default(),
            clock_watch: Mutex::new(clock_watch),
            issuing: flights::Flights::default(),
            unanswered: Mutex::default(),
            turns: flights::Flights::default(),
            compiled: access::Compiled::default(),
            leases_due: Mutex::default(),
            tokens_due: Mutex::default(),
            tokens_in_hand: in_hand::InHand::default(),
            lanes: lanes::Lanes::default(),
            counted: quota::Counted::default(),
            tallies: Mutex::default(),
            estimates: Mutex::default(),
            hashing: login::Hashing::default(),
            lockouts: Mutex::default(),
            throttle: Mutex::default(),
            comparisons: restored::Comparisons::default(),
            plans: reconcile::Plans::default(),
            rehearsing: in_hand::InHand::default(),
            reconciles: reconcile::Schedule::default(),
            rotations: rotate::Rotations::default(),
            tried: rotate::Tried::default(),
            mass_revocations: mass_revocation::Jobs::default(),
            metrics: Metrics::default(),
            asleep_until: AtomicU64::new(u64::MAX),
            wake,
            clock: ports.clock,
            chance: ports.chance,
            tasks: ports.tasks,
        };
        Ok((Arc::new(broker).ready().await?, woken))
    }

    /// Does what comes before anything comes or goes.
    async fn ready(self: Arc<Self>) -> Result<Arc<Self>, StoreError> {
        // Without it callers may do less, and nothing else is amiss.
        if let Err(error) = access::make_default_policy(&self.records, self.clock.now()).await {
            tracing::warn!(%error, "the policy `default` could not be made; the next start tries again");
        }
        self.count_if_needed().await?;
        self.find_rotations(true).await?;
        self.record_undeclared().await;
        self.find_mass_revocations(true).await?;
        Ok(self)
    }

    /// Returns which installation this is.
    pub fn installation(&self) -> InstallationId {
        self.installation
    }

    /// Makes an id for a lease, by which this installation knows it again wherever it stands.
    pub fn new_lease_id(&self) -> LeaseId {
        self.lease_ids.draw(self.clock.now(), &*self.chance)
    }

    /// Returns the time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// When this process began, by the clock as it is now.
    fn began_at(&self) -> Timestamp {
        Timestamp(self.began_at.load(Ordering::Acquire))
    }

    /// Returns what operators have set up, as it is now.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read())
    }

    /// Returns the limits of the whole installation.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Reads anew what operators have set up, after a change of it or a conflict over it.
    async fn reload(&self) -> Result<(), StoreError> {
        self.reload_unless_read_since(Timestamp(u64::MAX)).await
    }

    /// Does the same unless it was read after `since`.
    async fn reload_unless_read_since(&self, since: Timestamp) -> Result<(), StoreError> {
        // One at a time: of two that ran at once, the one that read less could be kept.
        let _reloading = self.reloading.lock().await;
        if self.catalog().read_at() > since {
            return Ok(());
        }
        let catalog = Arc::new(Catalog::load(&self.records, self.clock.now()).await?);
        *self.catalog.write() = catalog;
        Ok(())
    }

    /// Notes that a lease needs a look at `at`.
    fn due(&self, id: LeaseId, at: Timestamp) {
        self.leases_due.lock().push(at, *id.bytes());
        self.wake_sweep_by(at);
    }

    /// Keeps what became of a lease, and sees that the sweep looks at it in time: also where nobody knows whether it
    /// was kept.
    async fn keep_lease(&self, was: &Found<Lease>, lease: &Lease) -> Result<Revision, StoreError> {
        self.keep_lease_if(was, lease, Batch::default()).await
    }

    /// The same, if whatever else the batch expects is so.
    async fn keep_lease_if(
        &self,
        was: &Found<Lease>,
        lease: &Lease,
        batch: Batch,
    ) -> Result<Revision, StoreError> {
        let outcome = self.records.replace_lease(was, lease, batch).await;
        if matches!(outcome, Ok(_) | Err(StoreError::Uncertain(_))) {
            self.due(lease.id(), lease.due_at());
            if let (LeaseState::Revoking(_), Some(key)) = (lease.state(), lease.repeat_key()) {
                self.repeats.forget(key, lease.id());
            }
        }
        if let (Ok(_), LeaseState::Held, LeaseState::Revoking(revoking)) =
            (&outcome, was.record.state(), lease.state())
        {
            self.metrics.begun(revoking.cause);
        }
        outcome
    }

    /// The same for a token.
    async fn keep_token(&self, was: &Found<Token>, token: &Token) -> Result<Revision, StoreError> {
        self.keep_token_if(Batch::default(), was, token).await
    }

    /// The same, if all is as the batch expects.
    async fn keep_token_if(
        &self,
        batch: Batch,
        was: &Found<Token>,
        token: &Token,
    ) -> Result<Revision, StoreError> {
        let batch = self.records.put_changed_token(batch, was, token)?;
        let outcome = self.records.commit(batch).await;
        if let (Ok(_) | Err(StoreError::Uncertain(_)), Some(at)) = (&outcome, token.due_at()) {
            self.token_due(token.accessor, at);
        }
        outcome
    }

    /// Waits for an audit record, but not for ever: a device that hangs has not recorded.
    async fn recorded(
        &self,
        record: impl Future<Output = Result<(), AuditError>>,
    ) -> Result<(), AuditError> {
        let deadline = self.tasks.sleep_until(self.clock.now().plus(AUDIT_WITHIN));
        let outcome = match select(std::pin::pin!(record), deadline).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(AuditError {
                device: self.trail.names(true),
                reason: format!("none answered within {} s", AUDIT_WITHIN.as_secs()),
            }),
        };
        outcome.inspect_err(|_| self.metrics.unrecorded.one())
    }

    /// Notes that a token needs a look at `at`.
    fn token_due(&self, accessor: TokenAccessor, at: Timestamp) {
        self.tokens_due.lock().push(at, *accessor.bytes());
        self.wake_sweep_by(at);
    }

    /// Wakes the sweep if it sleeps beyond `at`.
    fn wake_sweep_by(&self, at: Timestamp) {
        if at.0 < self.asleep_until.load(Ordering::Acquire) {
            self.wake_sweep();
        }
    }

    fn wake_sweep(&self) {
        // Full means that it has been woken and not yet looked.
        let _ = self.wake.clone().try_send(());
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("installation", &self.installation).finish_non_exhaustive()
    }
}
