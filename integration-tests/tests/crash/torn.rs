//! A store's file that was cut after a crash: refused with what to do, and not changed; never a lease lost in silence.

use leasehold_integration_tests::crash::Role;
use leasehold_integration_tests::crash::callers::borrow;
use leasehold_integration_tests::crash::door::Door;
use leasehold_integration_tests::crash::draw::Draw;
use leasehold_integration_tests::crash::site::{Process, Site};
use serde_json::json;
use std::fs;
use std::time::Duration;

const LONG: Role =
    Role { name: "long", ttl: Duration::from_hours(1), max: Duration::from_hours(2) };

/// Credentials that are lent before the crash: enough for the file to be more than its first pages.
const LENT: usize = 60;

/// Where the header of a file of redb says how many pages its last region has.
const TRAILING_PAGES_AT: usize = 28;

/// Returns lengths to cut a file of `length` bytes to: its ends, the borders of pages, and some in between.
fn cuts(length: u64) -> Vec<u64> {
    let mut draw = Draw::new(11);
    let mut cuts = vec![0, 1, 100, 320, 4095, 4096, 8192, length / 2, length - 4096, length - 1];
    cuts.extend((0..14).map(|_| draw.below(length)));
    cuts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_cut_is_refused_unchanged_or_has_lost_nothing() {
    let site = Site::found(vec![LONG]).await;
    let Process::Runs(mut server) = site.start(None) else { panic!("it starts") };
    let scene = site.scene(Door::to(server.address()));
    for _ in 0..LENT {
        assert_eq!(borrow(&scene, LONG, None).await.unwrap().len(), 1);
    }
    server.kill();
    let file = site.place.path("store/leasehold.redb");
    let whole = fs::read(&file).unwrap();
    let (mut refused, mut started) = (0, 0);
    for cut in cuts(u64::try_from(whole.len()).unwrap()) {
        let rest = &whole[..usize::try_from(cut).unwrap()];
        fs::write(&file, rest).unwrap();
        match site.start(None) {
            Process::Refuses(why) => {
                refused += 1;
                assert!(why.contains("leasehold.redb` is damaged"), "cut to {cut}: {why}");
                assert!(why.contains("restore it from a backup"), "cut to {cut}: {why}");
                assert!(fs::read(&file).unwrap() == rest, "cut to {cut}: the file was changed");
            }
            Process::Runs(mut server) => {
                started += 1;
                let door = Door::to(server.address());
                let leases: Vec<_> =
                    site.told().leases.values().map(|lent| lent.lease.clone()).collect();
                for lease in leases {
                    let body = json!({ "lease_id": lease });
                    let answer = door.ask(&site.root, "POST", "sys/leases/lookup", body).await;
                    let status = answer.expect("the server lives").status;
                    assert_eq!(status, 200, "cut to {cut}: {lease}");
                }
                server.kill();
            }
            Process::KilledAtStart => panic!("nothing is armed"),
        }
    }
    assert!(refused >= 10, "only {refused} cuts were refused, and {started} did no harm");

    // A power failure may leave a header that says more than the file has, and nothing is missing.
    let mut ahead = whole.clone();
    ahead[TRAILING_PAGES_AT] = ahead[TRAILING_PAGES_AT].wrapping_add(3);
    fs::write(&file, &ahead).unwrap();
    let Process::Runs(mut server) = site.start(None) else { panic!("nothing is missing") };
    assert!(server.log().contains("is shorter than it says"), "{}", server.log());
    let seen = site.look(&Door::to(server.address())).await.unwrap();
    assert_eq!((seen.leases.len(), seen.roles.len()), (LENT, LENT));
    assert!(!file.with_extension("redb.check").exists());
    server.kill();

    // What it says helps: put back whole, it starts, and nothing is missing.
    fs::write(&file, &whole).unwrap();
    let Process::Runs(server) = site.start(None) else { panic!("it starts") };
    let seen = site.look(&Door::to(server.address())).await.unwrap();
    assert_eq!((seen.leases.len(), seen.roles.len()), (LENT, LENT));
}
