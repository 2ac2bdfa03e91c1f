//! What happens in the demo, in order.

use super::database::{Database, random_password};
use super::lender::{Lender, text};
use super::narration::Narration;
use crate::failure::{During, Failure};
use crate::scratch::{now, wait_for};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

/// The roles at whose leases the comparison at the end looks.
const ROLES: [&str; 3] = ["app", "dba", "errand"];
/// How long the shortest lease lives.
const ERRAND: Duration = Duration::from_secs(4);

/// What the application may do, as its operator keeps it in a file.
const APP: &str = r#"# app.hcl: borrow one role, and give back what was borrowed.
path "database/creds/app" {
  capabilities = ["read"]
}
path "sys/leases/revoke/database/creds/app/*" {
  capabilities = ["update"]
}
"#;
/// The same for the database administrator.
const DBA: &str = r#"# dba.hcl: borrow the role that may write, and see why something is refused.
path "database/creds/dba" {
  capabilities = ["read"]
}
path "sys/policies/acl/*" {
  capabilities = ["read"]
}
"#;

/// A credential as a caller was shown it.
struct Borrowed {
    lease: String,
    seconds: u64,
    user: String,
    password: String,
}

/// Tells everything.
pub(crate) fn tell(
    database: &Database,
    lender: &Lender,
    narration: &mut Narration,
) -> Result<(), Failure> {
    let mut story = Story { database, lender, narration };
    story.set_up()?;
    let [app, dba] = story.callers()?;
    let lent = story.application(&app)?;
    story.dba(&dba)?;
    story.refusals(&app, &dba)?;
    story.lapse()?;
    story.revoke(&app, &lent)?;
    story.compare()
}

struct Story<'a> {
    database: &'a Database,
    lender: &'a Lender,
    narration: &'a mut Narration,
}

