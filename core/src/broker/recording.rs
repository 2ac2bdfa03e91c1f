//! Keeps how far the record of each audit device reaches, and tells operators about the devices.

use super::authenticate::{AdmitError, Caller, Recorded};
use super::{Broker, Ports, Request};
use crate::audit::{Answer, Asked, ChainKey, DeviceView, Operation};
use crate::limits::AUDIT_WITHIN;
use crate::seal::Unsealed;
use crate::secret::SecretText;
use crate::store::audit::KeptHead;
use crate::store::records::Records;
use crate::store::{Batch, StoreError};
use futures_util::future::{Either, join_all, select};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Nothing is told of a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The request was not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// There is no such device.
    #[error("unknown audit backend {0:?}")]
    NoDevice(String),
    /// Devices are not made or dropped here.
    #[error(
        "cannot {0} audit device via API; use declarative, config-based audit device management instead"
    )]
    Declared(&'static str),
    /// A header cannot be recorded so.
    #[error("{0}")]
    BadHeader(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keys that a device will write with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysDrawn {
    /// Which version they are.
    pub version: u32,
    /// What checks the lines that they sign.
    pub public_key: String,
}

impl Recorded for KeysDrawn {
    fn recorded(&self) -> Answer {
        let Self { version, public_key } = self;
        Answer::data(Some(serde_json::json!({ "version": version, "public_key": public_key })))
    }
}

impl Recorded for Vec<DeviceView> {
    fn recorded(&self) -> Answer {
        Answer::default()
    }
}

impl Recorded for String {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::json!({ "hash": self })))
    }
}

/// Returns what checks the record of each device of an installation that was just made. Their keys are drawn here, and not
/// only when the store is opened: who makes an installation is the one who can know that nobody else had them first.
pub async fn first_public_keys(
    ports: &Ports,
    unsealed: &Unsealed,
) -> Result<BTreeMap<String, String>, StoreError> {
    let (store, chance) = (Arc::clone(&ports.store), Arc::clone(&ports.chance));
    let records = Records::new(store, Arc::clone(&unsealed.barrier), chance);
    let mut public_keys = BTreeMap::new();
    for device in &ports.audit {
        let keys = records.audit_keys(device.name(), ports.clock.now()).await?;
        public_keys.insert(device.name().to_owned(), keys.chain().public());
    }
    Ok(public_keys)
}

impl Broker {
    /// Does what nobody asked for now, on record like a request that nobody sent: what cannot be recorded
    /// is not begun (law 8), and what came of it is told in a second line.
    pub(super) async fn by_itself<T, E: fmt::Display + From<AdmitError>>(
        &self,
        asked: &Asked,
        act: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let record = self.trail.asked(asked, None, self.clock.now());
        self.recorded(record).await.map_err(AdmitError::Audit)?;
        let outcome = act.await;
        let answer = match &outcome {
            Ok(_) => Answer::default(),
            Err(error) => Answer::error(error.to_string()),
        };
        let record = self.trail.answered(asked, None, &answer, self.clock.now());
        if let Err(error) = self.recorded(record).await {
            // It is done, and on record that it was begun.
            tracing::error!(path = asked.path, %error, "what came of what was done by itself could not be recorded");
        }
        outcome
    }

    /// Signs what the devices wrote, and keeps how far their chains reach. Called every second or so; `last`, once
    /// nothing will be written any more.
    pub async fn keep_audit(&self, last: bool) -> Result<(), StoreError> {
        let now = self.clock.now();
        let heads = join_all(self.trail.devices().map(async |(device, _)| {
            let deadline = self.tasks.sleep_until(now.plus(AUDIT_WITHIN));
            match select(device.checkpoint(last), deadline).await {
                Either::Left((Ok(head), _)) => head,
                // A device that fails is told of by what it does not record.
                Either::Left((Err(_), _)) | Either::Right(_) => None,
            }
        }));
        let heads = heads.await;
        let kept = self.trail.kept();
        let devices = self.trail.devices().zip(&heads).zip(&kept);
        let changed = devices.filter_map(|(((device, _), head), kept)| {
            let head = head.filter(|head| last || Some(*head) != *kept)?;
            Some((device.name(), KeptHead { head, ended: last, at: now, begun: 0 }))
        });
        let changed: Vec<_> = changed.collect();
        if !changed.is_empty() {
            self.records.keep_audit_heads(&changed).await?;
            self.trail.keep(heads);
        }
        Ok(())
    }

