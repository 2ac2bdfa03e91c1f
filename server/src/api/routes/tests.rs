use super::*;
use leasehold_core::access::policy::is_caseless;

fn leads(routes: &'static [Route], path: &str, operation: Operation) -> Result<String, Nowhere> {
    let Picked { endpoint, name, .. } = pick(routes, path, operation);
    endpoint.map(|_| name)
}

#[test]
fn a_path_leads_to_its_endpoint_and_names_what_it_is_about() {
    use Operation::{Delete, List, Read, Update};
    let named = |name: &str| Ok(name.to_owned());
    for (routes, path, operation, expected) in [
        (&DATABASE[..], "creds/app", Read, named("app")),
        (&DATABASE[..], "creds/app", Update, Err(Nowhere::Operation)),
        (&DATABASE[..], "creds/", Read, Err(Nowhere::Path)),
        (&DATABASE[..], "creds", List, Err(Nowhere::Path)),
        (&DATABASE[..], "creds/team/app", Read, Err(Nowhere::Path)),
        (&DATABASE[..], "creds/-app", Read, Err(Nowhere::Path)),
        (&DATABASE[..], "roles", List, named("")),
        (&DATABASE[..], "roles/", List, named("")),
        (&DATABASE[..], "roles", Read, Err(Nowhere::Operation)),
        (&DATABASE[..], "roles/a.b-c_d", Delete, named("a.b-c_d")),
        (&DATABASE[..], "config/", Update, Err(Nowhere::Folder)),
        (&SYS[..], "sys/mounts/a/b", Update, named("a/b")),
        (&SYS[..], "sys/mounts/a/b/tune", Read, named("a/b")),
        (&SYS[..], "sys/mounts/a/tune", Update, named("a")),
        (&SYS[..], "sys/mounts/a/tune", Delete, Err(Nowhere::Operation)),
        (&SYS[..], "sys/revoke/a/creds/b/c", Update, named("a/creds/b/c")),
        (&SYS[..], "sys/leases", Read, named("")),
        (&TOKEN[..], "auth/token/accessors/", List, named("")),
        (&SYS[..], "sys/mounts/", Read, Err(Nowhere::Path)),
        (&SYS[..], "sys/leases/renew/a/creds/b/c", Update, named("a/creds/b/c")),
        (&SYS[..], "sys/leases/revoke-prefix/a/", Update, named("a")),
        (&SYS[..], "sys/leases/lookup/a/creds/", List, named("a/creds")),
        (&SYS[..], "sys/unknown", Read, Err(Nowhere::Path)),
        (&REVOCATIONS[..], "sys/revocations/x/pause", Update, named("x")),
        (&REVOCATIONS[..], "sys/revocations/plan", Update, named("")),
        (&REVOCATIONS[..], "sys/revocations/x", Update, Err(Nowhere::Operation)),
        (&REVOCATIONS[..], "sys/revocations/x/stop", Update, Err(Nowhere::Path)),
        (&TOKEN[..], "auth/token/create/x", Update, named("x")),
        (&TOKEN[..], "auth/token/create/x/y", Update, Err(Nowhere::Path)),
        (&IDENTITY[..], "identity/entity/id/", List, named("")),
        (&IDENTITY[..], "identity/entity/id/x/y", Read, Err(Nowhere::Path)),
        (&IDENTITY[..], "identity/entity/name/Zoë B./x", Read, named("Zoë B./x")),
        (&IDENTITY[..], "identity/entity/merge", Update, named("")),
    ] {
        assert_eq!(leads(routes, path, operation), expected, "{path} {operation:?}");
    }
}

/// What Vault protects, as far as it has paths of the kind.
const VAULTS: [&str; 26] = [
    "auth/token/accessors*",
    "auth/token/create-orphan",
    "auth/token/revoke-orphan*",
    "sys/audit",
    "sys/audit/*",
    "sys/auth/*",
    "sys/config/*",
    "sys/generate-root-token*",
    "sys/internal/inspect/*",
    "sys/leases",
    "sys/leases/lookup/*",
    "sys/leases/revoke-force/*",
    "sys/leases/revoke-prefix/*",
    "sys/mounts/*/tune",
    "sys/plugins/catalog/*",
    "sys/pprof/*",
    "sys/raw*",
    "sys/remount*",
    "sys/replication/*",
    "sys/revoke-force/*",
    "sys/revoke-prefix/*",
    "sys/rotate*",
    "sys/seal",
    "sys/step-down",
    "sys/storage/raft/*",
    "sys/unseal/reset",
];

fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((start, end)) => path.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
    }
}

