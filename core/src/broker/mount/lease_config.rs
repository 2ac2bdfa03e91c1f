//! Says how long the leases of a mount live, as those who configure the mount may: within what the mount itself allows.

use super::super::authenticate::{Caller, Recorded};
use super::super::{Broker, Request};
use super::MountError;
use crate::audit::Answer;
use crate::limits::TTL_MAX;
use crate::store::Batch;
use crate::store::mounts::{LeaseConfig, Mount, mount_at};
use std::sync::Arc;

impl Recorded for Option<LeaseConfig> {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Broker {
    /// Keeps how long the leases of a mount live. Leases keep the term they have; a renewal goes by what is set then.
    pub async fn write_lease_config(
        self: &Arc<Self>,
        request: &Request,
        path: &str,
        wanted: LeaseConfig,
    ) -> Result<(), MountError> {
        self.written(request, async |caller: Caller| {
            let LeaseConfig { ttl, max_ttl } = wanted;
            if ttl > TTL_MAX || max_ttl > TTL_MAX {
                return Err(MountError::Bad("a lease TTL may be at most 876000h".into()));
            }
            if !max_ttl.is_zero() && ttl > max_ttl {
                return Err(MountError::Bad("`lease` exceeds `lease_max`".into()));
            }
            let catalog = self.catalog();
            let entry = catalog.at(path).ok_or_else(|| MountError::NoMount(path.to_owned()))?;
            let was = &entry.mount;
            let mount = Mount { lease_config: Some(wanted), ..was.record.clone() };
            let batch = caller.rights.expected(Batch::default());
            let at = mount_at(mount.id);
            self.records.replace_if(at, Some(was.revision), &mount, batch).await?;
            Ok(self.reload().await?)
        })
        .await
    }

    /// Shows how long the leases of a mount live, if that was written.
    pub async fn read_lease_config(
        self: &Arc<Self>,
        request: &Request,
        path: &str,
    ) -> Result<Option<LeaseConfig>, MountError> {
        self.served(request, async |_| {
            let catalog = self.catalog();
            let entry = catalog.at(path).ok_or_else(|| MountError::NoMount(path.to_owned()))?;
            Ok(entry.mount.record.lease_config)
        })
        .await
    }
}
