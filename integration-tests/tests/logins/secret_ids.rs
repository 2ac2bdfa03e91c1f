//! `approle`: what a secret id is good for, how often, and what ends it.

use crate::{from, mount, own, secret};
use leasehold_core::access::login::Proof;
use leasehold_core::access::params::ParamsWrite;
use leasehold_core::broker::{
    AppRoleWrite, Children, LoginError, MethodError, SecretIdMade, SecretIdWrite, Side, TokenMade,
    WhichSecretId, WhichToken,
};
use leasehold_integration_tests::world::{ROOT, World, request};
use std::time::Duration;

const AT: &str = "auth/approle/";
const HOME: &str = "192.0.2.1";
const WRONG: LoginError = LoginError::Wrong("invalid role or secret ID");

async fn role(world: &World, name: &str, wanted: AppRoleWrite) {
    let role_id = Some(format!("id-of-{name}"));
    let wanted = AppRoleWrite { mount: AT.into(), name: name.into(), role_id, ..wanted };
    world.broker().write_approle(&request(ROOT), wanted).await.unwrap();
}

async fn make(
    world: &World,
    role: &str,
    wanted: SecretIdWrite,
) -> Result<SecretIdMade, MethodError> {
    world.broker().make_secret_id(&request(ROOT), (AT, role), wanted).await
}

async fn secret_id(world: &World, role: &str) -> SecretIdMade {
    make(world, role, SecretIdWrite::default()).await.unwrap()
}

async fn log_in(
    world: &World,
    ip: &str,
    role: &str,
    text: Option<&str>,
) -> Result<TokenMade, LoginError> {
    let secret_id = text.map(secret);
    let proof = Proof::SecretId { role_id: format!("id-of-{role}"), secret_id };
    world.broker().log_in(&from(ip), AT, proof).await
}

async fn world() -> World {
    let world = World::new().await;
    mount(&world, "approle").await;
    world
}

/// How many records there are of secret ids, with all that leads to them.
fn kept(world: &World) -> usize {
    world.store.count("secret-id")
}

