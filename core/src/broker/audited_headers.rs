//! Says which headers of requests are recorded.

use super::authenticate::{Caller, Recorded};
use super::{Broker, DeviceError, Request};
use crate::audit::{Answer, AuditedHeaders};
use crate::store::Batch;
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
        self.change_audited_headers(request, |headers| {
            headers.with(name, is_hidden).map_err(DeviceError::BadHeader)
        })
        .await
    }

    /// Has a header recorded no more. As in Vault, one that is not recorded is no error.
    pub async fn forget_header(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
    ) -> Result<(), DeviceError> {
        self.change_audited_headers(request, |headers| Ok(headers.without(name))).await
    }

    async fn change_audited_headers(
        self: &Arc<Self>,
        request: &Request,
        change: impl Fn(AuditedHeaders) -> Result<AuditedHeaders, DeviceError>,
    ) -> Result<(), DeviceError> {
        self.written(request, async |caller: Caller| {
            let was = self.records.audited_headers().await?;
            let (headers, revision) =
                was.map_or_else(Default::default, |was| (was.record, Some(was.revision)));
            let batch = caller.rights.expected(Batch::default());
            self.records.put_audited_headers(revision, &change(headers)?, batch).await?;
            Ok(self.reload().await?)
        })
        .await
    }
}