/// What may be asked of a route, with a path of it and what that needs.
fn asked(route: &'static Route) -> Vec<(String, Operation, Right)> {
    use Operation::{Delete, List, Read, Update};
    let rest = match route.tail {
        Tail::End => "",
        Tail::Name | Tail::Rest | Tail::Leaf => "x",
        Tail::Before(end) | Tail::NameBefore(end) => &format!("x{end}"),
    };
    let operations = [
        (Read, route.read.is_some()),
        (List, route.list.is_some()),
        (Update, route.update.is_some()),
        (Delete, route.delete.is_some()),
    ];
    let asked = operations.into_iter().filter(|(_, is)| *is).map(|(operation, _)| operation);
    asked
        .map(|operation| {
            // What is listed ends in a slash, for policies and for this list.
            let slash = if operation == List && rest.is_empty() { "/" } else { "" };
            let path = format!("{}{rest}{slash}", route.path);
            (path, operation, route.right_to(operation))
        })
        .collect()
}

#[test]
fn what_vault_protects_needs_sudo_here() {
    // To see how a mount is tuned needs no more than to see the mount.
    let free = [("sys/mounts/x/tune", Operation::Read)];
    for (path, operation, right) in SYS.iter().chain(&TOKEN).flat_map(asked) {
        let vaults = VAULTS.iter().any(|pattern| matches(pattern, &path));
        if vaults && !free.contains(&(path.as_str(), operation)) {
            assert_eq!(right, Right::Sudo, "{operation:?} {path}");
        }
    }
}

/// What takes `sudo`, ours among it.
const SUDO: [&str; 48] = [
    "Update sys/mounts/x/tune",
    "Read sys/audit",
    "Update sys/audit/x",
    "Delete sys/audit/x",
    "Update sys/audit-keys/x",
    "Read sys/auth/x/tune",
    "Update sys/auth/x/tune",
    "Read sys/auth/x",
    "Update sys/auth/x",
    "Delete sys/auth/x",
    "Update sys/clock/accept",
    "Update sys/seal",
    "Update sys/rotate",
    "Read sys/rotate/config",
    "Update sys/rotate/config",
    "Read sys/leases",
    "List sys/leases/lookup/",
    "List sys/leases/lookup/x",
    "Update sys/leases/lookup/x",
    "Update sys/leases/revoke-prefix/x",
    "Update sys/leases/revoke-force/x",
    "Update sys/revoke-prefix/x",
    "Update sys/revoke-force/x",
    "Read sys/storage/backup",
    "Update sys/storage/take-over/x",
    "Read sys/reconcile",
    "List sys/reconcile/",
    "Read sys/reconcile/x",
    "Update sys/reconcile/x",
    "Read sys/rehearse/x",
    "Update sys/rehearse/x",
    "Update sys/remount",
    "Read sys/remount/status/x",
    "Read sys/config/auditing/request-headers",
    "Read sys/config/auditing/request-headers/x",
    "Update sys/config/auditing/request-headers/x",
    "Delete sys/config/auditing/request-headers/x",
    "Read sys/abandon/x",
    "Update sys/abandon/x",
    "List sys/revocations/",
    "Update sys/revocations",
    "Update sys/revocations/plan",
    "Update sys/revocations/x/pause",
    "Update sys/revocations/x/resume",
    "Read sys/revocations/x",
    "Update auth/token/create-orphan",
    "List auth/token/accessors/",
    "Update auth/token/revoke-orphan",
];

#[test]
fn sudo_and_no_policy_at_all_are_asked_for_by_these_alone() {
    let behind = || DATABASE.iter().chain(&AWS).chain(&USERPASS).chain(&APPROLE).chain(&IDENTITY);
    let own = || SYS.iter().chain(&REVOCATIONS).chain(&TOKEN);
    let all = || own().chain(behind()).flat_map(asked);
    let of = |wanted: Right| -> Vec<String> {
        let found = all().filter(|(.., right)| *right == wanted);
        found.map(|(path, operation, _)| format!("{operation:?} {path}")).collect()
    };
    assert_eq!(of(Right::Sudo), SUDO);
    assert_eq!(
        of(Right::Own),
        [
            "Update sys/capabilities-self",
            "Read sys/internal/ui/resultant-acl",
            "Read sys/internal/ui/mounts",
            "Read sys/internal/ui/mounts/x",
            "Read auth/token/lookup-self",
            "Update auth/token/lookup-self",
            "Update auth/token/renew-self",
            "Update auth/token/revoke-self",
        ]
    );
    assert_eq!(of(Right::Nothing), ["Update login/x", "Update login"]);
}

/// Returns what takes `sudo` as a table: each path, and what of it.
fn sudo_table() -> String {
    let row = |route: &'static Route| {
        let asked = asked(route).into_iter().filter(|(.., right)| *right == Right::Sudo);
        let words: Vec<_> =
            asked.map(|(_, operation, _)| format!("{operation:?}").to_lowercase()).collect();
        let path = route.listed("").path.replace("{name}", ":name");
        (!words.is_empty()).then(|| format!("| `{path}` | {} |\n", words.join(", ")))
    };
    let rows: String = SYS.iter().chain(&REVOCATIONS).chain(&TOKEN).filter_map(row).collect();
    format!("| `sudo` is needed for | to |\n| --- | --- |\n{rows}")
}

