//! A few hundred leases over four targets lapse while one of them is down; the example `outage` does it with 5,000.

use leasehold_integration_tests::outage::{At, Leases, run};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_down_when_its_leases_lapse_delays_no_other_and_is_clean_once_it_is_back()
{
    let term = Duration::from_secs(20);
    let seen = run(Leases { postgres: 120, mariadb: 120, redis: 120, aws: 40, term }).await;
    // Each has been waited for, in this order: MariaDB was down until the others were clean.
    let in_order: Vec<_> = seen.iter().map(|one| (one.at, one.leases)).collect();
    let expected = [(At::Postgres, 120), (At::Redis, 120), (At::Aws, 40), (At::MariaDb, 120)];
    assert_eq!(in_order, expected);
}
