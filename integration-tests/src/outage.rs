//! Leases over four targets lapse while one of them is down: the others go on time, and it once it is back.
//!
//! The real server lends at real PostgreSQL, MariaDB and Redis servers and at a stand-in for AWS. What is seen is seen at
//! the targets: until when a credential is listed there.

#![expect(
    clippy::expect_used,
    reason = "support of tests: whatever is not as expected fails the test at once"
)]

use crate::aws::Account;
use crate::engine_suite::now;
use crate::redis::Users;
use crate::server::{Answer, Place, Server};
use crate::{mariadb, postgres, redis};
use futures_util::future::join_all;
use leasehold_core::time::Timestamp;
use serde_json::json;
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many callers ask at once at each target.
const CALLERS: usize = 8;
/// How long is waited for what has to come about: a target that was down is tried again later and later.
const PATIENCE: Duration = Duration::from_mins(15);
/// How soon after their lapse leases are revoked whose target is up, however busy the machine is: by far less than a
/// target that is down is tried again.
const LATE_MAX: Duration = Duration::from_mins(1);
/// How often it is looked whether it has.
const LOOKS_EVERY: Duration = Duration::from_millis(250);

/// The targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A PostgreSQL server.
    Postgres,
    /// A MariaDB server. It is the one that is down.
    MariaDb,
    /// A Redis server.
    Redis,
    /// What stands in for AWS.
    Aws,
}

/// How many leases there are at each target, and how long they live.
#[derive(Clone, Copy, Debug)]
pub struct Leases {
    /// At PostgreSQL.
    pub postgres: usize,
    /// At MariaDB; all have to be lent before the first of them lapses.
    pub mariadb: usize,
    /// At Redis.
    pub redis: usize,
    /// At AWS.
    pub aws: usize,
    /// From issue to lapse.
    pub term: Duration,
}

/// What was seen at one target, once nothing of ours was left there.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which.
    pub at: At,
    /// How many leases lapsed.
    pub leases: usize,
    /// From a lapse to when the credential was seen to be gone: in the middle.
    pub median: Duration,
    /// The same at worst.
    pub worst: Duration,
    /// How long after its return that was, where the target was down.
    pub after_return: Option<Duration>,
}

/// When credentials lapse, by their names.
type Lent = BTreeMap<String, Timestamp>;

impl At {
    const ALL: [Self; 4] = [Self::Postgres, Self::MariaDb, Self::Redis, Self::Aws];

    fn role(self) -> &'static str {
        match self {
            Self::Postgres => "database/creds/postgres",
            Self::MariaDb => "database/creds/mariadb",
            Self::Redis => "database/creds/redis",
            Self::Aws => "aws/creds/aws",
        }
    }
}

/// The targets, and the server that lends there.
struct Site {
    server: Server,
    _place: Place,
    postgres: postgres::Server,
    mariadb: mariadb::Server,
    redis: redis::Server,
    aws: Account,
}

impl Site {
    async fn with_terms_of(term: Duration) -> Self {
        let place = Place::new();
        let site = Self {
            server: place.found().await,
            _place: place,
            postgres: postgres::Server::start(postgres::Version::Distribution),
            mariadb: mariadb::Server::start(),
            redis: redis::Server::start(Users::Nowhere),
            aws: Account::open(),
        };
        site.postgres.lend_through(&site.server).await;
        let ttl = format!("{}s", term.as_secs());
        let made = "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'";
        let of_postgres = json!({ "db_name": "pg", "grant_roles": ["readonly"], "scram_iterations": 1, "default_ttl": ttl });
        let of_mariadb =
            json!({ "db_name": "my", "creation_statements": made, "default_ttl": ttl });
        for (path, written) in [
            ("database/roles/postgres", of_postgres),
            ("database/config/my", site.mariadb.config()),
            ("database/roles/mariadb", of_mariadb),
            ("database/config/cache", site.redis.config()),
            ("database/roles/redis", json!({ "db_name": "cache", "default_ttl": ttl })),
            ("sys/mounts/aws", json!({ "type": "aws" })),
            ("aws/config/root", site.aws.config()),
            ("aws/config/lease", json!({ "lease": ttl, "lease_max": "12h" })),
            ("aws/roles/aws", json!({ "credential_type": "iam_user" })),
        ] {
            let _ = site.server.post(path, written).await.expect(204);
        }
        site
    }

    /// Takes so many leases, with some callers at once.
    async fn lend(&self, at: At, leases: usize) -> Lent {
        let caller = async |own: usize| {
            let mut lent = Vec::new();
            for _ in 0..own {
                let asked_at = now();
                let answer = self.server.get(at.role()).await.expect(200);
                let term = answer.body["lease_duration"].as_u64().expect("it has a term");
                // It began a little later, so that what is measured is not made smaller.
                lent.push((self.name(&answer).await, asked_at.plus(Duration::from_secs(term))));
            }
            lent
        };
        let each = (0..CALLERS).map(|nth| caller((leases + nth) / CALLERS));
        let lent: Lent = join_all(each).await.into_iter().flatten().collect();
        assert_eq!(lent.len(), leases);
        lent
    }

