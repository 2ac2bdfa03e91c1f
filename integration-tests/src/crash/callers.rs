//! The callers: each does one thing after the other until its server is dead, and keeps what it was told.

use super::door::{Answer, Door};
use super::draw::Draw;
use super::judge::Violation;
use super::repeat::Keyed;
use super::sessions::Sessions;
use super::told::{Fate, Granted, Lent, MARGIN, Told};
use super::{BULK, Role};
use crate::engine_suite::now;
use crate::postgres::log_in_at;
use serde_json::{Value, json};
use sqlx::{Executor as _, PgConnection};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Leases that a caller holds at a time; more, and it gives one back.
const HELD_MAX: usize = 10;

/// What all callers of one round have in common.
#[derive(Debug)]
pub struct Scene {
    /// The way to the server.
    pub door: Door,
    /// A token that may do everything and does not end.
    pub root: String,
    /// Where the target listens.
    pub target_port: u16,
    /// The roles that can be asked for.
    pub roles: Arc<[Role]>,
    /// What callers were told.
    pub told: Arc<Mutex<Told>>,
    /// Where callers leave their sessions open.
    pub sessions: Arc<Sessions>,
    /// Set when the round is over.
    pub stopping: AtomicBool,
}

impl Scene {
    /// Returns what callers were told.
    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an answer that is none of those expected.
    fn refused(&self, verb: &str, answer: &Answer) {
        let mut told = self.told();
        told.count(&format!("{verb} refused with {}", answer.status));
        // Anything that a healthy request cannot be answered; trouble with the target is a 5xx.
        if answer.status < 500 {
            let what = format!("{verb} was answered {} {}", answer.status, answer.body["errors"]);
            told.accuse(Violation::Broken(what));
        }
    }
}

/// What came of a login.
#[derive(Debug)]
pub enum Login {
    /// It works.
    Open(Box<PgConnection>),
    /// The target knows no such login.
    Refused,
    /// The target could not be asked.
    Unknown,
}

/// Logs in as the holder of a credential does.
pub async fn log_in(port: u16, username: &str, password: &str) -> Login {
    match log_in_at(port, username, password, "postgres").await {
        Ok(mut session) => match session.execute("SELECT 1").await {
            Ok(_) => Login::Open(Box::new(session)),
            Err(_) => Login::Unknown,
        },
        // 28: "invalid authorization specification", with a password or without.
        Err(sqlx::Error::Database(error))
            if error.code().is_some_and(|code| code.starts_with("28")) =>
        {
            Login::Refused
        }
        Err(_) => Login::Unknown,
    }
}

/// One of those who ask.
#[derive(Debug)]
pub struct Caller {
    draw: Draw,
    /// Whether it ends all leases of a role now and then.
    sweeps: bool,
    held: Vec<String>,
    /// The accessor of a token of its own.
    token: Option<String>,
    /// The last issue that it asked for under a key.
    keyed: Option<Keyed>,
}

impl Caller {
    /// Makes one who draws what to do; one of them `sweeps`.
    #[must_use]
    pub fn new(draw: Draw, sweeps: bool) -> Self {
        Self { draw, sweeps, held: Vec::new(), token: None, keyed: None }
    }

    /// Works until the round is over or the server is dead.
    pub async fn work(mut self, scene: Arc<Scene>) -> Self {
        if let Some(keyed) = &mut self.keyed {
            keyed.outlived = true;
        }
        while !scene.stopping.load(Ordering::Relaxed) {
            if self.step(&scene).await.is_none() {
                scene.told().count("requests cut off");
                break;
            }
        }
        self
    }

    /// Does one thing; `None` if the server is dead.
    async fn step(&mut self, scene: &Scene) -> Option<()> {
        {
            let told = scene.told();
            self.held.retain(|id| told.must_live(id, now()));
        }
        if self.held.len() >= HELD_MAX {
            return self.revoke(scene).await;
        }
        if self.keyed.as_ref().is_some_and(Keyed::was_cut_off) {
            return self.repeat(scene).await;
        }
        match self.draw.below(100) {
            // What only one of them does, it does often, or it would hardly ever meet a blow.
            0..8 if self.sweeps => revoke_bulk(scene).await,
            8..20 if self.sweeps => write_role(scene).await,
            38..45 => self.repeat(scene).await,
            45..60 => self.renew(scene).await,
            60..82 => self.revoke(scene).await,
            82..88 => self.look_up(scene).await,
            88..93 => self.use_login(scene).await,
            93..98 => self.change_token(scene).await,
            _ => self.issue(scene).await,
        }
    }

