//! Which accounts are other targets' as well: several may be at one server, which has one set of accounts.
//!
//! A server's own name of itself is not enough to tell: a copy of a server has the same one, and accounts of its own. So
//! they are taken for one where both are reached at the same address, unless they were seen to be two.

use super::RotateError;
use super::turn::Turn;
use crate::broker::Broker;
use crate::engine::FieldError;
use crate::engine::rotation::Administrator;
use crate::ids::MountId;
use crate::store::StoreError;
use crate::store::mounts::Target;

/// Another target at the same server.
struct Beside {
    mount: MountId,
    target: String,
    /// Mount and name, as operators call it.
    called: String,
    administrator: String,
}

impl Broker {
    /// Says why a target may not have an account managed, if another target at its server has it already: as its
    /// administrator, or for a static role of its own.
    pub(in crate::broker) async fn is_had_beside(
        &self,
        target: &Target,
        account: &str,
    ) -> Result<Option<String>, StoreError> {
        let beside = self.beside(target);
        if let Some(other) = beside.iter().find(|other| other.administrator == account) {
            return Ok(Some(format!(
                "`{account}` is the administrator of the target `{}`, which is at the same server and would be locked out",
                other.called
            )));
        }
        self.is_managed_at(&beside, account).await
    }

    /// Says why an account may not administer a target: a static role of another target at its server manages it.
    pub(in crate::broker) async fn is_managed_beside(
        &self,
        target: &Target,
        account: &str,
    ) -> Result<Option<String>, StoreError> {
        self.is_managed_at(&self.beside(target), account).await
    }

    async fn is_managed_at(
        &self,
        beside: &[Beside],
        account: &str,
    ) -> Result<Option<String>, StoreError> {
        for other in beside {
            let managed = self.records.manager_of(other.mount, &other.target, account).await?;
            if let Some(role) = managed {
                return Ok(Some(format!(
                    "the account `{account}` is managed by the static role `{role}` of the target `{}`, which is at the \
                     same server; two would take each other's secret away",
                    other.called
                )));
            }
        }
        Ok(None)
    }

    /// Refuses to rotate an administrator whom another target at the same server has as well: nobody is told the new
    /// secret, so that the other would be locked out for good.
    pub(super) fn check_administers_alone(&self, turn: &Turn) -> Result<(), RotateError> {
        let name = &turn.account.name;
        let beside =
            if turn.account.administers { self.beside(&turn.target.record) } else { Vec::new() };
        let Some(other) = beside.iter().find(|other| other.administrator == *name) else {
            return Ok(());
        };
        Err(FieldError(format!(
            "`{name}` administers the target `{}` as well, which is at the same server and would be locked out; give each \
             target an administrator of its own",
            other.called
        ))
        .into())
    }

    fn beside(&self, target: &Target) -> Vec<Beside> {
        let catalog = self.catalog();
        let Some((kind, own)) = self.administered(target) else { return Vec::new() };
        let others = catalog.mounts().flat_map(|entry| entry.targets.values());
        let others = others.map(|other| &other.record).filter(|other| other.id != target.id);
        let at_the_same = others.filter_map(|other| {
            let (other_kind, administrator) = self.administered(other)?;
            let are_two =
                target.server.is_some() && other.server.is_some() && target.server != other.server;
            let is_the_same = other_kind == kind && administrator.at == own.at && !are_two;
            is_the_same.then(|| Beside {
                mount: other.mount,
                target: other.name.clone(),
                called: self.target_name(other),
                administrator: administrator.name,
            })
        });
        at_the_same.collect()
    }

    fn administered(&self, target: &Target) -> Option<(&'static str, Administrator)> {
        let kind = self.kind(&target.plugin_name).ok()?;
        Some((kind.name(), kind.administrator(&target.fields.0).ok()??))
    }
}
