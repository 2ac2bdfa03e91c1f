//! Says which headers of requests are recorded.

use super::authenticate::Recorded;
use super::{Broker, DeviceError, Request};
use crate::audit::{Answer, AuditedHeaders};
use crate::limits::CONFLICT_TRIES;
use crate::store::StoreError;
use std::sync::Arc;

impl Recorded for Arc<AuditedHeaders> {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Broker {
    /// Tells an operator which headers are recorded.
    pub async fn audited_headers(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<Arc<AuditedHeaders>, DeviceError> {
        self.served(request, async |_| Ok(Arc::clone(self.catalog().audited_headers()))).await
    }

    /// Has a header recorded from now on, in the clear or as a keyed hash.
    pub async fn audit_header(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
        is_hidden: bool,
    ) -> Result<(), DeviceError> {
        self.served(request, async |_| {
            self.change_audited_headers(|headers| {
                headers.with(name, is_hidden).map_err(DeviceError::BadHeader)
            })
            .await
        })
        .await
    }

    /// Has a header recorded no more. As in Vault, one that is not recorded is no error.
    pub async fn forget_header(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
    ) -> Result<(), DeviceError> {
        self.served(request, async |_| {
            self.change_audited_headers(|headers| Ok(headers.without(name))).await
        })
        .await
    }

    async fn change_audited_headers(
        &self,
        change: impl Fn(AuditedHeaders) -> Result<AuditedHeaders, DeviceError>,
    ) -> Result<(), DeviceError> {
        for _ in 0..CONFLICT_TRIES {
            let was = self.records.audited_headers().await?;
            let (headers, revision) =
                was.map_or_else(Default::default, |was| (was.record, Some(was.revision)));
            let changed = change(headers)?;
            match self.records.put_audited_headers(revision, &changed).await {
                Ok(_) => return Ok(self.reload().await?),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }
}
