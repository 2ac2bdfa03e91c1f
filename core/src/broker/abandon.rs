//! Ends the leases of a target that is gone for ever, on the word of an operator and without asking it.
//!
//! The word is one record, and everything else follows from it: housekeeping takes every lease of that target from its
//! holder, as often as it takes, and the sweep ends each without asking. This is the only way that a lease ends whose
//! credential nobody has seen gone (law 2), so it is only for what is not configured any more, it is told of in every
//! history that it leaves, and a comparison shows such a credential should its server come back.

use super::authenticate::{AdmitError, Caller, Recorded};
use super::lanes::Lane;
use super::{Broker, Request};
use crate::audit::Answer;
use crate::ids::{MountId, TargetId};
use crate::lease::{Cause, Generation};
use crate::limits::REASON_BYTES_MAX;
use crate::mount::Catalog;
use crate::store::abandonments::Abandonment;
use crate::store::leases::Placed;
use crate::store::mounts::{Mount, Target};
use crate::store::records::Found;
use crate::store::{Batch, StoreError};
use std::sync::Arc;

/// What is to be abandoned.
#[derive(Clone, Debug, Default)]
pub struct Abandon {
    /// The mount that the target is in, or was.
    pub mount: String,
    /// What it is called.
    pub name: String,
    /// Which of several that had the name, as [`Gone::generation`] tells it.
    pub generation: Option<String>,
    /// Why, in an operator's words.
    pub reason: String,
}

/// One that had a target's name and is configured no longer.
#[derive(Clone, Debug)]
pub struct Gone {
    /// Names it among those that had the name.
    pub generation: String,
    /// Leases that it still has.
    pub leases: usize,
    /// What was decided of it, if anything was.
    pub abandonment: Option<Abandonment>,
    /// By what credentials of it are refused until they end: nobody takes that away once their leases have ended.
    pub denials: Vec<String>,
}

/// All that had a target's name and still have leases, or were abandoned.
#[derive(Clone, Debug)]
pub struct AllGone(pub Vec<Gone>);

/// A target is not abandoned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbandonError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// Nothing is left of a target of this name, or there never was one.
    #[error(
        "no target that was called `{0}` has leases left; name mount and target, as in `database/shop` or `aws/root`"
    )]
    Nothing(String),
    /// It is in use.
    #[error(
        "the target `{0}` is configured, and may issue; if it is gone for ever, delete its configuration first, or \
         disable its mount"
    )]
    Configured(String),
    /// Others had the name.
    #[error(
        "the name `{name}` was that of {}; say in `generation` which of them is gone for ever",
        .generations.join(" and of ")
    )]
    Which {
        /// The name.
        name: String,
        /// Those that have leases left.
        generations: Vec<String>,
    },
    /// Nobody would know why.
    #[error("`reason` must say why the target is abandoned, in {REASON_BYTES_MAX} bytes at most")]
    NoReason,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Recorded for AllGone {
    fn recorded(&self) -> Answer {
        let told = self.0.iter().map(|gone| (gone.generation.clone(), gone.leases.into()));
        Answer::data(Some(serde_json::Value::Object(told.collect())))
    }
}

impl Recorded for Gone {
    fn recorded(&self) -> Answer {
        let Self { generation, leases, denials, .. } = self;
        let told =
            serde_json::json!({ "generation": generation, "leases": leases, "denials": denials });
        Answer::data(Some(told))
    }
}

/// One that is configured no longer, while its configuration is kept for revoking.
struct Kept<'a> {
    target: &'a Arc<Found<Target>>,
    /// The mount it is in, if that was disabled and it with it.
    closed: Option<&'a Found<Mount>>,
}

impl Kept<'_> {
    fn lane(&self) -> Lane {
        (self.target.record.id, self.target.record.generation)
    }
}