    async fn issue(&mut self, scene: &Scene) -> Option<()> {
        let role = *self.draw.pick(&scene.roles)?;
        let owner = self.token.clone().filter(|_| self.draw.one_in(3));
        if self.draw.one_in(3) {
            let key = self.draw.below(u64::MAX).to_string();
            self.keyed = Some(Keyed { key, role, owner, lease: None, outlived: false });
            return self.repeat(scene).await;
        }
        self.held.extend(borrow(scene, role, owner).await?);
        Some(())
    }

    /// Asks under a key what was asked under it before, or would have been.
    async fn repeat(&mut self, scene: &Scene) -> Option<()> {
        // By another token it would be another request.
        let keyed = self.keyed.take_if(|keyed| keyed.owner.is_none() || keyed.owner == self.token);
        let Some(mut keyed) = keyed else {
            self.keyed = None;
            return Some(());
        };
        let answered = keyed.ask(scene).await;
        if let Some(Some(id)) = &answered
            && !self.held.contains(id)
        {
            self.held.push(id.clone());
        }
        // Who is refused begins anew, and who is cut off asks again.
        self.keyed = (answered != Some(None)).then_some(keyed);
        answered.map(drop)
    }

    async fn renew(&mut self, scene: &Scene) -> Option<()> {
        let Some(id) = self.draw.pick(&self.held).cloned() else { return self.issue(scene).await };
        let Some(lent) = scene.told().held(&id).cloned() else { return Some(()) };
        let remaining = lent.lives_until.since(now());
        let half = Duration::from_secs(remaining.as_secs() / 2);
        let increment = (self.draw.one_in(3) && !half.is_zero()).then_some(half);
        renew_for(scene, &id, increment).await
    }

    async fn revoke(&mut self, scene: &Scene) -> Option<()> {
        let in_session = scene.sessions.one_of(&self.held).filter(|_| self.draw.one_in(2));
        let Some(id) = in_session.or_else(|| self.draw.pick(&self.held).cloned()) else {
            return self.issue(scene).await;
        };
        self.held.retain(|held| *held != id);
        give_back(scene, &id, self.draw.one_in(6)).await?;
        let is_dead = scene.told().leases.get(&id).is_some_and(|lent| lent.fate == Fate::Dead);
        if is_dead && scene.sessions.answers(&id).await {
            scene.told().accuse(Violation::LivesOn(format!("a session of `{id}`")));
        }
        Some(())
    }

    async fn look_up(&mut self, scene: &Scene) -> Option<()> {
        let Some(id) = self.draw.pick(&self.held).cloned() else { return self.issue(scene).await };
        let Some(lent) = scene.told().held(&id).cloned() else { return Some(()) };
        let body = json!({ "lease_id": lent.lease });
        let answer = scene.door.ask(&scene.root, "POST", "sys/leases/lookup", body).await?;
        let mut told = scene.told();
        told.count("lookups");
        if answer.status != 200 && told.must_live(&id, now()) {
            told.accuse(Violation::LostLease(format!("lookup of `{id}`: {}", answer.status)));
        }
        Some(())
    }

    /// Logs in with a credential, and leaves the session open.
    async fn use_login(&mut self, scene: &Scene) -> Option<()> {
        let Some(id) = self.draw.pick(&self.held).cloned() else { return self.issue(scene).await };
        let Some(lent) = scene.told().held(&id).cloned() else { return Some(()) };
        match log_in(scene.target_port, &lent.username, &lent.password).await {
            Login::Open(session) => {
                scene.told().count("logins");
                scene.sessions.keep(id, session);
            }
            Login::Refused if scene.told().must_live(&id, now()) => {
                scene.told().accuse(Violation::EarlyDeath(format!("the login of `{id}`")));
            }
            Login::Refused | Login::Unknown => scene.told().count("logins without an answer"),
        }
        Some(())
    }