    /// Tells an operator what devices there are.
    pub async fn audit_devices(
        self: &Arc<Self>,
        request: &Request,
    ) -> Result<Vec<DeviceView>, DeviceError> {
        self.served(request, async |_| {
            let mut views = Vec::new();
            for ((device, public_key), kept) in self.trail.devices().zip(self.trail.kept()) {
                let keys = self.records.audit_keys(device.name(), self.clock.now()).await?;
                views.push(DeviceView {
                    name: device.name().to_owned(),
                    public_key: public_key.clone(),
                    public_keys: keys.public(),
                    load: device.load(),
                    kept,
                });
            }
            Ok(views)
        })
        .await
    }

    /// Draws other keys for a device. They take over when the store is opened next.
    pub async fn renew_audit_keys(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
    ) -> Result<KeysDrawn, DeviceError> {
        self.written(request, async |caller: Caller| {
            if !self.trail.devices().any(|(device, _)| device.name() == name) {
                return Err(DeviceError::NoDevice(format!("{name}/")));
            }
            let batch = caller.rights.expected(Batch::default());
            let keys = self.records.renew_audit_keys(name, self.clock.now(), batch).await?;
            let ChainKey { version, .. } = keys.chain();
            Ok(KeysDrawn { version, public_key: keys.chain().public() })
        })
        .await
    }

    /// Tells by what keyed hash the record of a device shows a text.
    pub async fn audit_hash(
        self: &Arc<Self>,
        request: &Request,
        device: &str,
        text: &SecretText,
    ) -> Result<String, DeviceError> {
        self.served(request, async |_| {
            let unknown = || DeviceError::NoDevice(format!("{device}/"));
            self.trail.hash(device, text).ok_or_else(unknown)
        })
        .await
    }

    /// Answers whoever would make a device: that is for the configuration.
    pub async fn enable_audit(self: &Arc<Self>, request: &Request) -> Result<(), DeviceError> {
        self.served(request, async |_| Err(DeviceError::Declared("enable"))).await
    }

    /// Answers whoever would drop a device. As in Vault, what is not there is dropped already; of one that has recorded
    /// before it is kept that this is meant.
    pub async fn disable_audit(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
    ) -> Result<(), DeviceError> {
        self.written(request, async |caller: Caller| {
            let mut devices = self.trail.devices();
            if devices.any(|(device, _)| device.name() == name) {
                return Err(DeviceError::Declared("disable"));
            }
            if self.trail.undeclared().iter().any(|known| known == name) {
                let batch = caller.rights.expected(Batch::default());
                self.records.drop_audit_device(name, batch).await?;
                self.trail.dropped(name);
            }
            Ok(())
        })
        .await
    }

    /// Puts on record, with the devices that are left, which ones are not declared any more. A start is not stopped by
    /// it: revocations go on whatever is recorded.
    pub(super) async fn record_undeclared(&self) {
        for name in self.trail.undeclared() {
            let path = format!("sys/audit/{name}");
            let asked = Asked { operation: Operation::Delete, path, ..Asked::default() };
            let answer = Answer::error("the audit device is not declared any more");
            let record = self.trail.answered(&asked, None, &answer, self.clock.now());
            if let Err(error) = self.recorded(record).await {
                tracing::error!(name, %error, "that an audit device is missing could not be recorded");
            }
        }
    }

    /// Returns what operators should know of the record as a whole, beside that there is none: the list itself says so.
    pub fn audit_cautions(&self) -> Vec<String> {
        let undeclared = self.trail.undeclared().into_iter().map(|name| {
            format!(
                "the audit device `{name}` has recorded before and is not declared any more; if that is meant, \
                 `leasehold delete sys/audit/{name}` says so on record"
            )
        });
        undeclared.collect()
    }
}
