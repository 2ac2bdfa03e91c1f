//! Tests of what configurations mean for a listener.

use super::{problems, read};
use crate::forwarded::Forwarded;

#[test]
fn a_listener_believes_the_proxies_that_it_is_told_of() {
    let listener =
        |inside: &str| format!("listener \"tcp\" {{\n tls_disable = true\n {inside}\n}}");
    let read_one = |inside: &str| read(&listener(inside)).unwrap().config.listeners[0].clone();
    assert_eq!(read_one("").forwarded, None);
    let whole = "x_forwarded_for_authorized_addrs = \"10.0.0.0/8, ::1\"\n x_forwarded_for_hop_skips = \"1\"\n \
                 x_forwarded_for_reject_not_authorized = \"true\"\n x_forwarded_for_reject_not_present = true";
    let authorized = vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
    let expected = Forwarded {
        authorized,
        hop_skips: 1,
        reject_not_authorized: true,
        reject_not_present: true,
    };
    assert_eq!(read_one(whole).forwarded.as_ref(), Some(&expected));
    let listed = "x_forwarded_for_authorized_addrs = [\"10.0.0.0/8\", \"::1\"]";
    let expected = Forwarded { authorized: expected.authorized, ..Forwarded::default() };
    assert_eq!(read_one(listed).forwarded, Some(expected));

    for (inside, told) in [
        ("x_forwarded_for_authorized_addrs = \"\"", "must be an address or a network like"),
        ("x_forwarded_for_authorized_addrs = []", "must be a list of texts that is not empty"),
        ("x_forwarded_for_authorized_addrs = [1]", "must be a list of texts that is not empty"),
        ("x_forwarded_for_authorized_addrs = true", "must be a list of texts that is not empty"),
        ("x_forwarded_for_authorized_addrs = \"10.0.0.0/33\"", "not `10.0.0.0/33`"),
        (
            "x_forwarded_for_reject_not_present = true",
            "is needed by `x_forwarded_for_reject_not_present`",
        ),
    ] {
        let told_all = problems(&listener(inside));
        assert!(told_all.len() == 1 && told_all[0].contains(told), "{inside}: {told_all:?}");
        assert!(told_all[0].contains("`x_forwarded_for_authorized_addrs"), "{told_all:?}");
    }
    for skips in ["-1", "33", "\"x\"", "1.5", "[]"] {
        let inside = format!("{listed}\n x_forwarded_for_hop_skips = {skips}");
        let told = problems(&listener(&inside)).remove(0);
        assert!(
            told.contains("`x_forwarded_for_hop_skips` must be a whole number of at most 32"),
            "{told}"
        );
    }
}
