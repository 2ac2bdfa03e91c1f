//! A layer around each port that passes a point before the adapter is asked and after it has answered.

use super::{Point, pass};
use futures_core::stream::BoxStream;
use leasehold_core::access::password::PasswordPolicy;
use leasehold_core::audit::chain::Head;
use leasehold_core::audit::{Audit, AuditError, Beginning, Load};
use leasehold_core::broker::Ports;
use leasehold_core::broker::batch::LinePorts;
use leasehold_core::chance::Chance;
use leasehold_core::engine::denial::{Deniable, Denial, Denied, Standing};
use leasehold_core::engine::erased::{
    Chosen, Drafted, Fields, Kind, Listed, OpenTarget, Recipe, RoleRef, ToPutBack, ToRenew,
    ToRevoke,
};
use leasehold_core::engine::in_use::InUse;
use leasehold_core::engine::naming::Naming;
use leasehold_core::engine::rotation::{
    Account, AccountSecret, Administrator, Intent, Rotated, Tested,
};
use leasehold_core::engine::{EngineError, FieldError, Identity, Origin, PrepareError, Renewed};
use leasehold_core::ids::LeaseId;
use leasehold_core::lease::Handle;
use leasehold_core::secret::Secret;
use leasehold_core::store::{Batch, Entry, Key, Revision, Snapshot, Store, StoreError, Value};
use leasehold_core::tasks::Pending;
use leasehold_core::time::Timestamp;
use std::sync::Arc;

/// What lies around an adapter.
#[derive(Debug)]
struct Around<T>(T);

/// Puts points around the store and the audit.
pub(crate) fn around(ports: Ports) -> Ports {
    let audit = ports.audit.into_iter().map(|audit| Arc::new(Around(audit)) as Arc<dyn Audit>);
    Ports { store: Arc::new(Around(ports.store)), audit: audit.collect(), ..ports }
}

/// Puts points around every target that will be opened.
pub(crate) fn kinds(kinds: Vec<Arc<dyn Kind>>) -> Vec<Arc<dyn Kind>> {
    kinds.into_iter().map(|kind| Arc::new(Around(kind)) as Arc<dyn Kind>).collect()
}

impl Store for Around<Arc<dyn Store>> {
    fn get(&self, key: &Key) -> Pending<'_, Result<Option<(Value, Revision)>, StoreError>> {
        self.0.get(key)
    }

    fn range(
        &self,
        from: &Key,
        to: &Key,
        limit: usize,
    ) -> Pending<'_, Result<Vec<Entry>, StoreError>> {
        self.0.range(from, to, limit)
    }

    fn commit(&self, batch: Batch) -> Pending<'_, Result<Revision, StoreError>> {
        let (before, after) = around_commit(&batch);
        Box::pin(async move {
            pass(before);
            let answer = self.0.commit(batch).await;
            if answer.is_ok() {
                pass(after);
            }
            answer
        })
    }

    fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }

    fn changes(&self) -> BoxStream<'static, Option<Key>> {
        self.0.changes()
    }
}

/// Tells by its keys what a batch does.
fn around_commit(batch: &Batch) -> (Point, Point) {
    let is_lease = |key: &Key| key.0.starts_with(b"lease/");
    let is_token = |key: &Key| key.0.starts_with(b"token");
    let mut expected = batch.expected.iter();
    if expected.any(|(key, revision)| is_lease(key) && revision.is_none()) {
        (Point::IssueBeforeCommit, Point::IssueAfterCommit)
    } else if batch.deletes.iter().any(is_lease) {
        (Point::SettleBeforeCommit, Point::SettleAfterCommit)
    } else if batch.puts.iter().any(|(key, _)| is_lease(key)) {
        (Point::LeaseBeforeCommit, Point::LeaseAfterCommit)
    } else if batch.puts.iter().map(|(key, _)| key).chain(&batch.deletes).any(is_token) {
        (Point::TokenBeforeCommit, Point::TokenAfterCommit)
    } else {
        (Point::OtherBeforeCommit, Point::OtherAfterCommit)
    }
}

