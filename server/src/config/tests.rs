//! Tests of what configurations mean.

#[path = "tests/listeners.rs"]
mod listeners;

use super::*;
use std::time::Duration;

/// Reads texts as if each were a file called so.
fn read_all(files: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let paths = files.iter().map(|(name, written)| {
        let path = folder.path().join(name);
        fs::write(&path, written).unwrap();
        path
    });
    let shortened =
        |problem: &String| problem.replace(&format!("{}/", folder.path().display()), "");
    match load(&paths.collect::<Vec<_>>()) {
        Ok(Loaded { config, warnings }) => {
            Ok(Loaded { config, warnings: warnings.iter().map(shortened).collect() })
        }
        Err(ConfigError(problems)) => Err(ConfigError(problems.iter().map(shortened).collect())),
    }
}

fn read(written: &str) -> Result<Loaded, ConfigError> {
    read_all(&[("a.hcl", written)])
}

fn problems(written: &str) -> Vec<String> {
    read(written).unwrap_err().0
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
        assert_eq!(config.seal, kept("/etc/root.key", false));
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
            description: String::new(),
            way: Way::File { path: Some("/var/log/audit.log".into()), mode: 0o600, fsync: false },
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
    assert_eq!(config.seal, kept("/root.key", false));
    assert_eq!(config.audits.len(), 1);
    assert_eq!(config.audits[0].way.options()["file_path"], "/var/log/{x} \"y\" # z");
    assert_eq!(config.listeners.len(), 1);

    let broken =
        "storage \"embedded\" { path = \"a\" }\naudit \"file\" \"x\" { options { file_path } }\n";
    let [refused] = problems(broken).try_into().unwrap();
    assert!(refused.starts_with("a.hcl:2: column "), "{refused}");
    assert!(refused.contains("audit \"file\" \"x\" { options { file_path } }"), "{refused}");
}

/// Fields of the file itself with what they cannot be, and what is told of it behind file and line.
const WRONG_AT_THE_TOP: [(&str, &str); 19] = [
    (
        "nope = 1",
        "unknown key `nope`; known here: `default_lease_ttl`, `max_lease_ttl`, `log_level`",
    ),
    ("telemetri {}", "unknown block `telemetri`"),
    (
        "default_lease_ttl = \"soon\"",
        "`default_lease_ttl` must be a span of time: time: invalid duration \"soon\"; for example \
         `default_lease_ttl = \"1h\"`",
    ),
    ("default_lease_ttl = true", "`default_lease_ttl` must be a span of time"),
    ("default_lease_ttl = [\"1h\"]", "`default_lease_ttl` must be a span of time"),
    ("default_lease_ttl {}", "`default_lease_ttl` must be a span of time, not a block"),
    ("default_lease_ttl = \"0\"", "`default_lease_ttl` cannot be zero"),
    ("max_lease_ttl = 0", "`max_lease_ttl` cannot be zero; for example `max_lease_ttl = \"24h\"`"),
    (
        "max_lease_ttl = -5",
        "`max_lease_ttl` must be a span of time: cannot provide negative value '-5'",
    ),
    (
        "max_lease_ttl = \"1h\"",
        "`default_lease_ttl` (768h0m0s) is longer than `max_lease_ttl` (1h0m0s)",
    ),
    ("log_format = \"xml\"", "`log_format` must be `standard` or `json`, not `xml`; for example"),
    ("log_format = 5", "`log_format` must be a text, not `5`"),
    ("log_level = [1]", "`log_level` must be a text, not a list"),
    (
        "log_level = \"loud\"",
        "`log_level` must be `error`, `warn`, `info`, `debug` or `trace`, not `loud`",
    ),
    ("log_level = \"${env.HOME}\"", "`log_level` must be a text, written out"),
    (
        "api_addr = \"leasehold\"",
        "`api_addr` must be a URL, not `leasehold`; for example `api_addr = \"https:",
    ),
    ("api_addr = \"https://\"", "`api_addr` must be a URL"),
    ("api_addr = true", "`api_addr` must be a text, not `true`"),
    ("api_addr = env.HOME", "`api_addr` must be a text, written out"),
];