    /// Makes a token of its own, or ends the one it has.
    async fn change_token(&mut self, scene: &Scene) -> Option<()> {
        let Some(accessor) = self.token.take() else { return self.make_token(scene).await };
        let text = {
            let mut told = scene.told();
            told.doom(|_, lent| lent.token.as_deref() == Some(&accessor));
            let Some(granted) = told.tokens.get_mut(&accessor) else { return Some(()) };
            granted.fate = Fate::Doomed;
            granted.text.clone()
        };
        let body = json!({ "token": text });
        let answer = scene.door.ask(&scene.root, "POST", "auth/token/revoke", body).await?;
        if answer.status != 204 {
            scene.refused("the end of a token", &answer);
            return Some(());
        }
        let mut told = scene.told();
        told.count("tokens ended");
        if let Some(granted) = told.tokens.get_mut(&accessor) {
            granted.fate = Fate::Dead;
        }
        Some(())
    }

    async fn make_token(&mut self, scene: &Scene) -> Option<()> {
        let body = json!({ "policies": ["root"], "ttl": "6h" });
        let answer = scene.door.ask(&scene.root, "POST", "auth/token/create", body).await?;
        if answer.status != 200 {
            scene.refused("a token", &answer);
            return Some(());
        }
        let text = |name: &str| answer.body["auth"][name].as_str().unwrap_or_default().to_owned();
        let (accessor, granted) =
            (text("accessor"), Granted { text: text("client_token"), fate: Fate::Held });
        let mut told = scene.told();
        told.count("tokens made");
        told.tokens.insert(accessor.clone(), granted);
        self.token = Some(accessor);
        Some(())
    }
}

/// Asks for a credential, by a token of one's own or by the root token, and keeps what is told. Returns the lease's
/// id, as often as there is one; `None` if the server is dead.
pub async fn borrow(scene: &Scene, role: Role, owner: Option<String>) -> Option<Vec<String>> {
    borrow_under(scene, role, owner, None).await
}