impl Broker {
    /// Shows what could be abandoned under a name, and what was.
    pub async fn gone(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
    ) -> Result<AllGone, AbandonError> {
        self.served(request, async |_| {
            let catalog = self.catalog();
            let mut all = Vec::new();
            for kept in kept(&catalog, mount, name) {
                let denials = self.denials_of(kept.lane()).await?;
                all.push(self.as_gone(&catalog, &kept, denials).await?);
            }
            all.retain(|gone: &Gone| gone.leases > 0 || gone.abandonment.is_some());
            let forgotten = catalog.abandonments().filter(|(at, abandonment)| {
                catalog.target(at.0, at.1).is_none() && is_of(abandonment, mount, name)
            });
            all.extend(forgotten.map(|(at, abandonment)| Gone {
                generation: generation_name(*at),
                leases: 0,
                abandonment: Some(abandonment.clone()),
                denials: Vec::new(),
            }));
            if !all.is_empty() {
                return Ok(AllGone(all));
            }
            Err(none_left(&catalog, mount, name))
        })
        .await
    }

    /// Abandons a target: its leases end without asking it. Asked again, tells how many are left.
    pub async fn abandon(
        self: &Arc<Self>,
        request: &Request,
        wanted: Abandon,
    ) -> Result<Gone, AbandonError> {
        self.written(request, async |caller: Caller| {
            let reason = wanted.reason.trim();
            if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
                return Err(AbandonError::NoReason);
            }
            self.abandon_now(&caller, &wanted, reason).await
        })
        .await
    }

    async fn abandon_now(
        self: &Arc<Self>,
        caller: &Caller,
        wanted: &Abandon,
        reason: &str,
    ) -> Result<Gone, AbandonError> {
        let catalog = self.catalog();
        let kept = self.chosen(&catalog, wanted).await?;
        let (target, lane) = (&kept.target.record, kept.lane());
        // Looked for while its leases are there: only they say whose a denial is.
        let denials = self.denials_of(lane).await?;
        if catalog.abandonment(lane.0, lane.1).is_none() {
            let token = &caller.token.record;
            let abandonment = Abandonment {
                mount: target.mount,
                path: wanted.mount.clone(),
                name: target.name.clone(),
                at: self.clock.now(),
                by: token.display_name.clone(),
                accessor: token.accessor,
                entity: token.entity,
                reason: reason.to_owned(),
            };
            let batch = caller.rights.expected(Batch::default());
            self.records.abandon(kept.target, kept.closed, &abandonment, batch).await?;
            self.reload().await?;
            let name = self.target_name(target);
            tracing::warn!(%name, reason, ?denials, "a target is abandoned; its leases end without asking it");
        }
        self.close_target(lane.0, lane.1);
        self.lanes.answered(lane);
        self.end_abandoned_soon(target.mount, lane);
        Ok(self.as_gone(&self.catalog(), &kept, denials).await?)
    }

    /// Returns the one that is meant, if there is no doubt.
    async fn chosen<'a>(
        &self,
        catalog: &'a Catalog,
        wanted: &Abandon,
    ) -> Result<Kept<'a>, AbandonError> {
        let Abandon { mount, name, generation, .. } = wanted;
        let mut left = Vec::new();
        for kept in kept(catalog, mount, name) {
            let is_named = generation.as_ref() == Some(&generation_name(kept.lane()));
            if is_named {
                return Ok(kept);
            }
            let (id, number) = kept.lane();
            if self.has_leases(kept.target.record.mount, id, number).await? {
                left.push(kept);
            }
        }
        let is_configured = catalog.at(mount).is_some_and(|at| at.targets.contains_key(name));
        let only = left.len() == 1 && !is_configured && generation.is_none();
        if only && let Some(kept) = left.pop() {
            return Ok(kept);
        }
        if left.is_empty() {
            return Err(none_left(catalog, mount, name));
        }
        let generations = left.iter().map(|kept| generation_name(kept.lane())).collect();
        Err(AbandonError::Which { name: format!("{mount}{name}"), generations })
    }

    async fn as_gone(
        &self,
        catalog: &Catalog,
        kept: &Kept<'_>,
        denials: Vec<String>,
    ) -> Result<Gone, StoreError> {
        let lane = kept.lane();
        Ok(Gone {
            generation: generation_name(lane),
            leases: self.count_leases(kept.target.record.mount, lane).await?,
            abandonment: catalog.abandonment(lane.0, lane.1).cloned(),
            denials,
        })
    }

    async fn count_leases(&self, mount: MountId, lane: Lane) -> Result<usize, StoreError> {
        let (mut after, mut count) = (None, 0_usize);
        while let Some((last, here)) = self.records.leases_at(mount, lane, after.as_ref()).await? {
            count = count.saturating_add(here.len());
            after = Some(last);
        }
        Ok(count)
    }

    /// Goes on with all abandoned targets: a process may have died before it had taken all of their leases.
    pub(super) fn go_on_abandoning(self: &Arc<Self>) {
        let catalog = self.catalog();
        for ((id, generation), _) in catalog.abandonments() {
            if let Some(target) = catalog.target(*id, *generation) {
                self.end_abandoned_soon(target.record.mount, (*id, *generation));
            }
        }
    }

    /// Takes all leases of an abandoned target from their holders, beside the caller; the sweep ends them.
    fn end_abandoned_soon(self: &Arc<Self>, mount: MountId, lane: Lane) {
        let broker = Arc::clone(self);
        self.tasks.spawn(Box::pin(async move {
            let is_meant = |placed: &Placed| (placed.target, placed.generation) == lane;
            let places = [(mount, None)];
            let marked = broker.mark_all(&places, Cause::Abandoned, is_meant);
            if let Err(error) = marked.await {
                tracing::error!(%error, "the leases of an abandoned target are not all marked; this is tried again");
            }
        }));
    }

    /// Returns under which id a target is written whose name was that of an abandoned one, and as which identity of
    /// it: should it be the same server, what was left there bears that id.
    pub(super) fn successor(
        &self,
        mount: &Found<Mount>,
        name: &str,
    ) -> Option<(TargetId, Generation)> {
        let catalog = self.catalog();
        let of_name = |abandonment: &Abandonment| {
            abandonment.mount == mount.record.id && abandonment.name == name
                || is_of(abandonment, &mount.record.path, name)
        };
        let abandoned = catalog.abandonments().filter(|(_, abandonment)| of_name(abandonment));
        let ((id, _), _) = abandoned.max_by_key(|(_, abandonment)| abandonment.at)?;
        let targets = catalog.targets().map(|target| (target.record.id, target.record.generation));
        let known = targets.chain(catalog.abandonments().map(|(at, _)| *at));
        let last = known.filter(|(known, _)| known == id).map(|(_, number)| number).max()?;
        Some((*id, Generation(last.0.saturating_add(1))))
    }
}

