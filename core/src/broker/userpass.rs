//! Writes, shows and deletes the users of the method `userpass`.

use super::access::Rights;
use super::authenticate::{Caller, Recorded};
use super::{Broker, MethodError, Request};
use crate::access::login::plain_name;
use crate::access::params::ParamsWrite;
use crate::access::password_hash::{Cost, PASSWORD_MAX, PasswordHash};
use crate::address::Network;
use crate::audit::Answer;
use crate::limits::USER_NAME_MAX;
use crate::mount::MountEntry;
use crate::secret::SecretText;
use crate::store::Batch;
use crate::store::records::Found;
use crate::store::users::{User, user_at};
use std::sync::Arc;

const KIND: &str = "userpass";

/// What a user is to be; what is `None` stays as it was.
#[derive(Debug, Default)]
pub struct UserWrite {
    /// The mount, by path.
    pub mount: String,
    /// What they are called.
    pub name: String,
    /// Their password.
    pub password: Option<SecretText>,
    /// A hash of it that was made elsewhere, in its place.
    pub password_hash: Option<PasswordHash>,
    /// The tokens that they are given.
    pub params: ParamsWrite,
    /// Whether there must be such a user.
    pub must_exist: bool,
}

/// What becomes of a user's password.
#[derive(Clone, Debug)]
enum NewPassword {
    /// It stays.
    None,
    /// It will be another one.
    Unhashed,
    /// It is this.
    Hashed(PasswordHash),
}

impl Recorded for User {
    fn recorded(&self) -> Answer {
        Answer::data(Some(serde_json::json!({ "token_policies": self.params.policies })))
    }
}

impl Broker {
    /// Writes a user.
    pub async fn write_user(
        self: &Arc<Self>,
        request: &Request,
        wanted: UserWrite,
    ) -> Result<(), MethodError> {
        self.served(request, async |caller| self.put_user(request, caller, wanted).await).await
    }

    async fn put_user(
        self: &Arc<Self>,
        request: &Request,
        caller: Caller,
        mut wanted: UserWrite,
    ) -> Result<(), MethodError> {
        let name = plain_name(&wanted.name);
        if name.len() > USER_NAME_MAX {
            return Err(MethodError::Bad(format!("a name has {USER_NAME_MAX} bytes at most")));
        }
        let password = match (wanted.password.take(), wanted.password_hash.take()) {
            (None, None) => NewPassword::None,
            (Some(_), Some(_)) => {
                let message = "only one of password and password_hash can be given";
                return Err(MethodError::Bad(message.into()));
            }
            (Some(password), None) => {
                // What is refused is refused before anything is hashed.
                self.changed_user(&caller.rights, &wanted, &name, NewPassword::Unhashed).await?;
                NewPassword::Hashed(self.hashed(request, password).await?)
            }
            (None, Some(hash)) => {
                self.changed_user(&caller.rights, &wanted, &name, NewPassword::Unhashed).await?;
                NewPassword::Hashed(hash)
            }
        };
        self.until_kept(request, caller, async |caller| {
            if let NewPassword::Hashed(hash) = &password {
                // Before it is kept: there is no moment at which a check of it costs more than others.
                let batch = caller.rights.expected(Batch::default());
                self.records.raise_password_cost(hash.cost(), batch).await?;
            }
            self.changed_user(&caller.rights, &wanted, &name, password.clone()).await
        })
        .await
    }

    async fn hashed(
        self: &Arc<Self>,
        request: &Request,
        password: SecretText,
    ) -> Result<PasswordHash, MethodError> {
        if password.len() > PASSWORD_MAX {
            return Err(MethodError::Bad(format!("a password has {PASSWORD_MAX} bytes at most")));
        }
        let salt = PasswordHash::draw_salt(&*self.chance);
        let cost = self.records.password_cost().await?;
        // Whoever may write users is no stranger.
        self.know_network(request.network());
        let clock = Arc::clone(&self.clock);
        let hashing = move || {
            let began = clock.now();
            (PasswordHash::of(&password, salt, cost), clock.now().since(began))
        };
        let (hash, took) = self.in_turn(request.network(), hashing).await?;
        if let Some(fitting) = cost.fitting(took) {
            tracing::info!(?took, ?fitting, "a password can cost more here; it will from now on");
            self.records.raise_password_cost(fitting, Batch::default()).await?;
        }
        Ok(hash)
    }

