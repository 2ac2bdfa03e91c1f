//! However a name is written in a path, policies, quotas and the audit see the one that the broker acts on.

use crate::lending::Lending;
use leasehold_integration_tests::aws::Account;
use leasehold_integration_tests::server::{Answer, Place, Server};
use leasehold_server::{ListedPath, listed_paths};
use serde_json::{Value, json};
use sqlx::Executor as _;
use std::collections::BTreeMap;
use std::fs;

const METHODS: [&str; 4] = ["GET", "LIST", "POST", "DELETE"];
/// There is nothing of this name anywhere.
const NOBODY: &str = "nobody-at-all";
/// Paths that answer alike whether there is what they name or not, and why nothing can be passed there all the same.
const ALIKE: [(&str, &str); 4] = [
    (
        "sys/leases/revoke/{name}",
        "a lease that is not there is revoked; its id is one text and no other",
    ),
    ("sys/revoke/{name}", "the same"),
    ("sys/internal/ui/mounts/{name}", "it tells what the caller's own policies reach"),
    ("auth/token/create/{name}", "what it makes is named by the role as it is written"),
];

/// Something of every kind that a path can name.
struct World {
    place: Place,
    lending: Lending,
    _account: Account,
    /// What there is, by where its name stands.
    names: BTreeMap<&'static str, String>,
    /// What is sent.
    role_id: String,
}

/// Writes what paths can name.
async fn set_up(server: &Server, account: &Account) {
    let of_a_reader = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "iam:GetAccountSummary", "Resource": "*"}]}"#;
    for (path, body) in [
        ("sys/auth/userpass", json!({ "type": "userpass" })),
        ("sys/auth/approle", json!({ "type": "approle" })),
        ("sys/mounts/aws", json!({ "type": "aws" })),
        ("aws/config/root", account.config()),
        ("aws/roles/app", json!({ "credential_type": "iam_user", "policy_document": of_a_reader })),
        ("aws/static-roles/fixed", json!({ "username": "robot", "rotation_period": "1h" })),
        (
            "database/static-roles/fixed",
            json!({ "db_name": "pg", "username": "billing", "rotation_period": "1h" }),
        ),
        ("auth/userpass/users/ann", json!({ "password": "right" })),
        ("auth/approle/role/app", json!({})),
        ("auth/token/roles/app", json!({})),
        ("sys/policies/acl/team", json!({ "policy": "path \"x\" { capabilities = [\"read\"] }" })),
        (
            "sys/policies/password/app",
            json!({ "policy": "length = 20\nrule \"charset\" { charset = \"abcdefghij\" }" }),
        ),
        ("sys/quotas/rate-limit/app", json!({ "rate": 100_000, "path": "sys/locked-users" })),
        ("sys/quotas/lease-count/app", json!({ "max_leases": 100_000 })),
        ("sys/config/auditing/request-headers/x-one", json!({})),
        ("cubbyhole/app", json!({ "a": "b" })),
        ("sys/mounts/moved", json!({ "type": "database" })),
    ] {
        let _ = server.post(path, body).await.expect(204);
    }
}

impl World {
    async fn new() -> Self {
        let place = Place::new();
        let lending = Lending::on(place.found().await).await;
        let account = Account::open();
        let server = &lending.server;
        let mut superuser = lending.target.superuser("postgres").await;
        superuser.execute("CREATE ROLE billing LOGIN PASSWORD 'the old one'").await.unwrap();
        account.iam().create_user().user_name("robot").send().await.unwrap();
        set_up(server, &account).await;
        let entity = server.post("identity/entity/name/app", json!({})).await.expect(200);
        let group =
            server.post("identity/group/name/app", json!({ "type": "external" })).await.expect(200);
        let auth = server.get("sys/auth").await.expect(200);
        let accessor = auth.data()["userpass/"]["accessor"].as_str().unwrap().to_owned();
        let alias = |of: &Answer| json!({ "name": "x", "mount_accessor": accessor, "canonical_id": of.at("/data/id") });
        let entity_alias = server.post("identity/entity-alias", alias(&entity)).await.expect(200);
        let group_alias = server.post("identity/group-alias", alias(&group)).await.expect(200);
        let moved = json!({ "from": "moved", "to": "there" });
        let moved = server.post("sys/remount", moved).await.expect(200);
        let role_id = server.get("auth/approle/role/app/role-id").await.expect(200);
        let revoked = json!({ "prefix": "there" });
        let revoked = server.post("sys/revocations", revoked).await.expect(200);
        let names = BTreeMap::from([
            ("sys/revocations/", revoked.at("/data/id").to_owned()),
            ("identity/entity/id/", entity.at("/data/id").to_owned()),
            ("identity/group/id/", group.at("/data/id").to_owned()),
            ("identity/entity-alias/id/", entity_alias.at("/data/id").to_owned()),
            ("identity/group-alias/id/", group_alias.at("/data/id").to_owned()),
            ("sys/remount/status/", moved.at("/migration_id").to_owned()),
            ("sys/locked-users/", format!("{accessor}/unlock/ann")),
        ]);
        Self {
            place,
            _account: account,
            names,
            role_id: role_id.at("/data/role_id").to_owned(),
            lending,
        }
    }

