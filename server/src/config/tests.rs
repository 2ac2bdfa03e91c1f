//! Tests of what configurations mean.

use super::*;
use std::time::Duration;

fn read(written: &str) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded::default();
    loaded.read(tree::parse(written, "a.hcl")?, "a.hcl")?;
    loaded.config.check()?;
    Ok(loaded)
}

fn refusal(written: &str) -> String {
    read(written).unwrap_err().to_string()
}

const WHOLE: &str = r#"
    storage "embedded" { path = "/var/lib/leasehold" }
    listener "tcp" {
      address       = "0.0.0.0:8200"
      tls_cert_file = "/etc/cert.pem"
      tls_key_file  = "/etc/key.pem"
    }
    listener "tcp" {
      address     = "127.0.0.1:8300"
      tls_disable = "true"
    }
    seal "file" { path = "/etc/root.key" }
    audit "file" "to-disk" {
      options { file_path = "/var/log/audit.log" }
    }
    default_lease_ttl = "1h"
    max_lease_ttl     = 86400
    log_format        = "json"
    api_addr          = "https://lease.example:8200"
    disable_mlock     = true
    ui                = true
"#;

const WHOLE_IN_JSON: &str = r#"{
    "storage": { "embedded": { "path": "/var/lib/leasehold" } },
    "listener": [
      { "tcp": { "address": "0.0.0.0:8200", "tls_cert_file": "/etc/cert.pem", "tls_key_file": "/etc/key.pem" } },
      { "tcp": { "address": "127.0.0.1:8300", "tls_disable": true } }
    ],
    "seal": { "file": { "path": "/etc/root.key" } },
    "audit": { "file": { "to-disk": { "options": { "file_path": "/var/log/audit.log" } } } },
    "default_lease_ttl": "1h",
    "max_lease_ttl": "24h",
    "log_format": "json",
    "api_addr": "https://lease.example:8200",
    "disable_mlock": true,
    "ui": true
}"#;

#[test]
fn a_whole_configuration_means_the_same_in_hcl_and_json() {
    for written in [WHOLE, WHOLE_IN_JSON] {
        let Loaded { config, warnings } = read(written).unwrap();
        assert_eq!(config.storage, Storage::Embedded("/var/lib/leasehold".into()));
        assert_eq!(config.seal, Some("/etc/root.key".into()));
        assert_eq!(config.limits.default_lease_ttl, Duration::from_hours(1));
        assert_eq!(config.limits.max_lease_ttl, Duration::from_hours(24));
        assert_eq!(config.log_format, LogFormat::Json);
        assert_eq!(config.api_addr.as_deref(), Some("https://lease.example:8200"));
        let [secured, open] = config.listeners.as_slice() else { panic!("two listeners") };
        assert_eq!(secured.address, "0.0.0.0:8200");
        assert_eq!(secured.tls.as_ref().unwrap().cert_file, PathBuf::from("/etc/cert.pem"));
        assert_eq!((open.address.as_str(), &open.tls), ("127.0.0.1:8300", &None));
        let audit = AuditDevice {
            name: "to-disk".into(),
            path: Some("/var/log/audit.log".into()),
            mode: 0o600,
            fsync: false,
        };
        assert_eq!(config.audits, [audit]);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        config.checked_for_use().unwrap();
    }
}

#[test]
fn a_listener_shows_metrics_without_a_token_only_if_it_says_so() {
    let listener =
        |inside: &str| format!("listener \"tcp\" {{\n tls_disable = true\n {inside}\n}}");
    for (inside, open) in [
        ("", false),
        ("telemetry {}", false),
        ("telemetry { unauthenticated_metrics_access = false }", false),
        ("telemetry { unauthenticated_metrics_access = \"true\" }", true),
    ] {
        let Loaded { config, warnings } = read(&listener(inside)).unwrap();
        assert_eq!((config.listeners[0].open_metrics, warnings.len()), (open, 0), "{inside}");
    }
    let known = "telemetry { unauthenticated_pprof_access = true }";
    assert_eq!(read(&listener(known)).unwrap().warnings.len(), 1);
    let refused = refusal(&listener("telemetry { unauthenticated_metric_access = true }"));
    assert!(refused.contains("listener tcp telemetry: unknown key"), "{refused}");
}

#[test]
fn blocks_may_stand_on_one_line_inside_each_other() {
    let written = r#"
        storage "embedded" { path = "/store" } seal "file" { path = "/root.key" }
        audit "file" "main" { options { file_path = "/var/log/{x} \"y\" # z" } } # { not a block
        listener "tcp" { tls_disable = true }
    "#;
    let Loaded { config, .. } = read(written).unwrap();
    assert_eq!(config.storage, Storage::Embedded("/store".into()));
    assert_eq!(config.seal, Some("/root.key".into()));
    assert_eq!(config.audits.len(), 1);
    assert_eq!(config.audits[0].path, Some("/var/log/{x} \"y\" # z".into()));
    assert_eq!(config.listeners.len(), 1);

    let broken =
        "storage \"embedded\" { path = \"a\" }\naudit \"file\" \"x\" { options { file_path } }\n";
    let refused = refusal(broken);
    assert!(refused.starts_with("a.hcl, line 2, column "), "{refused}");
    assert!(refused.contains("audit \"file\" \"x\" { options { file_path } }"), "{refused}");
}