/// Blocks that are not what they must be.
const WRONG_BLOCKS: [(&str, &str); 17] = [
    ("storage \"raft\" {}", "there is no storage of the kind `raft`; write `storage \"embedded\""),
    ("storage {}", "`storage` takes its kind as a label; write `storage \"embedded\""),
    ("storage = 5", "`storage` must be a block; write `storage \"embedded\""),
    ("storage \"embedded\" \"x\" {}", "`storage` takes its kind as a label"),
    ("storage \"embedded\" {}", "storage embedded: `path` is needed; for example `path = \"/var/"),
    ("storage \"embedded\" { path = \"\" }", "storage embedded: `path` is needed"),
    ("storage \"embedded\" { path = 5 }", "storage embedded: `path` must be a text, not `5`"),
    ("seal \"awskms\" {}", "there is no seal of the kind `awskms`; write `seal \"file\""),
    ("seal \"shamir\" { path = \"a\" }", "seal shamir: unknown key `path`"),
    ("seal \"file\" {}", "seal file: `path` is needed; for example `path = \"/etc/"),
    ("seal \"file\" { path = [\"a\"] }", "seal file: `path` must be a text, not a list"),
    ("listener \"unix\" {}", "there is no listener of the kind `unix`; write `listener \"tcp\""),
    ("listener = true", "`listener` must be a block"),
    ("audit \"pipe\" \"x\" {}", "there is no audit of the kind `pipe`; write `audit \"file\""),
    ("audit \"file\" \"x\" {}", "audit file x: `options` is needed; for example `options"),
    (
        "audit \"file\" \"x\" { options = 5 }",
        "audit file x: `options` must be a block; for example",
    ),
    ("audit {}", "`audit` takes its kind as a label"),
];

/// Fields of a listener with TLS.
const WRONG_IN_LISTENERS: [(&str, &str); 13] = [
    ("address = \"nonsense\"", "`address` must be a host and a port, not `nonsense`; for example"),
    ("address = \"::1:8200\"", "`address` must be a host and a port"),
    ("address = \"127.0.0.1:82000\"", "`address` must be a host and a port"),
    ("address = 8200", "`address` must be a text, not `8200`"),
    ("tls_disable = \"maybe\"", "`tls_disable` must be `true` or `false`, not `maybe`"),
    ("tls_disable = 2", "`tls_disable` must be `true` or `false`, not `2`"),
    (
        "tls_min_version = \"tls10\"",
        "`tls_min_version` must be `tls12` or `tls13`, not `tls10`; for example",
    ),
    ("tls_min_version = 12", "`tls_min_version` must be a text, not `12`"),
    ("tls_client_ca_file = 5", "`tls_client_ca_file` must be a text, not `5`"),
    (
        "tls_require_and_verify_client_cert = true",
        "`tls_require_and_verify_client_cert` needs `tls_client_ca_file` as well",
    ),
    (
        "tls_crt = \"a\"",
        "unknown key `tls_crt`; known here: `address`, `tls_disable`, `tls_cert_file`",
    ),
    ("telemetry = true", "`telemetry` must be a block; for example `telemetry { unauthenticated_"),
    ("telemetry \"x\" {}", "`telemetry` takes no label here"),
];

/// What a listener shows of itself.
const WRONG_IN_TELEMETRY: [(&str, &str); 3] = [
    (
        "unauthenticated_metrics_access = \"maybe\"",
        "`unauthenticated_metrics_access` must be `true` or `false`, not `maybe`; for example",
    ),
    (
        "unauthenticated_metrics_access {}",
        "`unauthenticated_metrics_access` must be `true` or `false`, not a block",
    ),
    (
        "unauthenticated_metric_access = true",
        "unknown key `unauthenticated_metric_access`; known here: `unauthenticated_metrics_access`",
    ),
];

/// Options of an audit device.
const WRONG_IN_AUDITS: [(&str, &str); 6] = [
    ("mode = \"9\"", "`mode` must be permissions in octal, not `9`; for example `mode = \"0600\"`"),
    ("mode = \"1777\"", "`mode` must be permissions in octal"),
    ("mode = true", "`mode` must be permissions in octal, not `true`"),
    ("fsync = \"x\"", "`fsync` must be `true` or `false`, not `x`"),
    ("log_raw = true", "`log_raw` cannot be `true`: no secret is ever recorded"),
    ("file_pth = \"x\"", "unknown key `file_pth`; known here: `file_path`, `mode`, `fsync`"),
];