    fn server(&self) -> &Server {
        &self.lending.server
    }

    /// Returns what a path names that is there. Of paths that are not known here nobody can say.
    fn name(&self, listed: &ListedPath, lease: &str) -> String {
        let before = listed.path.split("{name}").next().unwrap_or_default();
        if let Some(name) = self.names.get(before) {
            return name.clone();
        }
        let name = match (listed.behind, before) {
            ("userpass", _) => "ann",
            ("database", "config/" | "reset/" | "rotate-root/") => "pg",
            ("database" | "aws", "static-creds/" | "static-roles/" | "rotate-role/") => "fixed",
            ("sys" | "", "sys/mounts/") | ("", "sys/internal/ui/mounts/") => "database",
            ("", "sys/auth/") => "userpass",
            ("", "sys/audit/" | "sys/audit-hash/" | "sys/audit-keys/") => "first",
            ("", "sys/policies/acl/" | "sys/policy/") => "team",
            ("", "sys/config/auditing/request-headers/") => "x-one",
            ("", "sys/storage/take-over/" | "sys/reconcile/" | "sys/abandon/") => "database/pg",
            ("", "sys/rehearse/") => "database/app",
            (
                "",
                "sys/leases/revoke-prefix/"
                | "sys/leases/revoke-force/"
                | "sys/revoke-prefix/"
                | "sys/revoke-force/",
            ) => "database/creds/app",
            ("", leases)
                if leases.contains("/renew/")
                    || leases.contains("/revoke/")
                    || leases.contains("/lookup/") =>
            {
                lease
            }
            (_, _) => "app",
        };
        name.to_owned()
    }

    /// Asks for something under a name, and returns what tells that it is there from what tells that it is not.
    async fn told(
        &self,
        token: &str,
        method: &str,
        listed: &ListedPath,
        name: &str,
    ) -> (u16, String) {
        let body = match listed.path.as_str() {
            "role/{name}/custom-secret-id" => json!({ "secret_id": format!("one-{name}") }),
            "role/{name}/role-id" => json!({ "role_id": self.role_id }),
            path if path.contains("secret-id-accessor/") => json!({ "secret_id_accessor": "x" }),
            path if path.contains("secret-id/") => json!({ "secret_id": "x" }),
            "sys/audit-hash/{name}" => json!({ "input": "x" }),
            _ => json!({ "password": "right" }),
        };
        let body = if method == "POST" { body } else { Value::Null };
        let answer = self.server().ask(token, method, &path(listed, name), body).await;
        let name = name.replace("%20", "").to_lowercase();
        (answer.status, answer.errors().to_lowercase().replace(&name, "NAME"))
    }
}

fn path(listed: &ListedPath, name: &str) -> String {
    let mount = match listed.behind {
        "" => String::new(),
        "userpass" | "approle" => format!("auth/{}/", listed.behind),
        engine => format!("{engine}/"),
    };
    format!("{mount}{}", listed.path.replace("{name}", name))
}

/// Other ways of writing a name, of which some mean the same to some paths.
fn variants(name: &str) -> Vec<String> {
    let (before, last) = name.rsplit_once('/').map_or(("", name), |(before, last)| (before, last));
    let slash = if before.is_empty() { "" } else { "/" };
    let of = |last: &str| format!("{before}{slash}{last}");
    let mut capital = last.to_owned();
    if let Some(first) = capital.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    vec![
        name.to_uppercase(),
        of(&last.to_uppercase()),
        of(&capital),
        of(&format!("%20{last}")),
        of(&format!("{last}%20")),
        of(&format!("{last}/")),
    ]
}

