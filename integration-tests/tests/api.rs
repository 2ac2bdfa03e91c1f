//! The server as its callers meet it: the real binary, asked over HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

#[path = "api/abandon.rs"]
mod abandon;
#[path = "api/approle.rs"]
mod approle;
#[path = "api/audit.rs"]
mod audit;
#[path = "api/audited_headers.rs"]
mod audited_headers;
#[path = "api/canaries.rs"]
mod canaries;
#[path = "api/clock.rs"]
mod clock;
#[path = "api/cves.rs"]
mod cves;
#[path = "api/exposition.rs"]
mod exposition;
#[path = "api/forged_records.rs"]
mod forged_records;
#[path = "api/full_disks.rs"]
mod full_disks;
#[path = "api/holders.rs"]
mod holders;
#[path = "api/idempotency.rs"]
mod idempotency;
#[path = "api/identity.rs"]
mod identity;
#[path = "api/init.rs"]
mod init;
#[path = "api/leases.rs"]
mod leases;
#[path = "api/lending.rs"]
mod lending;
#[path = "api/methods.rs"]
mod methods;
#[path = "api/metrics.rs"]
mod metrics;
#[path = "api/mysql.rs"]
mod mysql;
#[path = "api/names.rs"]
mod names;
#[path = "api/policies.rs"]
mod policies;
#[path = "api/proofs.rs"]
mod proofs;
#[path = "api/quotas.rs"]
mod quotas;
#[path = "api/reconcile.rs"]
mod reconcile;
#[path = "api/refusals.rs"]
mod refusals;
#[path = "api/rehearse.rs"]
mod rehearse;
#[path = "api/revocations.rs"]
mod revocations;
#[path = "api/rotation.rs"]
mod rotation;
#[path = "api/seal.rs"]
mod seal;
#[path = "api/shapes.rs"]
mod shapes;
#[path = "api/targets.rs"]
mod targets;
#[path = "api/token_roles.rs"]
mod token_roles;
#[path = "api/tokens.rs"]
mod tokens;
#[path = "api/ttls.rs"]
mod ttls;
#[path = "api/wrapping.rs"]
mod wrapping;
