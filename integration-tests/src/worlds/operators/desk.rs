//! Those who have the secrets of the desk's accounts rotated: by a plan, at once, and under another static role.

use super::Operators;
use crate::worlds::address::Address;
use crate::worlds::callers::{ROOT, request};
use crate::worlds::desk::{CLERKS, KEEPER, MOUNT, TARGET, password_of};
use leasehold_core::broker::{MountWrite, Request, StaticRoleError, StaticRoleWrite, TargetWrite};
use leasehold_core::schedule::PlanWrite;
use std::sync::Arc;
use std::time::Duration;

/// How often somebody tries at the end, a minute after the other, before an account cannot be rotated any more: what
/// was asked may land for that long, and a server may not have been compared for longer.
const LAST_TRIES: u32 = 10;

/// What people make up.
fn by_hand(name: &str) -> String {
    format!("{name}, by hand")
}

impl Operators {
    fn request(&self) -> Request {
        request(self.setting(), ROOT)
    }

    /// Everything is at the desk that should be; what is there stays as it is.
    pub async fn open_desk(&self) {
        for name in CLERKS.into_iter().chain([KEEPER]) {
            if !self.servers[0].has_person(name) {
                self.servers[0].set_by_hand(name, &by_hand(name));
            }
        }
        let wanted =
            MountWrite { path: MOUNT.into(), kind: "database".into(), ..MountWrite::default() };
        let asked = self.request();
        self.ask(|broker| Box::pin(async move { drop(broker.enable_mount(&asked, wanted).await) }))
            .await;
        if !self.has_target() {
            // It was never rotated.
            self.write_desk(&by_hand(KEEPER)).await;
        }
        for name in CLERKS {
            self.write_clerk(name).await;
        }
    }

    fn has_target(&self) -> bool {
        let broker = self.crowd.nodes.first().and_then(|node| node.broker());
        let catalog = broker.map(|broker| broker.catalog());
        catalog.is_some_and(|it| it.at(MOUNT).is_some_and(|at| at.targets.contains_key(TARGET)))
    }

    /// Writes the configuration, with this password of the administrator.
    async fn write_desk(&self, password: &str) {
        let mut fields = Address::usual(self.servers[0].number).fields();
        fields.insert("username".into(), KEEPER.into());
        fields.insert("password".into(), password.into());
        let write = TargetWrite {
            mount: MOUNT.into(),
            name: TARGET.into(),
            plugin_name: Some("simulated".into()),
            allowed_roles: Some(vec!["*".into()]),
            fields,
            ..TargetWrite::default()
        };
        let asked = self.request();
        self.ask(|broker| Box::pin(async move { drop(broker.write_target(&asked, write).await) }))
            .await;
    }

    /// Writes a static role: a new one, or another plan for one that is there.
    async fn write_clerk(&self, name: &'static str) {
        let period = self.setting().dice.span(Duration::from_mins(10), Duration::from_hours(2));
        let write = StaticRoleWrite {
            mount: MOUNT.into(),
            name: name.into(),
            target: Some(TARGET.into()),
            username: Some(name.into()),
            plan: PlanWrite { period: Some(period), ..PlanWrite::default() },
            ..StaticRoleWrite::default()
        };
        let asked = self.request();
        self.crowd.site.judge.asks_for_rotation(name);
        self.ask(|broker| {
            Box::pin(async move { drop(broker.write_static_role(&asked, write).await) })
        })
        .await;
    }

    /// Somebody has a secret rotated now. False if that failed, or nobody knows.
    async fn rotate_clerk(&self, name: &'static str) -> bool {
        let (asked, judge) = (self.request(), Arc::clone(&self.crowd.site.judge));
        judge.asks_for_rotation(name);
        let rotated = self.ask(|broker| {
            Box::pin(async move {
                let rotated = broker.rotate_role(&asked, MOUNT, name).await;
                if rotated.is_ok() {
                    judge.granted(&asked.asked.id);
                }
                rotated
            })
        });
        let rotated = rotated.await.is_some_and(|rotated| rotated.is_ok());
        if !rotated {
            self.setting().counters.not_rotated.one();
        }
        rotated
    }

    /// Somebody has the administrator's password rotated now. False if that failed, or nobody knows.
    async fn rotate_keeper(&self) -> bool {
        let asked = self.request();
        let rotated = self.ask(|broker| {
            Box::pin(async move { broker.rotate_root(&asked, MOUNT, TARGET).await.is_ok() })
        });
        let rotated = rotated.await == Some(true);
        if !rotated {
            self.setting().counters.not_rotated.one();
        }
        rotated
    }

    /// Where a restored store is older than the administrator's password, somebody gives both another.
    pub async fn mend_desk(&self) {
        let asked = self.request();
        let held = self.ask(|broker| {
            Box::pin(async move { broker.restore_status(&asked).await.unwrap_or_default() })
        });
        let held = held.await.unwrap_or_default();
        if held.iter().any(|held| held.hold.older_since.is_some()) {
            self.setting().counters.roots_given.one();
            let password = by_hand(&self.setting().next_request());
            self.servers[0].set_by_hand(KEEPER, &password);
            self.write_desk(&password).await;
        }
    }

    /// An account is left to people, and managed again some time later.
    async fn leave_clerk(&self, name: &'static str) {
        let asked = self.request();
        self.ask(|broker| {
            Box::pin(async move { drop(broker.delete_static_role(&asked, MOUNT, name).await) })
        })
        .await;
        self.pause(Duration::from_mins(2)).await;
        self.write_clerk(name).await;
    }

    /// Asks for one thing after the other, until `end`.
    pub async fn rotate(self: Arc<Self>, end: u64, pause: Duration) {
        while self.setting().executor.now() < end {
            self.pause(pause).await;
            let name = *self.setting().dice.one_of(&CLERKS);
            self.mend_desk().await;
            match self.setting().dice.below(12) {
                10..12 => drop(self.rotate_keeper().await),
                0..7 => drop(self.rotate_clerk(name).await),
                7 => self.write_clerk(name).await,
                _ => self.leave_clerk(name).await,
            }
        }
    }

    /// Nothing goes wrong any more: every account can be rotated, and lets in whoever has what is told.
    pub async fn close_desk(&self) {
        let mut is_rotated = false;
        for _ in 0..LAST_TRIES {
            self.mend_desk().await;
            is_rotated = self.rotate_keeper().await;
            if is_rotated {
                break;
            }
            self.setting().executor.sleep(Duration::from_mins(1)).await;
        }
        if !is_rotated {
            let what = "the administrator of the desk cannot be rotated at the end";
            self.setting().broken(6, None, what);
        }
        self.open_desk().await;
        for name in CLERKS {
            let mut is_rotated = false;
            for _ in 0..LAST_TRIES {
                is_rotated = self.rotate_clerk(name).await;
                if is_rotated {
                    break;
                }
                self.setting().executor.sleep(Duration::from_mins(1)).await;
            }
            let asked = self.request();
            let told = self.ask(|broker| {
                Box::pin(async move { broker.static_credential(&asked, MOUNT, name).await })
            });
            let told: Option<Result<_, StaticRoleError>> = told.await;
            let password = told.and_then(Result::ok).and_then(|told| password_of(&told.secret));
            let is_let_in = password.is_some_and(|it| self.servers[0].lets_in(name, &it));
            if !is_rotated || !is_let_in {
                let what = format!("`{name}` at the end: rotated {is_rotated}, let in {is_let_in}");
                self.setting().broken(6, None, what);
            }
        }
    }
}
