//! Tests of what configurations mean for a listener.

use super::{problems, read};
use crate::forwarded::Forwarded;
use crate::response_headers::{Answers, ResponseHeaders};
use actix_web::http::header::{HeaderName, HeaderValue};

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

#[test]
fn headers_of_answers_are_read_as_vaults_files_have_them() {
    let as_in_vault = r#"listener "tcp" {
        tls_disable = true
        custom_response_headers {
          "default" = {
            "Content-Security-Policy" = ["connect-src https://a/"],
            "X-Two" = ["one", "two"]
          },
          "4xx" = { "X-Two" = "three" }
          "404" = {
            "X-Four" = []
          }
        }
      }"#;
    let in_json = r#"{ "listener": { "tcp": { "tls_disable": true, "custom_response_headers": {
        "default": { "Content-Security-Policy": ["connect-src https://a/"], "X-Two": ["one", "two"] },
        "4xx": { "X-Two": "three" }, "404": { "X-Four": [] } } } } }"#;
    let mut expected = ResponseHeaders::usual(false);
    let one = |text: &'static str| vec![HeaderValue::from_static(text)];
    let two = HeaderName::from_static("x-two");
    let policy = HeaderName::from_static("content-security-policy");
    expected.set(Answers::All, policy, one("connect-src https://a/"));
    expected.set(Answers::All, two.clone(), [one("one"), one("two")].concat());
    expected.set(Answers::Class(4), two, one("three"));
    expected.set(Answers::Status(404), HeaderName::from_static("x-four"), Vec::new());
    for written in [as_in_vault, in_json] {
        assert_eq!(read(written).unwrap().config.listeners[0].headers, expected, "{written}");
    }

    for (inside, told) in [
        ("\"7xx\" = {}", "`7xx` must be `default`, a class like `4xx`"),
        ("\"default\" = 5", "`default` must hold headers"),
        (
            "\"default\" = { \"Cache-Control\" = \"public\" }",
            "`Cache-Control` is set by the server itself",
        ),
        ("\"200\" = { \"X-Vault-A\" = \"b\" }", "`X-Vault-A` is set by the server itself"),
        ("\"200\" = { \"a b\" = \"c\" }", "`a b` is no name of a header"),
        ("\"200\" = { \"X-A\" = \"b\\nc\" }", "`X-A` must be visible ASCII"),
        ("\"200\" = { \"X-A\" = [5] }", "`X-A` must be a text or a list of texts"),
        ("\"200\" = { \"X-A\" = {} }", "`X-A` must be a text or a list of texts"),
    ] {
        let written = format!(
            "listener \"tcp\" {{\n tls_disable = true\n custom_response_headers {{\n {inside}\n }}\n}}"
        );
        let told_all = problems(&written);
        assert!(told_all.len() == 1 && told_all[0].contains(told), "{inside}: {told_all:?}");
        assert!(
            told_all[0].starts_with("a.hcl:4: listener tcp custom_response_headers: "),
            "{told_all:?}"
        );
    }
}