/// Returns those that had a name and are configured no longer, while their configurations are kept: in a mount at this
/// path, or in one that was there when it was disabled.
fn kept<'a>(catalog: &'a Catalog, mount: &str, name: &str) -> Vec<Kept<'a>> {
    let is_meant = |target: &Target| {
        let at = catalog.mount(target.mount);
        target.name == name && at.is_some_and(|at| at.mount.record.path == mount)
    };
    let retired = catalog.retired().map(|target| Kept { target, closed: None });
    let closed = catalog.all_mounts().filter(|at| at.mount.record.closed_at.is_some());
    let closed = closed
        .flat_map(|at| at.targets.values().map(|target| Kept { target, closed: Some(&at.mount) }));
    retired.chain(closed).filter(|kept| is_meant(&kept.target.record)).collect()
}

fn is_of(abandonment: &Abandonment, mount: &str, name: &str) -> bool {
    abandonment.path == mount && abandonment.name == name
}

/// What names an identity among all that had a target's name.
pub(super) fn generation_name((id, generation): Lane) -> String {
    format!("{id}-{}", generation.0)
}

/// Says why nothing of a name can be abandoned.
fn none_left(catalog: &Catalog, mount: &str, name: &str) -> AbandonError {
    let target = format!("{mount}{name}");
    match catalog.at(mount) {
        Some(entry) if entry.targets.contains_key(name) => AbandonError::Configured(target),
        Some(_) | None => AbandonError::Nothing(target),
    }
}
