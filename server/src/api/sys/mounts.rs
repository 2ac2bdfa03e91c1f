//! `sys/mounts`: which engine families are where.

use crate::api::caller::Call;
use crate::api::envelope::{Envelope, Reply};
use crate::api::error::Refusal;
use crate::api::fields::Fields;
use crate::api::standing::Standing;
use crate::api::token_params::{span, token_type, uses};
use actix_web::http::StatusCode;
use leasehold_core::broker::{LockoutWrite, MountTune, MountWrite, Side};
use leasehold_core::duration::parse_seconds;
use leasehold_core::store::mounts::Mount;
use serde_json::{Map, Value, json};
use std::time::Duration;

pub(in crate::api) async fn list(call: &Call) -> Result<Reply, Refusal> {
    let entries = call.broker.list_mounts(&call.request, Side::Engines).await?;

    let mounts = entries.iter().map(|entry| &entry.mount.record);
    let mut shown: Map<_, _> =
        mounts.map(|mount| (mount.path.clone(), Value::Object(shown(mount)))).collect();
    let always =
        |standing: Standing| (standing.point().to_owned(), Value::Object(always(call, standing)));
    shown.extend(Standing::ENGINES.map(always));
    Ok(Envelope::with_data_on_top(call.id(), shown))
}

pub(in crate::api) async fn read(call: &Call) -> Result<Reply, Refusal> {
    let found = find(call, Side::Engines).await?;

    Ok(Envelope::with_data_on_top(call.id(), found))
}

pub(in crate::api) async fn read_tune(call: &Call) -> Result<Reply, Refusal> {
    let found = find(call, Side::Engines).await?;

    Ok(Envelope::with_data_on_top(call.id(), show_tune(call, &found)))
}

/// How a mount is described and how long its leases live, with what is the server's filled in.
pub(super) fn show_tune(call: &Call, found: &Map<String, Value>) -> Map<String, Value> {
    let config = found.get("config").and_then(Value::as_object);
    let limits = call.broker.limits();
    let ttl = |name: &str, default: Duration| {
        let set = config.and_then(|config| config.get(name)).and_then(Value::as_u64);
        json!(set.filter(|seconds| *seconds > 0).unwrap_or(default.as_secs()))
    };
    let mut tune = Map::from_iter([
        ("default_lease_ttl".to_owned(), ttl("default_lease_ttl", limits.default_lease_ttl)),
        ("max_lease_ttl".to_owned(), ttl("max_lease_ttl", limits.max_lease_ttl)),
        ("force_no_cache".to_owned(), json!(false)),
    ]);
    for name in ["description", "options"] {
        let value = found.get(name).filter(|value| !value.is_null());
        tune.extend(value.map(|value| (name.to_owned(), value.clone())));
    }
    let token_type = config.and_then(|config| config.get("token_type"));
    tune.extend(token_type.map(|value| ("token_type".to_owned(), value.clone())));
    let lockout = config.and_then(|config| config.get("user_lockout_config"));
    tune.extend(lockout.and_then(Value::as_object).cloned().unwrap_or_default());
    tune
}

/// What is not named stays as it is.
pub(in crate::api) async fn tune(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields();
    let tune = tuning(&fields, Side::Engines)?;
    let ignored = fields.ignored();

    call.broker.tune_mount(&call.request, (Side::Engines, &call.name), tune).await?;

    // A setting that has no effect must not look as if it had.
    Ok(Reply::done_but(call.id(), ignored))
}

pub(in crate::api) async fn enable(call: &Call) -> Result<Reply, Refusal> {
    let wanted = wanted(&call.name, &call.fields(), Side::Engines)?;

    call.broker.enable_mount(&call.request, wanted).await?;

    Ok(Reply::done())
}

pub(in crate::api) async fn disable(call: &Call) -> Result<Reply, Refusal> {
    if matches!(call.name.as_str(), "sys" | "cubbyhole" | "identity") {
        return Err(Refusal::bad(format!("cannot unmount \"{}/\"", call.name)));
    }

    call.broker.disable_mount(&call.request, (Side::Engines, &call.name)).await?;

    Ok(Reply::done())
}

/// Returns a mount as Vault's clients know it.
pub(super) async fn find(call: &Call, side: Side) -> Result<Map<String, Value>, Refusal> {
    let path = format!("{}/", call.name);
    let entries = call.broker.list_mounts(&call.request, side).await?;
    let (at, none) = match side {
        Side::Engines => (path.clone(), format!("No secret engine mount at {path}")),
        Side::Methods => (format!("auth/{path}"), format!("No auth engine at {path}")),
    };
    if let Some(standing) = Standing::at(&at) {
        return Ok(always(call, standing));
    }
    let found = entries.iter().find(|entry| entry.mount.record.path == at);
    found
        .map(|entry| shown(&entry.mount.record))
        .ok_or_else(|| Refusal::told(StatusCode::BAD_REQUEST, none))
}

pub(super) fn tuning(fields: &Fields<'_>, side: Side) -> Result<MountTune, Refusal> {
    let ttl = |name: &'static str| match fields.text(name)?.as_deref() {
        None => Ok(None),
        // Vault's ways to say: the system's.
        Some("" | "system") => Ok(Some(Duration::ZERO)),
        Some(_) => fields.span(name).map_err(|error| Refusal::bad(error.to_string())),
    };
    Ok(MountTune {
        description: fields.text("description")?,
        default_lease_ttl: ttl("default_lease_ttl")?,
        max_lease_ttl: ttl("max_lease_ttl")?,
        options: fields.object("options")?.cloned(),
        token_type: match side {
            Side::Engines => None,
            Side::Methods => token_type(fields, "invalid value for 'token_type'")?,
        },
        lockout: match side {
            Side::Engines => None,
            Side::Methods => lockout(fields)?,
        },
    })
}