    /// Keeps another hash of a user's password, at today's cost, beside the caller who has just shown it. Whatever stops
    /// this, the next login tries it again.
    pub(super) fn renew_hash_soon(
        self: &Arc<Self>,
        entry: Arc<MountEntry>,
        was: Found<User>,
        password: SecretText,
        (cost, from): (Cost, Option<Network>),
    ) {
        let broker = Arc::clone(self);
        self.tasks.spawn(Box::pin(async move {
            let salt = PasswordHash::draw_salt(&*broker.chance);
            let hashing = move || PasswordHash::of(&password, salt, cost);
            let Ok(hash) = broker.in_turn(from, hashing).await else { return };
            let at = user_at(entry.mount.record.id, &was.record.name);
            let user = User { password: hash, ..was.record };
            let kept = broker.records.replace_under(
                &entry.mount,
                (at, Some(was.revision)),
                &user,
                Batch::default(),
            );
            if let Err(error) = kept.await {
                tracing::info!(%error, "a password keeps the hash that it has until it is shown again");
            }
        }));
    }

    /// Decides what becomes of a user, and keeps it once their password is hashed.
    async fn changed_user(
        &self,
        rights: &Rights,
        wanted: &UserWrite,
        name: &str,
        password: NewPassword,
    ) -> Result<(), MethodError> {
        let entry = self.method_at(KIND, &wanted.mount)?;
        let mount = entry.mount.record.id;
        let was = self.records.user(mount, name).await?;
        let revision = was.as_ref().map(|was| was.revision);
        if was.is_none() && wanted.must_exist {
            return Err(MethodError::Missing("username does not exist".into()));
        }
        if was.is_none() && matches!(password, NewPassword::None) {
            let message = "must provide either password or password_hash";
            return Err(MethodError::Bad(message.into()));
        }
        let was = was.map(|was| was.record);
        let params = was.as_ref().map(|was| was.params.clone()).unwrap_or_default();
        let params = params.changed(wanted.params.clone())?;
        let set = was.as_ref().map_or(0, |was| was.password_set);
        let (password, password_set) = match (password, was) {
            // A user who is made anew has another password than one of the same name before.
            (NewPassword::Hashed(hash), None) => (hash, self.clock.now().0),
            (NewPassword::Hashed(hash), Some(_)) => (hash, set.saturating_add(1)),
            (NewPassword::None, Some(was)) => (was.password, set),
            (NewPassword::None | NewPassword::Unhashed, _) => return Ok(()),
        };
        let user = User { name: name.to_owned(), password, password_set, params };
        let (at, batch) = ((user_at(mount, name), revision), rights.expected(Batch::default()));
        self.records.replace_under(&entry.mount, at, &user, batch).await?;
        Ok(())
    }

    /// Shows a user.
    pub async fn read_user(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
    ) -> Result<User, MethodError> {
        self.served(request, async |_| {
            let entry = self.method_at(KIND, mount)?;
            let user = self.records.user(entry.mount.record.id, &plain_name(name)).await?;
            user.map(|user| user.record).ok_or(MethodError::Nothing)
        })
        .await
    }

    /// Lists the users of a mount.
    pub async fn list_users(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
    ) -> Result<Vec<String>, MethodError> {
        self.served(request, async |_| {
            let entry = self.method_at(KIND, mount)?;
            let names = self.records.user_names(entry.mount.record.id).await?;
            if names.is_empty() { Err(MethodError::Nothing) } else { Ok(names) }
        })
        .await
    }

    /// Deletes a user, if there is one. Their tokens keep their term, and are not renewed any more.
    pub async fn delete_user(
        self: &Arc<Self>,
        request: &Request,
        mount: &str,
        name: &str,
    ) -> Result<(), MethodError> {
        let delete = async |caller: Caller| {
            let entry = self.method_at(KIND, mount)?;
            let (mount, name) = (entry.mount.record.id, plain_name(name));
            let Some(user) = self.records.user(mount, &name).await? else { return Ok(()) };
            let batch = caller.rights.expected(Batch::default());
            self.records.drop_record_if(user_at(mount, &name), user.revision, batch).await?;
            Ok(())
        };
        self.written(request, delete).await
    }
}