/// The same under an `Idempotency-Key`, if there is one.
pub async fn borrow_under(
    scene: &Scene,
    role: Role,
    owner: Option<String>,
    key: Option<&str>,
) -> Option<Vec<String>> {
    let text = owner.as_ref().and_then(|owner| Some(scene.told().tokens.get(owner)?.text.clone()));
    let asked_at = now();
    scene.told().count("issues asked for");
    let path = format!("database/creds/{}", role.name);
    let token = text.as_deref().unwrap_or(&scene.root);
    let Some(answer) = scene.door.ask_under(key, token, "GET", &path, Value::Null).await else {
        scene.told().count("issues cut off");
        return None;
    };
    if answer.status != 200 {
        let why = answer.body["errors"].to_string();
        if role.name == BULK && why.contains("revoked while it was being issued") {
            scene.told().count("issues overtaken by a revocation by prefix");
        } else {
            scene.refused("an issue", &answer);
        }
        return Some(Vec::new());
    }
    let text = |pointer: &str| {
        let found = answer.body.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let lease = text("/lease_id");
    let id = lease.rsplit('/').next().unwrap_or_default().to_owned();
    let mut told = scene.told();
    if let Some(known) = told.leases.get(&id) {
        if known.password != text("/data/password") {
            told.accuse(Violation::Broken(format!("`{id}` was told again with another secret")));
        }
        return Some(vec![id]);
    }
    told.count("issues acknowledged");
    // Who asks for the end of all may have meant this one too.
    let is_swept = role.name == BULK && (told.sweeping || asked_at <= told.swept_at);
    let lent = Lent {
        lease,
        role: role.name.to_owned(),
        username: text("/data/username"),
        password: text("/data/password"),
        token: owner,
        lives_until: asked_at.plus(term(&answer).saturating_sub(MARGIN)),
        ends_by: now().plus(term(&answer).saturating_add(MARGIN)),
        ceiling: now().plus(role.max.saturating_add(MARGIN)),
        fate: if is_swept { Fate::Doomed } else { Fate::Held },
    };
    told.lent(id.clone(), lent);
    Some(vec![id])
}

/// Asks for the role's term again, or for a shorter one than is left, and keeps what is told. `None` if the server is
/// dead.
pub async fn renew_for(scene: &Scene, id: &str, shorter: Option<Duration>) -> Option<()> {
    let asked_at = now();
    let promised = |term: Duration| asked_at.plus(term.saturating_sub(MARGIN));
    let body = {
        let mut told = scene.told();
        let Some(lent) = told.leases.get_mut(id) else { return Some(()) };
        let mut body = json!({ "lease_id": lent.lease });
        // Until it is answered, the term may be the one of before or the one that is asked for.
        if let Some(shorter) = shorter {
            body["increment"] = shorter.as_secs().into();
            lent.lives_until = lent.lives_until.min(promised(shorter));
        } else {
            lent.ends_by = lent.ceiling;
        }
        body
    };
    let answer = scene.door.ask(&scene.root, "POST", "sys/leases/renew", body).await?;
    let mut told = scene.told();
    match answer.status {
        200 => {
            told.count("renewals acknowledged");
            if shorter.is_some() {
                told.count("renewals acknowledged, for a shorter term");
            }
            let term = term(&answer);
            let Some(lent) = told.leases.get_mut(id) else { return Some(()) };
            lent.lives_until = promised(term);
            lent.ends_by = lent.ceiling.min(now().plus(term.saturating_add(MARGIN)));
            if lent.lives_until > lent.ceiling {
                told.accuse(Violation::PastCeiling(format!("renewal of `{id}`")));
            }
        }
        500.. => told.count("renewals refused for trouble"),
        _ if told.must_live(id, now())
            && !answer.body["errors"].to_string().contains("max TTL") =>
        {
            let what = format!("renewal of `{id}` was answered {}", answer.body["errors"]);
            told.accuse(Violation::LostLease(what));
        }
        _ => told.count("renewals too late"),
    }
    Some(())
}

/// Ends a lease, and sees that its login is dead if the answer says so and `tries_login`. `None` if the server is
/// dead.
pub async fn give_back(scene: &Scene, id: &str, tries_login: bool) -> Option<()> {
    let Some(lent) = scene.told().leases.get(id).cloned() else { return Some(()) };
    scene.told().doom(|other, _| other == id);
    let body = json!({ "lease_id": lent.lease, "sync": true });
    let answer = scene.door.ask(&scene.root, "POST", "sys/leases/revoke", body).await?;
    if answer.status != 204 {
        scene.refused("a revocation", &answer);
        return Some(());
    }
    scene.told().count("revocations acknowledged");
    scene.told().bury(&[id.to_owned()]);
    if tries_login
        && let Login::Open(_) = log_in(scene.target_port, &lent.username, &lent.password).await
    {
        scene.told().accuse(Violation::LivesOn(format!("the login of `{id}`")));
    }
    Some(())
}

/// Ends all leases of one role.
async fn revoke_bulk(scene: &Scene) -> Option<()> {
    let doomed = {
        let mut told = scene.told();
        told.sweeping = true;
        told.doom(|_, lent| lent.role == BULK)
    };
    let path = format!("sys/leases/revoke-prefix/database/creds/{BULK}");
    let answer = scene.door.ask(&scene.root, "POST", &path, json!({ "sync": true })).await;
    {
        let mut told = scene.told();
        (told.sweeping, told.swept_at) = (false, now());
    }
    let answer = answer?;
    if answer.status != 204 {
        scene.refused("a revocation by prefix", &answer);
        return Some(());
    }
    let mut told = scene.told();
    told.count("revocations by prefix acknowledged");
    told.bury(&doomed);
    Some(())
}

/// Writes a role as it is: whatever is being decided by it meanwhile has to be decided anew.
async fn write_role(scene: &Scene) -> Option<()> {
    let Some(role) = scene.roles.first() else { return Some(()) };
    let path = format!("database/roles/{}", role.name);
    let answer = scene.door.ask(&scene.root, "POST", &path, role.written()).await?;
    if answer.status == 204 {
        scene.told().count("roles written");
    } else {
        scene.refused("the write of a role", &answer);
    }
    Some(())
}

/// Returns the term that an answer tells.
fn term(answer: &Answer) -> Duration {
    Duration::from_secs(answer.body["lease_duration"].as_u64().unwrap_or_default())
}