#[tokio::test(start_paused = true)]
async fn sixty_four_callers_with_one_use_get_one_token() {
    let world = world().await;
    role(&world, "r", AppRoleWrite { secret_id_num_uses: Some(1), ..AppRoleWrite::default() })
        .await;
    let made = secret_id(&world, "r").await;
    let logins = (0..64).map(|_| log_in(&world, HOME, "r", Some(made.text.reveal())));
    let outcomes = futures_util::future::join_all(logins).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.into_iter().filter_map(Result::err).all(|error| error == WRONG));
    assert_eq!((kept(&world), world.store.count("token-of/")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_use_is_spent_for_good_even_where_no_token_comes_of_it() {
    let world = world().await;
    role(&world, "r", AppRoleWrite { secret_id_num_uses: Some(2), ..AppRoleWrite::default() })
        .await;
    let made = secret_id(&world, "r").await;
    // The first write spends the use, the second, which is refused, would keep the token.
    world.store.refuse_one(1);
    let refused = log_in(&world, HOME, "r", Some(made.text.reveal())).await;
    assert!(matches!(refused, Err(LoginError::Store(_))), "{refused:?}");
    assert_eq!(world.store.count("token-of/"), 0);
    log_in(&world, HOME, "r", Some(made.text.reveal())).await.unwrap();
    assert_eq!(log_in(&world, HOME, "r", Some(made.text.reveal())).await.unwrap_err(), WRONG);
}

#[tokio::test(start_paused = true)]
async fn a_secret_id_is_kept_as_a_keyed_hash_and_is_in_no_record() {
    let world = world().await;
    role(&world, "r", AppRoleWrite { local_secret_ids: Some(true), ..AppRoleWrite::default() })
        .await;
    let chosen = SecretIdWrite { text: Some(secret("canary-chosen")), ..SecretIdWrite::default() };
    let chosen = make(&world, "r", chosen).await.unwrap();
    let drawn = secret_id(&world, "r").await;
    assert!(drawn.text.reveal().len() >= 43, "256 bits");
    for made in [&chosen, &drawn] {
        log_in(&world, HOME, "r", Some(made.text.reveal())).await.unwrap();
        assert!(!world.audit.lines().join("\n").contains(made.text.reveal()));
        assert!(!format!("{made:?}").contains(made.text.reveal()));
    }
    let again = SecretIdWrite { text: Some(secret("canary-chosen")), ..SecretIdWrite::default() };
    let again = make(&world, "r", again).await.unwrap_err();
    assert_eq!(again, MethodError::Bad("SecretID is already registered".into()));
}

#[tokio::test(start_paused = true)]
async fn a_secret_id_cannot_be_destroyed_through_another_role_cve_2023_24999() {
    let world = world().await;
    for name in ["mine", "theirs"] {
        role(&world, name, AppRoleWrite::default()).await;
    }
    let theirs = secret_id(&world, "theirs").await;
    let accessor = || WhichSecretId::Accessor(theirs.secret_id.accessor.to_string());
    let text = || WhichSecretId::Text(secret(theirs.text.reveal()));
    let broker = world.broker();
    for which in [accessor(), text()] {
        // A text that the role has not is destroyed already; an accessor that it has not is not there.
        let _outcome = broker.destroy_secret_id(&request(ROOT), (AT, "mine"), which).await;
    }
    let refused = broker.destroy_secret_id(&request(ROOT), (AT, "mine"), accessor()).await;
    assert!(matches!(refused, Err(MethodError::NotFound(_))));
    let seen = broker.lookup_secret_id(&request(ROOT), (AT, "mine"), accessor()).await;
    assert!(matches!(seen, Err(MethodError::NotFound(_))));
    let seen = broker.lookup_secret_id(&request(ROOT), (AT, "mine"), text()).await.unwrap();
    assert!(seen.is_none());
    assert_eq!(log_in(&world, HOME, "mine", Some(theirs.text.reveal())).await.unwrap_err(), WRONG);
    log_in(&world, HOME, "theirs", Some(theirs.text.reveal())).await.unwrap();
    broker.destroy_secret_id(&request(ROOT), (AT, "theirs"), accessor()).await.unwrap();
    let ended = log_in(&world, HOME, "theirs", Some(theirs.text.reveal())).await;
    assert_eq!(ended.unwrap_err(), WRONG);
    assert_eq!(kept(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn a_secret_id_is_over_at_its_time_and_removed_soon_after() {
    let (world, hour) = (world().await, Duration::from_hours(1));
    let ttl = Some(hour);
    role(&world, "r", AppRoleWrite { secret_id_ttl: ttl, ..AppRoleWrite::default() }).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(secret_id(&world, "r").await);
    }
    let first = made[0].text.reveal();
    world.pass(hour.saturating_sub(Duration::from_millis(1))).await;
    let token = log_in(&world, HOME, "r", Some(first)).await.unwrap();
    world.broker().housekeep().await.unwrap();
    assert_eq!(kept(&world), 15);
    world.pass(Duration::from_millis(1)).await;
    assert_eq!(log_in(&world, HOME, "r", Some(first)).await.unwrap_err(), WRONG);
    world.broker().housekeep().await.unwrap();
    assert_eq!(kept(&world), 0);
    assert!(own(&world, &token).await.is_some(), "its tokens have their own term");
}

#[tokio::test(start_paused = true)]
async fn a_role_made_anew_knows_nothing_of_the_one_before() {
    let world = world().await;
    role(&world, "r", AppRoleWrite::default()).await;
    let made = secret_id(&world, "r").await;
    let token = log_in(&world, HOME, "r", Some(made.text.reveal())).await.unwrap();
    world.broker().delete_approle(&request(ROOT), AT, "R").await.unwrap();
    assert_eq!(log_in(&world, HOME, "r", Some(made.text.reveal())).await.unwrap_err(), WRONG);
    role(&world, "r", AppRoleWrite::default()).await;
    assert_eq!(log_in(&world, HOME, "r", Some(made.text.reveal())).await.unwrap_err(), WRONG);
    let mut asked = from(HOME);
    asked.token = Some(secret(token.text.reveal()));
    let own = leasehold_core::broker::WhichToken::Own;
    assert!(world.broker().renew_token(&asked, &own, None).await.is_err());
    world.broker().housekeep().await.unwrap();
    assert_eq!((kept(&world), world.store.count("approle-gone/")), (0, 0));
    let fresh = secret_id(&world, "r").await;
    log_in(&world, HOME, "r", Some(fresh.text.reveal())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_disabled_method_is_left() {
    let world = world().await;
    role(&world, "r", AppRoleWrite { secret_id_num_uses: Some(9), ..AppRoleWrite::default() })
        .await;
    let made = secret_id(&world, "r").await;
    log_in(&world, HOME, "r", Some(made.text.reveal())).await.unwrap();
    world.broker().disable_mount(&request(ROOT), (Side::Methods, "approle")).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    world.broker().housekeep().await.unwrap();
    for prefix in ["secret-id", "approle", "token-of/"] {
        assert_eq!(world.store.count(prefix), 0, "{prefix}");
    }
}

#[tokio::test(start_paused = true)]
async fn roles_and_secret_ids_are_bound_to_networks_and_a_wrong_one_spends_no_use() {
    let world = world().await;
    let cidrs = |one: &str| Some(vec![one.to_owned()]);
    let bound = AppRoleWrite {
        secret_id_bound_cidrs: cidrs("192.0.2.0/24"),
        secret_id_num_uses: Some(1),
        params: ParamsWrite { bound_cidrs: cidrs("192.0.0.0/16"), ..ParamsWrite::default() },
        ..AppRoleWrite::default()
    };
    role(&world, "r", bound).await;
    let wanted = |list: &str, token: &str| SecretIdWrite {
        cidr_list: vec![list.to_owned()],
        token_bound_cidrs: vec![token.to_owned()],
        ..SecretIdWrite::default()
    };
    for (list, token) in [("192.0.0.0/16", "192.0.2.0/24"), ("192.0.2.1", "10.0.0.1"), ("x", "x")] {
        assert!(make(&world, "r", wanted(list, token)).await.is_err(), "{list} {token}");
    }
    let made = make(&world, "r", wanted("192.0.2.1", "192.0.2.0/28")).await.unwrap();
    for ip in ["192.0.2.2", "198.51.100.1", ""] {
        let elsewhere = log_in(&world, ip, "r", Some(made.text.reveal())).await.unwrap_err();
        assert_eq!(elsewhere, LoginError::Elsewhere(ip.into()));
    }
    let token = log_in(&world, "192.0.2.1", "r", Some(made.text.reveal())).await.unwrap();
    assert_eq!(token.token.bound_cidrs, ["192.0.2.0/28".parse().unwrap()]);
}

#[tokio::test(start_paused = true)]
async fn what_a_secret_id_says_of_networks_narrows_what_its_role_says_and_never_widens_it() {
    let world = world().await;
    let bound = |cidr: &str| AppRoleWrite {
        params: ParamsWrite { bound_cidrs: Some(vec![cidr.into()]), ..ParamsWrite::default() },
        ..AppRoleWrite::default()
    };
    role(&world, "r", bound("192.0.0.0/16")).await;
    let wanted = SecretIdWrite {
        token_bound_cidrs: vec!["192.0.2.0/24".into()],
        ..SecretIdWrite::default()
    };
    let made = make(&world, "r", wanted).await.unwrap();
    // The role has become narrower than what the secret id was made with.
    for (role_cidr, both) in [("192.0.2.0/28", "192.0.2.0/28"), ("192.0.0.0/16", "192.0.2.0/24")] {
        role(&world, "r", bound(role_cidr)).await;
        let token = log_in(&world, HOME, "r", Some(made.text.reveal())).await.unwrap();
        assert_eq!(token.token.bound_cidrs, [both.parse().unwrap()]);
    }
    role(&world, "r", bound("198.51.100.0/24")).await;
    for ip in [HOME, "198.51.100.1"] {
        assert!(log_in(&world, ip, "r", Some(made.text.reveal())).await.is_err(), "{ip}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_without_secret_ids_must_be_bound_otherwise() {
    let world = world().await;
    let open = AppRoleWrite {
        mount: AT.into(),
        name: "open".into(),
        bind_secret_id: Some(false),
        ..AppRoleWrite::default()
    };
    let refused = world.broker().write_approle(&request(ROOT), open.clone()).await;
    assert!(matches!(refused, Err(MethodError::Bad(_))));
    let bound =
        ParamsWrite { bound_cidrs: Some(vec!["192.0.2.0/24".into()]), ..ParamsWrite::default() };
    role(&world, "open", AppRoleWrite { params: bound, ..open }).await;
    log_in(&world, HOME, "open", None).await.unwrap();
    let elsewhere = log_in(&world, "198.51.100.1", "open", None).await.unwrap_err();
    assert_eq!(elsewhere, LoginError::Denied);
    assert!(make(&world, "open", SecretIdWrite::default()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_network_that_fails_often_is_slowed_and_no_role_is_locked() {
    let world = world().await;
    role(&world, "r", AppRoleWrite::default()).await;
    let made = secret_id(&world, "r").await;
    let mut failed = 0;
    while log_in(&world, "198.51.100.1", "r", Some("guess")).await.unwrap_err() == WRONG {
        failed += 1;
    }
    assert_eq!(failed, 101);
    let slowed = log_in(&world, "198.51.100.1", "r", Some(made.text.reveal())).await;
    assert_eq!(slowed.unwrap_err(), LoginError::Busy);
    log_in(&world, HOME, "r", Some(made.text.reveal())).await.unwrap();
    world.pass(Duration::from_secs(1)).await;
    log_in(&world, "198.51.100.1", "r", Some(made.text.reveal())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_secret_id_is_good_no_more_often_and_no_longer_than_its_role_says() {
    let world = world().await;
    let bounded = AppRoleWrite {
        secret_id_num_uses: Some(3),
        secret_id_ttl: Some(Duration::from_hours(1)),
        ..AppRoleWrite::default()
    };
    role(&world, "r", bounded).await;
    let with = |num_uses, ttl| SecretIdWrite { num_uses, ttl, ..SecretIdWrite::default() };
    for wanted in [
        with(Some(4), None),
        with(Some(0), None),
        with(None, Some(Duration::from_hours(2))),
        with(None, Some(Duration::ZERO)),
    ] {
        assert!(make(&world, "r", wanted).await.is_err());
    }
    let less = make(&world, "r", with(Some(2), Some(Duration::from_mins(1)))).await.unwrap();
    assert_eq!(less.secret_id.num_uses, 2);
    // A second role cannot be called as the first.
    let taken = AppRoleWrite {
        mount: AT.into(),
        name: "other".into(),
        role_id: Some("id-of-r".into()),
        ..AppRoleWrite::default()
    };
    let taken = world.broker().write_approle(&request(ROOT), taken).await.unwrap_err();
    assert_eq!(taken, MethodError::Bad("role_id is already in use by another role".into()));
}

#[tokio::test(start_paused = true)]
async fn a_wrapped_secret_id_that_nobody_takes_out_ends_with_its_wrapping() {
    const TTL: Duration = Duration::from_mins(5);
    for case in ["taken out", "lapsed", "lapsed while the server was down", "revoked", "unstored"] {
        let world = world().await;
        role(&world, "r", AppRoleWrite { secret_id_num_uses: Some(9), ..AppRoleWrite::default() })
            .await;
        let text = || Some(secret("chosen"));
        let chosen = SecretIdWrite { text: text(), ..SecretIdWrite::default() };
        let made = make(&world, "r", chosen).await.unwrap();
        let answer = serde_json::value::to_raw_value("canary").unwrap();
        if case == "unstored" {
            world.store.refuse_one(0);
        }
        let wrapped = world.broker().wrap(&request(ROOT), answer, made.made, TTL).await;
        match case {
            "taken out" => {
                let asked = request(wrapped.unwrap().text.reveal());
                let _unwrapped = world.broker().unwrap(&asked, None).await.unwrap();
                world.pass(TTL * 2).await;
            }
            "revoked" => {
                let accessor = wrapped.unwrap().token.accessor;
                let which = WhichToken::Accessor(accessor.to_string());
                let freeing = Children::Free;
                world.broker().revoke_token(&request(ROOT), &which, freeing).await.unwrap();
            }
            "unstored" => assert!(wrapped.is_err()),
            "lapsed" => world.pass(TTL + Duration::from_secs(1)).await,
            _ => {
                world.stop_sweeping();
                world.pass(TTL + Duration::from_secs(1)).await;
                assert_eq!(kept(&world), 3);
                world.restart().await;
                world.pass(Duration::from_secs(1)).await;
            }
        }
        let login = log_in(&world, HOME, "r", Some("chosen")).await;
        assert_eq!(login.is_ok(), case == "taken out", "{case}");
        assert_eq!(kept(&world), if case == "taken out" { 3 } else { 0 }, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrapping_takes_no_other_secret_id_of_the_same_text_with_it() {
    let world = world().await;
    role(&world, "r", AppRoleWrite::default()).await;
    let chosen = || SecretIdWrite { text: Some(secret("chosen")), ..SecretIdWrite::default() };
    let first = make(&world, "r", chosen()).await.unwrap();
    let answer = serde_json::value::to_raw_value("canary").unwrap();
    let ttl = Duration::from_mins(5);
    let _wrapping = world.broker().wrap(&request(ROOT), answer, first.made, ttl).await.unwrap();
    let which = WhichSecretId::Text(secret("chosen"));
    world.broker().destroy_secret_id(&request(ROOT), (AT, "r"), which).await.unwrap();
    let _second = make(&world, "r", chosen()).await.unwrap();
    world.pass(ttl * 2).await;
    log_in(&world, HOME, "r", Some("chosen")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_secret_id_whose_making_cannot_be_recorded_is_destroyed() {
    let world = world().await;
    role(&world, "r", AppRoleWrite::default()).await;
    world.audit.refuse_answers(true);
    let text = Some(secret("a text that its maker knows"));
    let wanted = SecretIdWrite { text, ..SecretIdWrite::default() };
    let refused = make(&world, "r", wanted).await.unwrap_err();
    assert!(matches!(refused, MethodError::Admit(_)), "{refused}");
    world.audit.refuse_answers(false);
    assert_eq!(kept(&world), 0);
    let tried = log_in(&world, HOME, "r", Some("a text that its maker knows")).await;
    assert_eq!(tried.unwrap_err(), WRONG);
}