#[test]
fn the_documentation_lists_all_that_takes_sudo() {
    let table = sudo_table();
    let documented = include_str!("../../../../docs/API.md");
    assert!(documented.contains(&format!("\n\n{table}\n")), "docs/API.md needs:\n\n{table}");
}

/// What Vault answers without a token, as far as it has paths of the kind. (From 2.0 on what the holders of shares do is
/// not among them; here that is proven by a share or a token.)
const VAULTS_OPEN: [&str; 17] = [
    "sys/generate-root/attempt",
    "sys/generate-root/update",
    "sys/health",
    "sys/init",
    "sys/internal/specs/openapi",
    "sys/internal/ui/mounts*",
    "sys/leader",
    "sys/metrics",
    "sys/mfa/validate",
    "sys/rekey-recovery-key/init",
    "sys/rekey-recovery-key/update",
    "sys/rekey-recovery-key/verify",
    "sys/rekey/*",
    "sys/seal-status",
    "sys/unseal",
    "sys/wrapping/lookup",
    "sys/wrapping/pubkey",
];

#[test]
fn nothing_is_open_here_that_is_not_open_at_vault() {
    let opened: Vec<_> = listed_paths().into_iter().filter(|listed| listed.open).collect();
    let always = opened.iter().filter(|listed| listed.behind.is_empty());
    let paths: Vec<_> = always.map(|listed| listed.path.as_str()).collect();
    assert_eq!(paths.len(), OPEN.len() + 1);
    for path in paths {
        assert!(VAULTS_OPEN.iter().any(|pattern| matches(pattern, path)), "{path}");
        assert!(!VAULTS.iter().any(|pattern| matches(pattern, path)), "{path} needs sudo at Vault");
    }
    // Behind mounts only logins are.
    let mut logins = opened.iter().filter(|listed| !listed.behind.is_empty());
    assert!(logins.all(|listed| listed.path.starts_with("login")), "{opened:?}");
}

#[test]
fn every_table_is_listed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/routes");
    let sources = std::fs::read_dir(folder).unwrap();
    let sources = sources.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    // The length of each table stands in its type.
    let lengths = |source: &str| -> usize {
        let tables = source.split("Route; ").skip(1);
        let lengths = tables.filter_map(|rest| rest.split(']').next()?.parse::<usize>().ok());
        lengths.sum()
    };
    let routes: usize = sources.map(|source| lengths(&source)).sum();
    assert!(routes > 150, "{routes}");
    assert_eq!(listed_paths().len(), routes + 1, "all tables, and the page of the metrics");
}

#[test]
fn a_name_in_a_path_is_put_in_its_place_as_the_broker_knows_it() {
    for (routes, path, meant) in [
        (&USERPASS[..], "users/ADMIN/password", Some("users/admin/password")),
        (&USERPASS[..], "users/ADMIN", Some("users/admin")),
        (&USERPASS[..], "login/ Ann", Some("login/ann")),
        (&USERPASS[..], "users", None),
        (&APPROLE[..], "role/App/secret-id/lookup", Some("role/app/secret-id/lookup")),
        (&APPROLE[..], "role/App/token-ttl", Some("role/app/token-ttl")),
        (
            &SYS[..],
            "sys/locked-users/auth_X/unlock/ANN",
            Some("sys/locked-users/auth_X/unlock/ann"),
        ),
        (&SYS[..], "sys/locked-users/ANN", None),
        (&SYS[..], "sys/policies/acl/Team", Some("sys/policies/acl/team")),
        (&SYS[..], "sys/policies/password/Team", None),
        (&DATABASE[..], "creds/App", None),
        (&IDENTITY[..], "identity/entity/name/Zo\u{cb} B", Some("identity/entity/name/zo\u{eb} b")),
    ] {
        let found = matching(routes, path).and_then(|(route, name)| route.with_meant(name));
        assert_eq!(found.as_deref(), meant, "{path}");
        let again = meant.and_then(|meant| matching(routes, meant));
        let again = again.and_then(|(route, name)| route.with_meant(name));
        assert_eq!(again.as_deref(), meant, "what is meant means itself");
    }
}

/// What a policy denies by a name it denies however the name is written, in the rule as well as in the request.
#[test]
fn policies_know_every_place_where_names_are_the_same_in_any_case() {
    let tables = [
        ("", &SYS[..]),
        ("", &IDENTITY[..]),
        ("", &TOKEN[..]),
        ("auth/people/", &USERPASS[..]),
        ("auth/apps/", &APPROLE[..]),
        ("db/", &DATABASE[..]),
    ];
    for (mount, routes) in tables {
        for route in routes {
            let path = format!("{mount}{}Name", route.path);
            let names = !matches!(route.tail, Tail::End);
            let folds = route.meant.is_some();
            assert!(!folds || is_caseless(&path), "{path} is the same in any case");
            // Under a method there is nothing else that a path can name.
            let other = names && !folds && !mount.starts_with("auth/");
            assert!(!other || !is_caseless(&path), "{path} is another in another case");
        }
    }
}