/// Returns a token that may do everything but what is at this path.
async fn denied(server: &Server, path: &str) -> String {
    let policy = format!(
        "path \"*\" {{ capabilities = [\"create\", \"read\", \"update\", \"delete\", \"list\", \"sudo\"] }}\n\
         path \"{path}\" {{ capabilities = [\"deny\"] }}"
    );
    let _ = server.post("sys/policies/acl/denied", json!({ "policy": policy })).await.expect(204);
    let made = server.post("auth/token/create", json!({ "policies": "denied" })).await.expect(200);
    made.at("/auth/client_token").to_owned()
}

#[tokio::test]
async fn cve_2025_6004_and_64761_no_other_way_of_writing_a_name_passes_a_policy_that_denies_it() {
    let world = World::new().await;
    let server = world.server();
    let root = server.token.clone();
    let mut named: Vec<_> =
        listed_paths().into_iter().filter(|listed| listed.path.contains("{name}")).collect();
    assert!(named.len() > 70, "{}", named.len());
    // What ends or moves what others name comes last.
    let ends =
        |listed: &ListedPath| ["revoke", "abandon"].iter().any(|end| listed.path.contains(end));
    named.sort_by_key(ends);
    let mut complaints = Vec::new();
    for listed in &named {
        let lease = world.lending.lend().await.lease_id;
        let name = world.name(listed, &lease);
        let mut told_apart = None;
        for method in METHODS.into_iter().filter(|method| listed.methods.contains(method)) {
            let is = world.told(&root, method, listed, &name).await;
            let absent = world.told(&root, method, listed, NOBODY).await;
            if is != absent {
                told_apart = Some((method, is, absent));
                break;
            }
        }
        let Some((method, is, absent)) = told_apart else {
            let excused = ALIKE.iter().any(|(path, _)| *path == listed.path);
            let unknown = format!(
                "{listed:?} answers alike for `{name}` and `{NOBODY}`: this test must have what it names"
            );
            complaints.extend((!excused).then_some(unknown));
            continue;
        };
        if listed.open {
            continue;
        }
        let denied = denied(server, &path(listed, &name)).await;
        for variant in [vec![name.clone()], variants(&name)].concat() {
            // What the broker takes for the same must be refused as the same.
            let answer = world.told(&root, method, listed, &variant).await;
            let is_same = answer == is || (answer != absent && answer.0 < 300);
            let told = world.told(&denied, method, listed, &variant).await;
            if is_same && told.0 != 403 {
                complaints.push(format!("{method} {}: {told:?}", path(listed, &variant)));
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[tokio::test]
async fn a_name_in_capitals_is_counted_recorded_and_told_of_as_the_one_that_it_means() {
    let world = World::new().await;
    let server = world.server();
    let limit = json!({ "rate": 2, "interval": "1h", "path": "auth/userpass/login/Ann" });
    let _ = server.post("sys/quotas/rate-limit/ann", limit).await.expect(204);
    let shown = server.get("sys/quotas/rate-limit/ann").await.expect(200);
    assert_eq!(shown.at("/data/path"), "auth/userpass/login/ann");
    for (name, status) in [("ANN", 200), ("aNn", 200), ("Ann", 429), ("%20ann", 429), ("bob", 400)]
    {
        let path = format!("auth/userpass/login/{name}");
        let _ = server.ask("", "POST", &path, json!({ "password": "right" })).await.expect(status);
    }
    let audit = fs::read_to_string(world.place.path("audit")).unwrap();
    assert!(
        audit.contains("\"auth/userpass/login/ann\"") && !audit.contains("login/ANN"),
        "{audit}"
    );

    let token = denied(server, "auth/userpass/users/ann").await;
    let asked = json!({ "paths": ["auth/userpass/users/ANN", "auth/userpass/users/bob"] });
    let told = server.ask(&token, "POST", "sys/capabilities-self", asked).await.expect(200);
    assert_eq!(told.body["auth/userpass/users/ANN"], json!(["deny"]));
    assert_ne!(told.body["auth/userpass/users/bob"], json!(["deny"]));
}