impl Audit for Around<Arc<dyn Audit>> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn acknowledges(&self) -> bool {
        self.0.acknowledges()
    }

    fn begin(&self, beginning: Beginning) -> Pending<'_, Result<(), AuditError>> {
        self.0.begin(beginning)
    }

    fn checkpoint(&self, last: bool) -> Pending<'_, Result<Option<Head>, AuditError>> {
        self.0.checkpoint(last)
    }

    fn load(&self) -> Load {
        self.0.load()
    }

    fn record(&self, line: String) -> Pending<'_, Result<(), AuditError>> {
        let (before, after) = around_record(&line);
        Box::pin(async move {
            pass(before);
            let answer = self.0.record(line).await;
            if answer.is_ok() {
                pass(after);
            }
            answer
        })
    }
}

fn around_record(line: &str) -> (Point, Point) {
    if line.contains(r#""operation":"revoke""#) {
        (Point::SettleBeforeRecord, Point::SettleAfterRecord)
    } else if line.contains(r#""type":"response""#) {
        (Point::AuditBeforeResponse, Point::AuditAfterResponse)
    } else {
        (Point::AuditBeforeRequest, Point::AuditAfterRequest)
    }
}

impl Kind for Around<Arc<dyn Kind>> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn is_called(&self, name: &str) -> bool {
        self.0.is_called(name)
    }

    fn family(&self) -> &'static str {
        self.0.family()
    }

    fn shown(&self, fields: &Fields) -> Result<Fields, FieldError> {
        self.0.shown(fields)
    }

    fn role(&self, fields: &Fields) -> Result<Fields, FieldError> {
        self.0.role(fields)
    }

    fn cautions(&self, fields: &Fields) -> Result<Vec<String>, FieldError> {
        self.0.cautions(fields)
    }

    fn forgets(&self, fields: &Fields) -> Result<bool, FieldError> {
        self.0.forgets(fields)
    }

    fn open(
        &self,
        fields: &Fields,
        origin: Origin,
        ports: LinePorts,
    ) -> Result<Arc<dyn OpenTarget>, FieldError> {
        Ok(Arc::new(Around(self.0.open(fields, origin, ports)?)))
    }

    fn check_account(&self, account: &Account) -> Result<(), FieldError> {
        self.0.check_account(account)
    }

    fn administrator(&self, fields: &Fields) -> Result<Option<Administrator>, FieldError> {
        self.0.administrator(fields)
    }

    fn with_secret(&self, fields: &Fields, secret: &AccountSecret) -> Result<Fields, FieldError> {
        self.0.with_secret(fields, secret)
    }
}

impl OpenTarget for Around<Arc<dyn OpenTarget>> {
    fn bind(&self, role: RoleRef<'_>) -> Result<Arc<dyn Recipe>, FieldError> {
        Ok(Arc::new(Around(self.0.bind(role)?)))
    }

    fn renew(&self, asked: ToRenew<'_>) -> Pending<'static, Result<Renewed, EngineError>> {
        pass(Point::RenewBeforeAsk);
        answered(self.0.renew(asked), Point::RenewAfterAnswer)
    }

    fn revoke(&self, asked: ToRevoke<'_>) -> Pending<'static, Result<(), EngineError>> {
        pass(Point::RevokeBeforeAsk);
        answered(self.0.revoke(asked), Point::RevokeAfterAnswer)
    }

    fn list(&self) -> Pending<'_, Result<Vec<Listed>, EngineError>> {
        self.0.list()
    }

    fn identity(&self) -> Pending<'_, Result<Identity, EngineError>> {
        self.0.identity()
    }