/// Reads when names are locked.
fn lockout(fields: &Fields<'_>) -> Result<Option<LockoutWrite>, Refusal> {
    let Some(written) = fields.object("user_lockout_config")? else { return Ok(None) };
    let fields = Fields::new(written);
    let lockout = LockoutWrite {
        threshold: uses(&fields, "lockout_threshold")?,
        duration: span(&fields, "lockout_duration")?,
        reset_after: span(&fields, "lockout_counter_reset_duration")?,
        disabled: fields.flag("lockout_disable")?,
    };
    if let Some(name) = fields.rest().keys().next() {
        return Err(Refusal::bad(format!("`user_lockout_config` has no field `{name}`")));
    }
    Ok(Some(lockout))
}

pub(super) fn wanted(path: &str, fields: &Fields<'_>, side: Side) -> Result<MountWrite, Refusal> {
    let none = Map::new();
    let config = fields.object("config")?.unwrap_or(&none);
    let of_config = Fields::new(config);
    let ttl = |name: &str, called: &str| {
        let written = config.get(name).unwrap_or(&Value::Null);
        parse_seconds(written).map_err(|error| {
            let shown = written.as_str().map_or_else(|| written.to_string(), str::to_owned);
            Refusal::bad(format!("unable to parse {called} TTL of {shown}: {error}"))
        })
    };
    for flag in ["local", "seal_wrap", "external_entropy_access"] {
        if fields.flag(flag)?.unwrap_or(false) {
            return Err(Refusal::bad(format!("`{flag}` is not supported; leave it out")));
        }
    }
    let (token_type, lockout) = match side {
        Side::Engines => (None, None),
        Side::Methods => {
            (token_type(&of_config, "invalid value for 'token_type'")?, lockout(&of_config)?)
        }
    };
    Ok(MountWrite {
        side,
        path: path.to_owned(),
        kind: fields.text("type")?.unwrap_or_default(),
        description: fields.text("description")?.unwrap_or_default(),
        default_lease_ttl: ttl("default_lease_ttl", "default")?,
        max_lease_ttl: ttl("max_lease_ttl", "max")?,
        options: fields.object("options")?.cloned().unwrap_or_default(),
        token_type,
        lockout,
    })
}

/// A mount as Vault's clients know it.
pub(super) fn shown(mount: &Mount) -> Map<String, Value> {
    let id = mount.id.bytes();
    let described_as = (mount.kind.as_str(), mount.description.as_str());
    let mut shown = described(described_as, &mount.accessor(), id);
    let mut config = Map::from_iter([
        ("default_lease_ttl".to_owned(), json!(mount.default_lease_ttl.as_secs())),
        ("max_lease_ttl".to_owned(), json!(mount.max_lease_ttl.as_secs())),
        ("force_no_cache".to_owned(), json!(false)),
    ]);
    if let Some(method) = &mount.method {
        config.insert("token_type".to_owned(), json!(method.token_type.word()));
        let lockout = method.lockout.map(|lockout| {
            json!({
                "user_lockout_threshold": lockout.threshold,
                "user_lockout_duration": lockout.duration.as_secs(),
                "user_lockout_counter_reset_duration": lockout.reset_after.as_secs(),
                "user_lockout_disable": lockout.disabled,
            })
        });
        config.extend(lockout.map(|lockout| ("user_lockout_config".to_owned(), lockout)));
    }
    shown.insert("config".to_owned(), Value::Object(config));
    if !mount.options.is_empty() || mount.method.is_some() {
        shown.insert("options".to_owned(), Value::Object(mount.options.clone()));
    }
    shown
}

/// A mount that is always there.
pub(super) fn always(call: &Call, standing: Standing) -> Map<String, Value> {
    let accessor = standing.accessor(&call.broker);
    let described_as = (standing.kind(), standing.description());
    let mut shown = described(described_as, &accessor, &standing.id(&call.broker));
    // Comes from the catalog of plugins, in which these are not.
    shown.remove("deprecation_status");
    shown.insert("local".to_owned(), json!(standing == Standing::Cubbyhole));
    shown.insert("seal_wrap".to_owned(), json!(standing == Standing::System));
    if let Some(Value::Object(config)) = shown.get_mut("config") {
        let headers = standing.sees_header();
        config
            .extend(headers.map(|name| ("passthrough_request_headers".to_owned(), json!([name]))));
        if standing == Standing::Tokens {
            config.insert("token_type".to_owned(), json!("default-service"));
        }
    }
    shown
}

fn described(
    (kind, description): (&str, &str),
    accessor: &str,
    id: &[u8; 16],
) -> Map<String, Value> {
    let uuid = uuid::Uuid::from_bytes(*id);
    Map::from_iter([
        ("type".to_owned(), json!(kind)),
        ("description".to_owned(), json!(description)),
        ("accessor".to_owned(), json!(accessor)),
        ("uuid".to_owned(), json!(uuid.to_string())),
        (
            "config".to_owned(),
            json!({ "default_lease_ttl": 0, "max_lease_ttl": 0, "force_no_cache": false }),
        ),
        ("options".to_owned(), Value::Null),
        ("local".to_owned(), json!(false)),
        ("seal_wrap".to_owned(), json!(false)),
        ("external_entropy_access".to_owned(), json!(false)),
        ("plugin_version".to_owned(), json!("")),
        (
            "running_plugin_version".to_owned(),
            json!(concat!("v", env!("CARGO_PKG_VERSION"), "+builtin.leasehold")),
        ),
        ("running_sha256".to_owned(), json!("")),
        ("deprecation_status".to_owned(), json!("supported")),
    ])
}
