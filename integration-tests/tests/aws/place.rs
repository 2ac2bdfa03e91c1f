//! An account with an engine opened on it, and what tests ask of both.

use aws_sdk_iam::Client;
use aws_sdk_iam::types::StatusType;
use leasehold_core::engine::{Engine as _, EngineError, Issue, Origin};
use leasehold_core::ids::LeaseId;
use leasehold_core::secret::Secret;
use leasehold_engines::aws::{Aws, Config, Handle, Role};
use leasehold_integration_tests::aws::Account;
use leasehold_integration_tests::engine_suite::way::Way;
use leasehold_integration_tests::engine_suite::{self as suite, Login, Opening, PATIENCE, Site};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Place {
    pub(crate) account: Account,
    pub(crate) engine: Arc<Aws>,
    pub(crate) origin: Origin,
    pub(crate) role: Arc<Role>,
}

impl Site for Place {
    type Engine = Aws;
    /// A key has no sessions: each call is signed by itself.
    type Session = Client;

    const TOGETHER: bool = false;
    const HAS_SESSIONS: bool = false;

    fn engine(&self) -> &Arc<Aws> {
        &self.engine
    }

    fn role(&self) -> Arc<Role> {
        Arc::clone(&self.role)
    }

    fn lease(&self) -> LeaseId {
        suite::old_lease()
    }

    fn name(&self, handle: &Handle) -> String {
        handle.name().to_owned()
    }

    fn login(&self, secret: &Secret) -> Login {
        Login::of_fields(secret, ("access_key", "secret_key"))
    }

    async fn name_of(&self, login: &Login) -> String {
        self.account.who_is(&login.username, &login.password).await.expect("the key is good")
    }

    async fn log_in(&self, login: &Login) -> Result<Client, String> {
        self.account.who_is(&login.username, &login.password).await?;
        Ok(self.account.iam_as(&login.username, &login.password))
    }

    async fn works(&self, session: &mut Client) -> bool {
        let may_not = session.list_users().send().await;
        assert!(may_not.is_err(), "the credential may do only what its role says");
        session.get_account_summary().send().await.is_ok()
    }

    async fn credentials(&self) -> BTreeSet<String> {
        let listed = self.account.iam().list_users().into_paginator().items().send();
        let listed = listed.collect::<Result<Vec<_>, _>>().await.expect("users are listed");
        listed.iter().map(|user| user.user_name().to_owned()).collect()
    }

    async fn plant(&self, name: &str) {
        self.account.iam().create_user().user_name(name).send().await.expect("it is planted");
    }

    /// One that was made long ago: AWS knows of it everywhere.
    async fn make_account(&self, name: &str) {
        self.plant(name).await;
        self.account.judge(json!({"forget": {name: 0}})).await;
    }

    async fn lock_out(&self, name: &str) {
        let iam = self.account.iam();
        let listed = iam.list_access_keys().user_name(name).send().await.expect("keys are listed");
        for key in listed.access_key_metadata {
            let altered = iam.update_access_key().user_name(name).status(StatusType::Inactive);
            let altered = altered.set_access_key_id(key.access_key_id).send().await;
            altered.expect("the key is switched off");
        }
    }

    fn origin(&self) -> Origin {
        self.origin
    }

    fn port(&self) -> u16 {
        self.account.port()
    }

    fn opened_again(&self, opening: &Opening) -> Arc<Aws> {
        let mut fields = self.account.config();
        for endpoint in ["iam_endpoint", "sts_endpoint"] {
            fields[endpoint] = json!(format!("http://127.0.0.1:{}", opening.port));
        }
        let opened = Aws::open(config(&fields), opening.origin, Arc::clone(&opening.clock));
        Arc::new(opened.expect("the target opens"))
    }

    fn suspend(&self) {
        self.account.suspend();
    }

    fn resume(&self) {
        self.account.resume();
    }

    fn kill(&self, way: &Way) {
        way.cut();
    }

    fn restart(&self, way: &Way) {
        way.mend();
    }
}

impl Place {
    /// Issues one credential by a role of its own.
    pub(crate) async fn issue_by(
        &self,
        role: &Arc<Role>,
    ) -> (Issue<Aws>, Result<Login, EngineError>) {
        let issue = prepared(&self.engine, role, ("tester", "app"), PATIENCE);
        let answer = self.engine.issue(std::slice::from_ref(&issue)).await.remove(0);
        (issue, answer.map(|secret| self.login(&secret)))
    }

    pub(crate) fn open(&self, origin: Origin, more: &Value) -> Aws {
        let mut fields = self.account.config();
        let more = more.as_object().cloned().unwrap_or_default();
        fields.as_object_mut().expect("it is an object").extend(more);
        Aws::open(config(&fields), origin, suite::clock()).expect("the target opens")
    }
}

pub(crate) fn config(fields: &Value) -> Config {
    let fields = fields.as_object().expect("it is an object");
    Aws::config(fields).expect("the configuration is accepted")
}

pub(crate) fn role(fields: &Value) -> Arc<Role> {
    let fields = fields.as_object().expect("it is an object");
    Arc::new(Aws::role(fields).expect("the role is accepted"))
}

/// A role that may do two things.
pub(crate) fn role_of_a_reader() -> Value {
    let may = ["sts:GetCallerIdentity", "iam:GetAccountSummary"];
    let statement = json!({"Effect": "Allow", "Action": may, "Resource": "*"});
    let document = json!({"Version": "2012-10-17", "Statement": [statement]});
    json!({"credential_type": "iam_user", "policy_document": document.to_string()})
}

pub(crate) fn place() -> Arc<Place> {
    let (account, origin) = (Account::open(), suite::origin());
    let config = config(&account.config());
    let engine = Arc::new(Aws::open(config, origin, suite::clock()).expect("the target opens"));
    Arc::new(Place { account, engine, origin, role: role(&role_of_a_reader()) })
}

/// An account that knows late what it was told, and lists by pages.
pub(crate) async fn late_place() -> Arc<Place> {
    let place = place();
    place.account.judge(json!({"stale": 2, "page": 3})).await;
    place
}

/// Prepares an issue for a lease that is old enough for what is not there to be gone.
pub(crate) fn prepared(
    engine: &Aws,
    role: &Arc<Role>,
    names: (&str, &str),
    time: Duration,
) -> Issue<Aws> {
    suite::prepared_as(suite::old_lease(), engine, role, names, time)
}