    fn lacks<'a>(
        &'a self,
        role: Option<RoleRef<'a>>,
    ) -> Pending<'a, Result<Vec<String>, EngineError>> {
        self.0.lacks(role)
    }

    fn intend<'a>(
        &'a self,
        account: &'a Account,
        chosen: Intent,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Intent, EngineError>> {
        self.0.intend(account, chosen, answer_by)
    }

    fn rotate<'a>(
        &'a self,
        account: &'a Account,
        intent: &'a Intent,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Rotated, EngineError>> {
        self.0.rotate(account, intent, answer_by)
    }

    fn tested<'a>(
        &'a self,
        account: &'a Account,
        secret: &'a AccountSecret,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Tested, EngineError>> {
        self.0.tested(account, secret, answer_by)
    }

    fn drop_replaced<'a>(
        &'a self,
        account: &'a Account,
        intent: &'a Intent,
        secret: &'a AccountSecret,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<(), EngineError>> {
        self.0.drop_replaced(account, intent, secret, answer_by)
    }

    fn put_back_as(&self, handle: &Handle) -> Result<Handle, EngineError> {
        self.0.put_back_as(handle)
    }

    fn put_back(&self, asked: Vec<ToPutBack>) -> Pending<'_, Vec<Result<(), EngineError>>> {
        self.0.put_back(asked)
    }

    fn armed_as(&self, handle: &Handle, answer_by: Timestamp) -> Result<Handle, EngineError> {
        self.0.armed_as(handle, answer_by)
    }

    fn arm<'a>(
        &'a self,
        lease: LeaseId,
        handle: &'a Handle,
        secret: &'a Intent,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Account, EngineError>> {
        self.0.arm(lease, handle, secret, answer_by)
    }

    fn in_use<'a>(
        &'a self,
        asked: &'a [(LeaseId, Handle)],
        answer_by: Timestamp,
    ) -> Pending<'a, Vec<Result<InUse, EngineError>>> {
        self.0.in_use(asked, answer_by)
    }

    fn deniable(
        &self,
        role: Option<RoleRef<'_>>,
        handle: &Handle,
    ) -> Result<Option<Deniable<Handle>>, EngineError> {
        self.0.deniable(role, handle)
    }

    fn deny<'a>(
        &'a self,
        denial: &'a Denial<Handle>,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Denied, EngineError>> {
        Box::pin(async move {
            pass(Point::RevokeBeforeAsk);
            let answer = self.0.deny(denial, answer_by).await;
            pass(Point::RevokeAfterAnswer);
            answer
        })
    }

    fn standing<'a>(
        &'a self,
        reached_by: &'a Handle,
        answer_by: Timestamp,
    ) -> Pending<'a, Result<Standing, EngineError>> {
        self.0.standing(reached_by, answer_by)
    }
}

impl Recipe for Around<Arc<dyn Recipe>> {
    fn prepare(
        &self,
        naming: &Naming<'_>,
        passwords: &PasswordPolicy,
        chance: &dyn Chance,
    ) -> Result<Box<dyn Drafted>, PrepareError> {
        Ok(Box::new(Around(self.0.prepare(naming, passwords, chance)?)))
    }

    fn choose(&self, said: &Fields) -> Result<Option<Chosen>, PrepareError> {
        let chosen = self.0.choose(said)?;
        Ok(chosen.map(|(recipe, own_end)| (Arc::new(Around(recipe)) as Arc<dyn Recipe>, own_end)))
    }
}

impl Drafted for Around<Box<dyn Drafted>> {
    fn handle(&self) -> &Handle {
        self.0.handle()
    }

    fn derives_for_long(&self) -> bool {
        self.0.derives_for_long()
    }

    fn derive(&mut self) {
        self.0.derive();
    }

    fn issue(
        self: Box<Self>,
        lapses_at: Timestamp,
        issue_by: Timestamp,
    ) -> Pending<'static, Result<Secret, EngineError>> {
        pass(Point::IssueBeforeAsk);
        answered(self.0.issue(lapses_at, issue_by), Point::IssueAfterAnswer)
    }
}

/// Waits for a target's answer, whatever it is, and passes the point.
fn answered<T: Send + 'static>(asked: Pending<'static, T>, after: Point) -> Pending<'static, T> {
    Box::pin(async move {
        let answer = asked.await;
        pass(after);
        answer
    })
}