#[test]
fn every_field_that_is_wrong_is_named_with_its_file_and_line() {
    let check = |written: String, line: usize, within: &str, told: &str| {
        let found = problems(&written);
        let told = format!("a.hcl:{line}: {within}{told}");
        assert_eq!(found.len(), 1, "{written}: {found:?}");
        assert!(found[0].starts_with(&told), "{written}: {} instead of {told}", found[0]);
    };
    for (field, told) in WRONG_AT_THE_TOP {
        check(format!("# storage {{\nui = true\n\n{field}\n"), 4, "", told);
    }
    for (block, told) in WRONG_BLOCKS {
        check(format!("/* seal {{\n */\n{block}\nui = true\n"), 3, "", told);
    }
    for (field, told) in WRONG_IN_LISTENERS {
        let written = format!(
            "listener \"tcp\" {{ tls_disable = true }} listener \"tcp\" {{\n  tls_cert_file = <<X\na\nX\n  \
             tls_key_file = \"b {{\"\n  {field}\n}}\n"
        );
        check(written, 6, "listener tcp: ", told);
    }
    for (field, told) in WRONG_IN_TELEMETRY {
        let written = format!(
            "listener \"tcp\" {{\n  tls_disable = true\n  telemetry {{\n    {field}\n  }}\n}}"
        );
        check(written, 4, "listener tcp telemetry: ", told);
    }
    for (field, told) in WRONG_IN_AUDITS {
        let written = format!(
            "audit \"file\" \"x\" {{\n options {{\n  file_path = \"a\"\n  {field}\n }}\n}}"
        );
        check(written, 4, "audit file x options: ", told);
    }
    for broken in ["storage \"embedded\" {", "a = ", "= 5", "a = \"\\q\""] {
        let found = problems(&format!("ui = true\n{broken}"));
        assert!(found[0].starts_with("a.hcl:2: column "), "{broken}: {found:?}");
    }
}

#[test]
fn a_listener_says_all_that_it_lacks() {
    let or = "is needed, or else `tls_disable = true` if only this machine can listen; for example";
    for (written, lacks) in [
        ("listener \"tcp\" {}", &["tls_cert_file", "tls_key_file"][..]),
        ("listener \"tcp\" { tls_cert_file = \"a\" }", &["tls_key_file"]),
        ("listener \"tcp\" { tls_key_file = \"a\" }", &["tls_cert_file"]),
    ] {
        let told: Vec<_> =
            lacks.iter().map(|name| format!("a.hcl:2: listener tcp: `{name}` {or}")).collect();
        let found = problems(&format!("\n{written}"));
        assert_eq!(found.len(), told.len(), "{found:?}");
        for (found, told) in found.iter().zip(&told) {
            assert!(found.starts_with(told), "{found}");
        }
    }
}

#[test]
fn what_is_given_twice_is_told_with_both_places() {
    let storage = "storage \"embedded\" { path = \"a\" }\n";
    let seal = "seal \"file\" { path = \"a\" }\n";
    let audit = "audit \"file\" \"x\" { options { file_path = \"a\" } }\n";
    for (files, told) in [
        (vec![("a.hcl", "ui = true\n\nui = false\n")], "a.hcl:3: "),
        (
            vec![("a.json", "{\"api_addr\": \"http://x\",\n\"api_addr\": \"http://y\"}")],
            "a.json:2: `api_addr` is given twice, first in line 1",
        ),
        (
            vec![("a.hcl", storage), ("b.hcl", storage)],
            "b.hcl:1: storage embedded: `storage` is given twice, first at a.hcl:1",
        ),
        (
            vec![("a.hcl", &format!("{seal}{seal}"))],
            "a.hcl:2: seal file: `seal` is given twice, first at a.hcl:1",
        ),
        (
            vec![("a.hcl", &format!("{audit}{audit}"))],
            "a.hcl:2: two audit devices are called `x`; give this one another name",
        ),
        (
            vec![(
                "a.hcl",
                "audit \"file\" \"x\" {\n options { file_path = \"a\" }\n options {}\n}",
            )],
            "a.hcl:3: audit file x: `options` is given twice, first in line 2",
        ),
        (
            vec![(
                "a.json",
                "{\"seal\": [{\"file\": {\"path\": \"a\"}},\n{\"file\": {\"path\": \"b\"}}]}",
            )],
            "a.json:2: seal file: `seal` is given twice",
        ),
    ] {
        let found = read_all(&files).unwrap_err().0;
        assert_eq!(found.len(), 1, "{files:?}: {found:?}");
        assert!(found[0].starts_with(told), "{files:?}: {}", found[0]);
    }
}