    /// Returns the name of what was lent.
    async fn name(&self, answer: &Answer) -> String {
        let text = |name: &str| answer.data()[name].as_str().map(str::to_owned);
        if let Some(name) = text("username") {
            return name;
        }
        let (id, secret) = (text("access_key").expect("a key"), text("secret_key").expect("its"));
        self.aws.who_is(&id, &secret).await.expect("the key is good")
    }

    /// Returns the names of what Leasehold has made at a target and is there.
    async fn credentials(&self, at: At) -> BTreeSet<String> {
        match at {
            At::Postgres => {
                let mut session = self.postgres.superuser("postgres").await;
                let sql = "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'v-%'";
                let rows = sqlx::raw_sql(sql).fetch_all(&mut session).await.expect("listed");
                rows.iter().map(|row| row.get(0)).collect()
            }
            At::MariaDb => {
                let session = self.mariadb.log_in(mariadb::ROOT, mariadb::ROOT_PASSWORD).await;
                let sql = "SELECT User FROM mysql.global_priv WHERE User LIKE 'v-%'";
                let rows = sqlx::raw_sql(sql).fetch_all(&mut session.expect("it is up")).await;
                rows.expect("listed").iter().map(|row| row.get_unchecked(0)).collect()
            }
            At::Redis => {
                let users = self.redis.users().await;
                users.into_iter().filter(|name| name.starts_with("V_")).collect()
            }
            At::Aws => {
                let listed = self.aws.iam().list_users().into_paginator().items().send();
                let listed = listed.collect::<Result<Vec<_>, _>>().await.expect("listed");
                let names = listed.iter().map(|user| user.user_name().to_owned());
                names.filter(|name| name.starts_with("vault-")).collect()
            }
        }
    }

    /// Waits until nothing that was lent at a target is there any more, and makes sure that all of it was until it lapsed.
    async fn all_gone(&self, at: At, mut lent: Lent) -> Seen {
        let (leases, deadline) = (lent.len(), now().plus(PATIENCE));
        let mut late = Vec::new();
        while !lent.is_empty() {
            let there = self.credentials(at).await;
            let looked_at = now();
            for (name, lapses_at) in lent.extract_if(.., |name, _| !there.contains(name)) {
                assert!(looked_at >= lapses_at, "{at:?}: {name} was not there until it lapsed");
                late.push(looked_at.since(lapses_at));
            }
            assert!(looked_at < deadline, "{at:?}: {} are still there", lent.len());
            tokio::time::sleep(LOOKS_EVERY).await;
        }
        late.sort();
        Seen { at, leases, median: late[leases / 2], worst: late[leases - 1], after_return: None }
    }

    /// Lends at a target that is up, and waits until all of that is gone, each in its time.
    async fn come_and_gone(&self, at: At, leases: usize) -> Seen {
        let lent = self.lend(at, leases).await;
        let seen = self.all_gone(at, lent).await;
        assert!(seen.worst < LATE_MAX, "{at:?}: one was revoked {:?} after its lapse", seen.worst);
        seen
    }

    /// Waits until so many leases could not be revoked when they lapsed.
    async fn have_failed(&self, leases: usize) {
        let deadline = now().plus(PATIENCE);
        loop {
            let told = self.server.get("sys/leases/count?type=irrevocable").await.expect(200);
            let failed = told.data()["lease_count"].as_u64().expect("a number");
            if failed >= u64::try_from(leases).unwrap() {
                return;
            }
            assert!(now() < deadline, "{failed} of {leases} have failed");
            tokio::time::sleep(LOOKS_EVERY).await;
        }
    }

    /// Makes sure that no target has anything of ours, and waits until the store has no lease.
    async fn nothing_is_left(&self) {
        for at in At::ALL {
            assert_eq!(self.credentials(at).await, BTreeSet::new(), "{at:?}");
            // A lease is removed once its revocation is recorded, a moment after its credential is gone.
            let deadline = now().plus(PATIENCE);
            while self.server.list(&format!("sys/leases/lookup/{}", at.role())).await.status != 404
            {
                assert!(now() < deadline, "{at:?}: there still are leases");
                tokio::time::sleep(LOOKS_EVERY).await;
            }
        }
    }
}

/// Lends at MariaDB and stops it; lends at the others and waits until all of that is gone; starts MariaDB again and
/// waits for it.
pub async fn run(leases: Leases) -> Vec<Seen> {
    let site = Site::with_terms_of(leases.term).await;
    let began = now();
    let at_mariadb = site.lend(At::MariaDb, leases.mariadb).await;
    site.mariadb.kill();
    assert!(now() < began.plus(leases.term), "some have lapsed before it was down");

    let (of_postgres, of_redis, of_aws) = tokio::join!(
        site.come_and_gone(At::Postgres, leases.postgres),
        site.come_and_gone(At::Redis, leases.redis),
        site.come_and_gone(At::Aws, leases.aws),
    );
    // The sweep asks a target that is down for a few at a time.
    site.have_failed(1).await;
    let last_lapse = at_mariadb.values().max().copied().unwrap_or_default();
    tokio::time::sleep(last_lapse.since(now())).await;

    site.mariadb.restart();
    let returned = now();
    let of_mariadb = site.all_gone(At::MariaDb, at_mariadb).await;
    let of_mariadb = Seen { after_return: Some(now().since(returned)), ..of_mariadb };
    site.nothing_is_left().await;
    vec![of_postgres, of_redis, of_aws, of_mariadb]
}