impl Story<'_> {
    fn set_up(&mut self) -> Result<(), Failure> {
        let password = random_password()?;
        self.narration.hide(&password);
        self.database.set_up(&password)?;
        self.narration.say(
            "PostgreSQL asks everybody for a password. Leasehold's own account there is no superuser: \
             it may\ncreate roles, hand out `readonly` and `readwrite`, and end sessions.",
        );
        self.root(&["secrets", "enable", "database"])?;
        let url = format!(
            "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/shop",
            self.database.port
        );
        self.root(&[
            "write",
            "database/config/shop",
            "plugin_name=postgresql-database-plugin",
            &format!("connection_url={url}?sslmode=disable"),
            "username=leasehold",
            &format!("password={password}"),
            "allowed_roles=*",
        ])?;
        let errand = format!("default_ttl={}s", ERRAND.as_secs());
        for [role, grant, ttl, ttl_max] in [
            ["app", "readonly", "default_ttl=1h", "max_ttl=24h"],
            ["dba", "readwrite", "default_ttl=30m", "max_ttl=30m"],
            ["errand", "readonly", &errand, "max_ttl=1m"],
        ] {
            let (path, grant) = (format!("database/roles/{role}"), format!("grant_roles={grant}"));
            self.root(&["write", &path, "db_name=shop", &grant, ttl, ttl_max])?;
        }
        Ok(())
    }

    fn callers(&mut self) -> Result<[String; 2], Failure> {
        self.narration.step("An application and a database administrator get tokens of their own");
        Ok([self.caller("app", APP)?, self.caller("dba", DBA)?])
    }

    /// Writes a policy, and makes a token that carries it.
    fn caller(&mut self, name: &'static str, policy: &str) -> Result<String, Failure> {
        let file = format!("{name}.hcl");
        self.lender.write_file(&file, policy)?;
        self.narration.say(policy);
        self.root(&["policy", "write", name, &file])?;
        let policy = format!("-policy={name}");
        let display_name = format!("-display-name={name}");
        let make = ["token", "create", &policy, "-ttl=8h", &display_name, "-field=token"];
        self.narration.show_command(&self.lender.command(&self.lender.root_token, &make));
        let token = self.lender.ask(&self.lender.root_token, &make)?.trim().to_owned();
        self.narration.introduce(&token, name);
        self.narration.show_output(&token);
        Ok(token)
    }

    fn application(&mut self, token: &str) -> Result<Borrowed, Failure> {
        self.narration.step("The application borrows a login, uses it, and renews it");
        let app = self.borrow(token, "app")?;
        let mut psql = self.database.psql(&app.user, &app.password, "shop");
        let sql = "SELECT current_user, count(*) AS orders FROM orders";
        let rows = self.narration.run(psql.args(["-c", sql]))?;
        self.narration.claim(rows.contains(&app.user), "the login works, and reads the orders")?;
        let mut psql = self.database.psql(&app.user, &app.password, "shop");
        let complaint = self.narration.run_in_vain(psql.args(["-c", "DELETE FROM orders"]))?;
        self.narration.claim(
            complaint.contains("permission denied"),
            "it reads only, because `readonly` does",
        )?;
        let before = self.valid_until(&app)?;
        self.by(token, &["lease", "renew", "-increment=2h", &app.lease])?;
        let longer = self.valid_until(&app)?.saturating_sub(before);
        self.narration.claim(
            (3500..=3700).contains(&longer),
            "PostgreSQL itself knows the new end (`VALID UNTIL`), an hour later than before",
        )?;
        Ok(app)
    }

    fn dba(&mut self, token: &str) -> Result<(), Failure> {
        self.narration.step("The database administrator borrows a login for half an hour");
        let dba = self.borrow(token, "dba")?;
        let mut psql = self.database.psql(&dba.user, &dba.password, "shop");
        let sql = "UPDATE orders SET paid = true WHERE id = 2";
        let written = self.narration.run(psql.args(["-c", sql]))?;
        self.narration.claim(
            dba.seconds == 1800 && written.contains("UPDATE 1"),
            "it may write, for 30 minutes; after that nobody has to remember to take it away",
        )
    }

    /// Each tries what only the other may, or nobody but the operator.
    fn refusals(&mut self, app: &str, dba: &str) -> Result<(), Failure> {
        self.narration.step("What they may not do is refused");
        for (token, what, claim) in [
            (
                app,
                &["read", "database/creds/dba"][..],
                "the application cannot borrow what may write",
            ),
            (app, &["token", "create", "-policy=dba"], "it cannot give itself more than it has"),
            (app, &["lease", "revoke", "-prefix", "database"], "nor end what others were lent"),
            (
                dba,
                &["read", "database/creds/app"],
                "the administrator is told why, being allowed to read policies",
            ),
        ] {
            let complaint = self.narration.run_in_vain(&mut self.lender.command(token, what))?;
            let refused = complaint.contains("permission denied");
            let told_why = complaint.contains("no rule speaks of this path");
            self.narration.claim(refused && told_why == (token == dba), claim)?;
        }
        self.narration.say("The operator asks which rule would decide, without trying it:");
        let why = ["policy", "explain", "-policy=app", "-policy=default"];
        for (what, word, claim) in [
            (["database/creds/dba", "read"], "Refused", "what nobody granted is refused"),
            (["database/creds/app", "read"], "Allowed", "one line of one policy is what decides"),
        ] {
            let explained = self.by(&self.lender.root_token, &[&why[..], &what].concat())?;
            self.narration.claim(explained.starts_with(word), claim)?;
        }
        Ok(())
    }

    /// Opens a session, leaves it open, and sees what becomes of it.
    fn lapse(&mut self) -> Result<(), Failure> {
        self.narration.step(&format!("A lease of {ERRAND:?} lapses while its session is open"));
        let lender = self.lender;
        let errand = self.borrow(&lender.root_token, "errand")?;
        let began = now();
        let mut psql = self.database.psql(&errand.user, &errand.password, "shop");
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.narration.show_command(&psql);
        let mut session = psql.spawn().during("starting `psql`")?;
        if let Some(typed) = &mut session.stdin {
            // It works for a minute; nothing but the end of its session can stop it before.
            let sql = "SELECT 'at work' AS session;\nSELECT pg_sleep(60);\n";
            typed.write_all(sql.as_bytes()).during("typing into `psql`")?;
            self.narration.show_output(sql);
        }
        let is_open = || Ok((self.sessions(&errand)? == 1).then_some(()));
        wait_for("the session does not open", ERRAND, is_open)?;
        let limit = ERRAND.saturating_add(Duration::from_secs(15));
        let ended = wait_for("the open session is not ended", limit, || {
            session.try_wait().during("waiting for `psql`")
        });
        let lived = began.elapsed();
        if ended.is_err() {
            session.kill().during("ending `psql`")?;
        }
        ended?;
        let output = session.wait_with_output().during("reading from `psql`")?;
        self.narration.show_output(&String::from_utf8_lossy(&output.stdout));
        let complaint = String::from_utf8_lossy(&output.stderr);
        self.narration.show_output(&complaint);
        self.narration.claim(
            complaint.contains("terminating connection due to administrator command"),
            &format!(
                "the open session was cut off, {:.1} s after the login was lent",
                lived.as_secs_f32()
            ),
        )?;
        self.is_refused(&errand, "nobody can log in with it any more")?;
        self.is_gone(&errand)
    }

    fn revoke(&mut self, token: &str, lent: &Borrowed) -> Result<(), Failure> {
        self.narration
            .step("The application is done and gives its login back before the lease is over");
        self.by(token, &["lease", "revoke", "-sync", &lent.lease])?;
        self.is_refused(lent, "the login is dead at once")?;
        self.is_gone(lent)
    }

    /// Puts what is at the target beside what is leased.
    fn compare(&mut self) -> Result<(), Failure> {
        self.narration.step("What is at the target, beside what is on a lease");
        self.narration
            .say("Every role that Leasehold creates carries a comment that names its lease.");
        let at_target = self.roles_at_target()?;
        let mut leased = Vec::new();
        for role in ROLES {
            let prefix = format!("database/creds/{role}");
            let list = ["lease", "list", "-format=json", &prefix];
            let mut command = self.lender.command(&self.lender.root_token, &list);
            self.narration.show_command(&command);
            let output = crate::commands::output(&mut command)?;
            let listed = String::from_utf8_lossy(&output.stdout);
            let ids: Vec<_> = listed.split('"').skip(1).step_by(2).map(str::to_owned).collect();
            if !output.status.success() && !ids.is_empty() {
                return Err(Failure::new(String::from_utf8_lossy(&output.stderr).into_owned()));
            }
            leased.extend(ids);
        }
        let rule = format!("{:-<60} {:-<28} {:-<8}", "", "", "");
        self.narration
            .say(&format!("{:60} {:28} {}", "ROLE IN POSTGRESQL", "ITS LEASE", "IS HELD"));
        self.narration.say(&rule);
        for (name, lease) in &at_target {
            let held = if leased.contains(lease) { "yes" } else { "NO" };
            self.narration.say(&format!("{name:60} {lease:28} {held}"));
        }
        let mut marked: Vec<_> = at_target.into_values().collect();
        marked.sort();
        leased.sort();
        self.narration.claim(
            marked == leased && marked.len() == 1,
            "three logins were lent; the one that is still on a lease is the one that is left",
        )
    }

    /// Asks for a credential and shows the answer, without its password.
    fn borrow(&mut self, token: &str, role: &str) -> Result<Borrowed, Failure> {
        let path = format!("database/creds/{role}");
        let mut command = self.lender.command(token, &["read", "-format=json", &path]);
        self.narration.show_command(&command);
        let answer = crate::commands::quiet(&mut command)?;
        let seconds = text(&answer, "lease_duration")?;
        let borrowed = Borrowed {
            lease: text(&answer, "lease_id")?,
            seconds: seconds.parse().map_err(|_| Failure::new("`lease_duration` is no number"))?,
            user: text(&answer, "username")?,
            password: text(&answer, "password")?,
        };
        self.narration.hide(&borrowed.password);
        self.narration.show_output(&answer);
        Ok(borrowed)
    }

    /// Shows a command of the operator, and what comes of it.
    fn root(&self, arguments: &[&str]) -> Result<(), Failure> {
        self.by(&self.lender.root_token, arguments).map(|_| ())
    }

    /// Shows a command of whoever has this token; returns what comes of it.
    fn by(&self, token: &str, arguments: &[&str]) -> Result<String, Failure> {
        self.narration.show_command(&self.lender.command(token, arguments));
        let written = self.lender.ask(token, arguments)?;
        self.narration.show_output(&written);
        Ok(written)
    }

    fn is_refused(&self, of: &Borrowed, claim: &str) -> Result<(), Failure> {
        let mut psql = self.database.psql(&of.user, &of.password, "shop");
        let complaint = self.narration.run_in_vain(psql.args(["-c", "SELECT 1"]))?;
        let refused = complaint.contains("authentication failed")
            || complaint.contains("not permitted to log in");
        self.narration.claim(refused, claim)
    }

    fn is_gone(&self, of: &Borrowed) -> Result<(), Failure> {
        let sql = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{}'", of.user);
        let none = || Ok((self.database.superuser("shop", &sql)?.trim() == "0").then_some(()));
        wait_for("the role is still in PostgreSQL", Duration::from_secs(10), none)?;
        self.narration.claim(true, "PostgreSQL has no such role any more")
    }

    fn sessions(&self, of: &Borrowed) -> Result<u32, Failure> {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'", of.user);
        let count = self.database.superuser("shop", &sql)?;
        count.trim().parse().map_err(|_| Failure::new("PostgreSQL's count is no number"))
    }

    /// Returns the end that PostgreSQL knows, in seconds since the epoch.
    fn valid_until(&self, of: &Borrowed) -> Result<u64, Failure> {
        let sql = format!(
            "SELECT extract(epoch FROM rolvaliduntil)::bigint FROM pg_roles WHERE rolname = '{}'",
            of.user
        );
        let end = self.database.superuser("shop", &sql)?;
        end.trim().parse().map_err(|_| Failure::new("the role has no `VALID UNTIL`"))
    }

    /// Returns the roles with Leasehold's mark, each with the lease that the mark names.
    fn roles_at_target(&self) -> Result<BTreeMap<String, String>, Failure> {
        let sql = "SELECT rolname, shobj_description(oid, 'pg_authid') FROM pg_roles \
                   WHERE rolcanlogin AND shobj_description(oid, 'pg_authid') LIKE 'leasehold:%'";
        let rows = self.database.superuser("shop", sql)?;
        let role = |row: &str| {
            let (name, mark) = row.split_once('|')?;
            Some((name.to_owned(), mark.rsplit(':').next()?.to_owned()))
        };
        Ok(rows.lines().filter_map(role).collect())
    }
}