#[test]
fn in_json_lines_are_told_as_well() {
    for (written, told) in [
        ("{\n\"nope\": 1 }", "a.json:2: unknown key `nope`"),
        ("{ \"storage\": 5 }", "a.json:1: `storage` must be a block"),
        ("{ \"storage\": {} }", "a.json:1: `storage` takes its kind as a label"),
        (
            "{\n\"listener\": [\n{\"unix\": {}}]}",
            "a.json:3: there is no listener of the kind `unix`",
        ),
        (
            "{\"storage\": {\"embedded\": {\n\"path\": \"{ \\\" {\",\n\n\"paht\": 1}}}",
            "a.json:4: storage embedded: unknown key `paht`",
        ),
        ("{", "a.json:1: column 1: EOF while parsing an object"),
        ("{\n\"a\": nope}", "a.json:2: column "),
        ("{\"ui\": true} x", "a.json:1: column "),
    ] {
        let found = read_all(&[("a.json", written)]).unwrap_err().0;
        assert_eq!(found.len(), 1, "{written}: {found:?}");
        assert!(found[0].starts_with(told), "{written}: {}", found[0]);
    }
    let deep = format!("{{\"ui\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(read_all(&[("a.json", &deep)]).unwrap_err().to_string().contains("recursion limit"));
    let deep = format!("ui = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(read(&deep).is_err());
}

#[test]
fn all_problems_are_told_at_once() {
    let files = [
        ("a.hcl", "nope = 1\nlog_format = \"xml\"\n"),
        ("b.hcl", "seal \"file\" {}"),
        ("c.hcl", "{"),
    ];
    let told = read_all(&files).unwrap_err().to_string();
    assert!(told.starts_with("the configuration has 4 problems:\n  a.hcl:2: "), "{told}");
    for part in ["\n  a.hcl:1: unknown key", "\n  b.hcl:1: seal file: `path`", "\n  c.hcl:1: "] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn vaults_own_words_are_warned_of_with_their_line() {
    let written = "ui = true\ntelemetry {\n  statsd_address = \"x\"\n}\nlistener \"tcp\" {\n  tls_disable = true\n  \
                   tls_cert_file = \"a\"\n  telemetry {\n    unauthenticated_pprof_access = true\n  }\n}\n";
    let warnings = read(written).unwrap().warnings;
    let told = "is accepted and does nothing";
    assert_eq!(
        warnings,
        [
            format!("a.hcl:1: `ui` {told}"),
            format!("a.hcl:2: `telemetry` {told}"),
            format!("a.hcl:7: listener tcp: `tls_cert_file` {told}"),
            format!("a.hcl:9: listener tcp telemetry: `unauthenticated_pprof_access` {told}"),
        ]
    );
}

fn kept(path: &str, is_left: bool) -> Seal {
    Seal::Kept { key: KeyFile { path: path.into(), is_credential: false }, is_left }
}

#[test]
fn who_has_the_root_key_is_people_unless_something_else_is_said() {
    let seal = |written: &str| read(written).unwrap().config.seal;
    assert_eq!(seal(""), Seal::Shares);
    assert_eq!(seal("seal \"shamir\" {}"), Seal::Shares);
    let file = |disabled| format!("seal \"file\" {{ path = \"/k\"\n disabled = {disabled}\n }}");
    assert_eq!(seal(&file("\"true\"")), kept("/k", true));
    assert_eq!(seal(&file("false")), kept("/k", false));
    let Seal::Kept { key, .. } = seal("seal \"credential\" { name = \"k\" }") else { panic!() };
    assert!(key.is_credential && key.path.ends_with("k"));
}

#[test]
fn a_server_for_use_says_what_it_lacks() {
    let whole = || read(WHOLE).unwrap().config;
    let lacks = |config: Config| config.checked_for_use().unwrap_err().to_string();
    assert!(lacks(Config::default()).contains("2 problems"));
    assert!(lacks(Config { storage: Storage::Memory, ..whole() }).contains("no `storage`"));
    assert!(lacks(Config { listeners: Vec::new(), ..whole() }).contains("no `listener`"));
}

#[test]
fn a_folder_is_read_whole_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("b.json"), r#"{ "log_level": "debug" }"#).unwrap();
    fs::write(folder.path().join("a.hcl"), "log_level = \"warn\"\napi_addr = \"http://x:1\"")
        .unwrap();
    fs::write(folder.path().join("notes.txt"), "nothing to read").unwrap();
    fs::write(folder.path().join(".#a.hcl"), "an editor's").unwrap();
    let loaded = load(&[folder.path().to_owned()]).unwrap();
    assert_eq!(loaded.config.log_level.as_deref(), Some("debug"));
    assert_eq!(loaded.config.api_addr.as_deref(), Some("http://x:1"));
    let empty = tempfile::tempdir().unwrap();
    assert!(load(&[empty.path().to_owned()]).unwrap_err().to_string().contains("no `.hcl`"));
    assert!(load(&[empty.path().join("none.hcl")]).unwrap_err().to_string().contains("none.hcl"));
}
