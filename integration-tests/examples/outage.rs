//! Lets 5,000 leases over four targets lapse while one of them is down, and writes how late each target was.

#![expect(clippy::print_stdout, reason = "it tells what it has seen")]

use leasehold_integration_tests::outage::{Leases, run};
use std::time::Duration;

/// 5,000 in all. Fewer at AWS: what stands in for it makes about ten users a second, and removes fewer.
const LEASES: Leases =
    Leases { postgres: 1600, mariadb: 1600, redis: 1600, aws: 200, term: Duration::from_mins(4) };

#[tokio::main]
async fn main() {
    println!(
        "| target | leases | gone after its lapse, median | worst | all gone after its return |"
    );
    println!("| --- | --- | --- | --- | --- |");
    for one in run(LEASES).await {
        let after_return = one.after_return.map(|span| format!("{span:.1?}")).unwrap_or_default();
        let (median, worst) = (one.median, one.worst);
        println!("| {:?} | {} | {median:.1?} | {worst:.1?} | {after_return} |", one.at, one.leases);
    }
}
