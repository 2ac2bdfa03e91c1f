//! What the administrator lacks, tried without effect, and whether the server takes a role's rules.

use super::failure::Failure;
use super::link::{Files, Link, text, within};
use super::role::Role;
use super::{Config, Redis};
use leasehold_core::engine::EngineError;
use redis::{Cmd, cmd};
use std::time::Duration;

/// How long these questions may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A user that is never made: what is asked of it is refused, or finds nobody.
const PROBE: &str = "leasehold-probe";

/// A modifier that no server knows, so that a user with it is never made.
const NO_MODIFIER: &str = "leasehold-is-asking";

pub(super) async fn lacks(target: &Redis, role: Option<&Role>) -> Result<Vec<String>, EngineError> {
    lacking(target, role).await.map_err(|failure| failure.of_nothing())
}

async fn lacking(target: &Redis, role: Option<&Role>) -> Result<Vec<String>, Failure> {
    let until = within(ANSWER_WITHIN);
    let members = target.nodes.now(until).await?;
    let mut missing = Vec::new();
    for member in members.iter() {
        let mut link = match member.node.link(until).await {
            Ok(link) => link,
            Err(failure) if member.is_primary => return Err(failure),
            // A replica that does not let anybody in has to be seen to; one that is away comes back.
            Err(failure) if failure.to_string().contains("does not let") => {
                missing.push(format!(
                    "{failure}; run the `ACL SETUSER` of the administrator there as well"
                ));
                continue;
            }
            Err(_) => continue,
        };
        let denied = denied(&mut link, target.nodes.config(), until).await?;
        if !denied.is_empty() {
            missing.push(format!(
                "the administrator lacks permissions at {}; run `ACL SETUSER {} {}` there",
                member.node.address,
                target.nodes.config().username(),
                denied.join(" ")
            ));
        } else if let Some(role) = role.filter(|_| member.is_primary) {
            missing.extend(refused_rule(&mut link, role, until).await?);
        }
    }
    Ok(missing)
}

/// Returns the rules that would let the administrator do what it may not.
async fn denied(
    link: &mut Link,
    config: &Config,
    until: tokio::time::Instant,
) -> Result<Vec<&'static str>, Failure> {
    let dry =
        |words: [&str; 2]| cmd("ACL").arg("DRYRUN").arg(config.username()).arg(&words).clone();
    let writes: (&str, Cmd) = match link.facts().files {
        Files::Acl => ("+acl|save", dry(["ACL", "SAVE"])),
        Files::Config | Files::None => ("+config|rewrite", dry(["CONFIG", "REWRITE"])),
    };
    let tries: [(&'static str, Cmd); 10] = [
        ("+acl|getuser", cmd("ACL").arg("GETUSER").arg(PROBE).clone()),
        ("+acl|setuser", cmd("ACL").arg("SETUSER").arg(PROBE).arg(NO_MODIFIER).clone()),
        ("+acl|deluser", cmd("ACL").arg("DELUSER").arg(PROBE).clone()),
        ("+acl|list", cmd("ACL").arg("LIST").clone()),
        ("+client|list", cmd("CLIENT").arg("LIST").arg("TYPE").arg("master").clone()),
        ("+client|kill", cmd("CLIENT").arg("KILL").arg("TYPE").arg("nobody").clone()),
        ("+config|get", cmd("CONFIG").arg("GET").arg("aclfile").clone()),
        ("+info", cmd("INFO").arg("commandstats").clone()),
        ("+time", cmd("TIME")),
        (writes.0, writes.1),
    ];
    let mut denied = Vec::new();
    for (rule, command) in tries {
        match link.one(command, until).await {
            Err(failure) if failure.code() == "NOPERM" => {
                // Whether it may write is asked by a command that few need otherwise.
                if !matches!(rule, "+acl|save" | "+config|rewrite") {
                    denied.push(rule);
                }
            }
            Err(Failure::Denied { .. }) => {}
            Err(failure) => return Err(failure),
            Ok(said) if text(&said).contains("no permissions") => denied.push(rule),
            Ok(_) => {}
        }
    }
    Ok(denied)
}

/// Tries the rules on a user that cannot be made, because of what stands after them.
async fn refused_rule(
    link: &mut Link,
    role: &Role,
    until: tokio::time::Instant,
) -> Result<Option<String>, Failure> {
    let mut command = cmd("ACL");
    command.arg("SETUSER").arg(PROBE);
    for rule in role.rules() {
        command.arg(rule);
    }
    command.arg(NO_MODIFIER);
    match link.one(command, until).await {
        Err(Failure::Denied { message, .. }) if !message.contains(NO_MODIFIER) => {
            Ok(Some(format!("the server does not take the role's rules: {message}")))
        }
        Err(failure @ (Failure::Lost(_) | Failure::TimedOut | Failure::Unreached(_))) => {
            Err(failure)
        }
        Ok(_) | Err(_) => Ok(None),
    }
}
