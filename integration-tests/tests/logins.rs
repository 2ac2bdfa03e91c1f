//! Logins in a simulated world: what they cost, what they rest on, and what ends with them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "whatever is not as expected fails the test at once"
)]

#[path = "logins/batch_tokens.rs"]
mod batch_tokens;
#[path = "logins/ends.rs"]
mod ends;
#[path = "logins/methods.rs"]
mod methods;
#[path = "logins/passwords.rs"]
mod passwords;
#[path = "logins/secret_ids.rs"]
mod secret_ids;

use leasehold_core::access::login::Proof;
use leasehold_core::access::params::ParamsWrite;
use leasehold_core::access::policy::Right;
use leasehold_core::address::ClientAddress;
use leasehold_core::broker::{
    LoginError, MountWrite, Request, Side, TokenMade, TokenView, UserWrite, WhichToken,
};
use leasehold_core::secret::SecretText;
use leasehold_integration_tests::world::{ROOT, World, request};
use std::net::SocketAddr;
use std::time::Duration;

/// A request from an address, if it is one, about the caller alone; without a token.
fn from(ip: &str) -> Request {
    let mut request = request("");
    request.token = None;
    let ip = ip.parse().ok();
    request.asked.from = ip.map(|ip| ClientAddress::new(SocketAddr::new(ip, 4000)));
    request.right = Right::Own;
    request
}

fn secret(text: &str) -> SecretText {
    SecretText::new(text.to_owned())
}

/// Mounts a method at `auth/<kind>/`.
async fn mount(world: &World, kind: &str) {
    let mount = MountWrite {
        side: Side::Methods,
        path: kind.into(),
        kind: kind.into(),
        ..MountWrite::default()
    };
    world.broker().enable_mount(&request(ROOT), mount).await.unwrap();
}

/// Writes a user with the password `right`.
async fn user(world: &World, name: &str, params: ParamsWrite) {
    let wanted = UserWrite {
        mount: "auth/userpass/".into(),
        name: name.into(),
        password: Some(secret("right")),
        params,
        ..UserWrite::default()
    };
    world.broker().write_user(&request(ROOT), wanted).await.unwrap();
}

async fn log_in(
    world: &World,
    ip: &str,
    name: &str,
    password: &str,
) -> Result<TokenMade, LoginError> {
    let proof = Proof::Password { name: name.into(), password: secret(password) };
    world.broker().log_in(&from(ip), "auth/userpass/", proof).await
}

/// Looks a token up by itself; `None` if it is good for nothing.
async fn own(world: &World, made: &TokenMade) -> Option<TokenView> {
    let request = Request { token: Some(secret(made.text.reveal())), ..from("192.0.2.1") };
    world.broker().lookup_token(&request, &WhichToken::Own).await.ok()
}

/// Policies that let their holder do everything would be `root`, which no login gives: leases are lent to a child.
fn policies(names: &[&str]) -> ParamsWrite {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    ParamsWrite { policies: Some(names), ..ParamsWrite::default() }
}

fn ttls(ttl: Duration, max_ttl: Duration) -> ParamsWrite {
    ParamsWrite { ttl: Some(ttl), max_ttl: Some(max_ttl), ..ParamsWrite::default() }
}
