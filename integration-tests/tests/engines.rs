//! The page about the engines says what their suite does.

use leasehold_integration_tests::engine_suite::cases::CASES;
use leasehold_integration_tests::engine_suite::table::{COLUMNS, rendered};
use std::fs;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ENGINES.md");
const BEGIN: &str = "<!-- The suite writes from here: LEASEHOLD_SNAPSHOTS=write cargo test -p leasehold-integration-tests --test engines -->\n";
const END: &str = "<!-- to here. -->";

#[test]
fn the_table_in_the_page_is_what_the_suite_does() {
    let page = fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("it has a place for the table");
    let (_, after) = rest.split_once(END).expect("the place ends");
    let written = format!("{before}{BEGIN}\n{}\n{END}{after}", rendered());
    if std::env::var("LEASEHOLD_SNAPSHOTS").is_ok_and(|wish| wish == "write") {
        fs::write(PAGE, &written).unwrap();
    }
    let kept = fs::read_to_string(PAGE).unwrap();
    assert_eq!(kept, written, "run this test with LEASEHOLD_SNAPSHOTS=write, which writes it anew");
}

#[test]
fn what_is_different_is_said_of_cases_that_there_are() {
    for column in COLUMNS {
        for (name, _) in column.notes {
            assert!(CASES.iter().any(|case| case.name == *name), "{}: {name}", column.engine);
        }
    }
}