#[test]
fn what_is_wrong_is_named_with_its_file() {
    for (written, refusals) in [
        ("nope = 1", ["a.hcl: unknown key `nope`", ""]),
        ("telemetri {}", ["a.hcl: unknown block `telemetri`", ""]),
        ("storage \"raft\" {}", ["no storage `raft`", "storage \"embedded\""]),
        ("storage \"embedded\" {}", ["storage embedded: `path` is needed", ""]),
        (
            "storage \"embedded\" {\n path = \"a\"\n paht = 1\n }",
            ["unknown key `paht`", "storage embedded"],
        ),
        ("storage {}", ["`storage` takes one label", ""]),
        ("seal \"shamir\" {}", ["no seal `shamir`", "seal \"file\""]),
        ("listener \"unix\" {}", ["no listener `unix`", ""]),
        ("listener \"tcp\" {}", ["listener tcp: `tls_cert_file` is needed", "tls_disable"]),
        (
            "listener \"tcp\" { tls_disable = \"maybe\" }",
            ["`tls_disable` must be `true` or `false`", ""],
        ),
        (
            "listener \"tcp\" {\n tls_cert_file = \"a\"\n tls_key_file = \"b\"\n tls_min_version = \"tls10\"\n }",
            ["`tls_min_version` must be `tls12` or `tls13`, not `tls10`", ""],
        ),
        ("audit \"socket\" \"x\" {}", ["no audit device `socket`", ""]),
        ("audit \"file\" \"x\" {}", ["audit file x options: `file_path` is needed", ""]),
        (
            "audit \"file\" \"x\" {\n options {\n file_path = \"a\"\n mode = \"9\"\n }\n }",
            ["`mode` must be octal", ""],
        ),
        (
            "audit \"file\" \"x\" {\n options {\n file_path = \"a\"\n log_raw = true\n }\n }",
            ["`log_raw` cannot be `true`", ""],
        ),
        ("default_lease_ttl = \"soon\"", ["`default_lease_ttl` is no span of time", ""]),
        ("default_lease_ttl = \"2h\"\nmax_lease_ttl = \"1h\"", ["longer than `max_lease_ttl`", ""]),
        ("max_lease_ttl = 0", ["cannot be zero", ""]),
        ("log_format = \"xml\"", ["`log_format` must be `standard` or `json`, not `xml`", ""]),
        ("log_level = [1]", ["`log_level` must be a text", ""]),
        ("api_addr = \"a\"\napi_addr = \"b\"", ["a.hcl", "api_addr"]),
        ("api_addr = env.HOME", ["`api_addr` must be a plain value", ""]),
        ("storage \"embedded\" {", ["a.hcl", ""]),
        ("{ \"storage\": 5 }", ["`storage` must hold fields", ""]),
        ("{", ["a.hcl", ""]),
    ] {
        let refused = refusal(written);
        for part in refusals {
            assert!(refused.contains(part), "{written}: {refused}");
        }
    }
}

#[test]
fn a_server_for_use_says_what_it_lacks() {
    let whole = || read(WHOLE).unwrap().config;
    let lacks = |config: Config| config.checked_for_use().unwrap_err().to_string();
    assert!(lacks(Config { storage: Storage::Memory, ..whole() }).contains("no `storage`"));
    assert!(lacks(Config { seal: None, ..whole() }).contains("no `seal`"));
    assert!(lacks(Config { listeners: Vec::new(), ..whole() }).contains("no `listener`"));
}

#[test]
fn a_folder_is_read_whole_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("b.json"), r#"{ "log_level": "debug" }"#).unwrap();
    fs::write(folder.path().join("a.hcl"), "log_level = \"warn\"\napi_addr = \"x\"").unwrap();
    fs::write(folder.path().join("notes.txt"), "nothing to read").unwrap();
    let loaded = load(&[folder.path().to_owned()]).unwrap();
    assert_eq!(loaded.config.log_level.as_deref(), Some("debug"));
    assert_eq!(loaded.config.api_addr.as_deref(), Some("x"));
    let empty = tempfile::tempdir().unwrap();
    assert!(load(&[empty.path().to_owned()]).unwrap_err().to_string().contains("no `.hcl`"));
    assert!(load(&[empty.path().join("none.hcl")]).unwrap_err().to_string().contains("none.hcl"));
}
