//! How the real binary treats those who come in: from where they come, over what, how often, and with what they are
//! answered.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

#[path = "front/forwarded.rs"]
mod forwarded;
#[path = "front/headers.rs"]
mod headers;
#[path = "front/quotas.rs"]
mod quotas;
#[path = "front/tls.rs"]
mod tls;

use leasehold_integration_tests::server::Place;

/// Makes a place whose listener has these lines.
fn place_with(listener: &str) -> Place {
    let place = Place::new();
    place.configure(&format!(
        "storage \"embedded\" {{ path = \"{{folder}}/store\" }}\n\
         seal \"file\" {{ path = \"{{folder}}/root.key\" }}\n\
         listener \"tcp\" {{\n address = \"127.0.0.1:0\"\n {listener}\n}}\n\
         audit \"file\" \"first\" {{\n options {{ file_path = \"{{folder}}/audit\" }}\n}}\n"
    ));
    place
}
