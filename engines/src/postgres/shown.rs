//! What of a `connection_url` an operator is shown: rebuilt from what was understood.
//!
//! Whatever is not known to be harmless stays hidden, its name as well: where a password was pasted
//! without escaping, pieces of it end up as names and values of their own.

use super::address::{Address, dsn_escaped, url_escaped};

/// Stands for what is not shown.
const HIDDEN: &str = "*****";

/// What is shown where nothing was understood.
const UNREADABLE: &str = "(not shown, since it cannot be read)";

/// What may be filled in; it shows as it was written.
const PLACEHOLDERS: [&str; 2] = ["{{username}}", "{{password}}"];

/// Names whose values are no secrets: libpq's, and the settings that are commonly given with a connection.
const OPEN: [&str; 23] = [
    "user",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "application_name",
    "fallback_application_name",
    "timezone",
    "TimeZone",
    "connect_timeout",
    "client_encoding",
    "gssencmode",
    "search_path",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "tcp_keepalives_idle",
    "synchronous_commit",
    "work_mem",
];

/// Names of secrets, which are no secrets themselves.
const SECRET: [&str; 4] = ["password", "sslpassword", "sslkey", "passfile"];

/// Returns what was understood of a text, with the placeholders in it as they are.
pub(super) fn shown(text: &str) -> String {
    let Ok(address) = Address::parse(text) else { return UNREADABLE.to_owned() };
    let pairs = address.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let Some(before_query) = address.before_query else {
        let pairs: Vec<_> = pairs.map(|(key, value)| pair(key, value, list_value)).collect();
        return pairs.join(" ");
    };
    let place = |wanted: &str| {
        let mut before = pairs.clone().take(before_query);
        before.find(|(key, _)| *key == wanted).map(|(key, value)| value_of(key, value, in_path))
    };
    let mut url = String::from("postgresql://");
    let (user, password) = (place("user"), place("password"));
    if user.is_some() || password.is_some() {
        url.push_str(&user.unwrap_or_default());
        url.extend(password.into_iter().flat_map(|password| [":".to_owned(), password]));
        url.push('@');
    }
    url.push_str(&place("host").unwrap_or_default());
    url.extend(place("port").into_iter().flat_map(|port| [":".to_owned(), port]));
    url.extend(place("dbname").into_iter().flat_map(|database| ["/".to_owned(), database]));
    let query: Vec<_> = pairs
        .clone()
        .skip(before_query)
        .map(|(key, value)| pair(key, value, url_escaped))
        .collect();
    if !query.is_empty() {
        url.push('?');
        url.push_str(&query.join("&"));
    }
    url
}

fn pair(key: &str, value: &str, escaped: impl Fn(&str) -> String) -> String {
    if OPEN.contains(&key) || SECRET.contains(&key) {
        format!("{key}={}", value_of(key, value, escaped))
    } else {
        format!("{HIDDEN}={HIDDEN}")
    }
}

/// Returns a value as it may be shown: a secret only where it is nothing but a placeholder.
fn value_of(key: &str, value: &str, escaped: impl Fn(&str) -> String) -> String {
    if PLACEHOLDERS.contains(&value) {
        return value.to_owned();
    }
    // In the driver's eyes a value that looks like PEM is the key or certificate itself.
    if !OPEN.contains(&key) || value.contains("-----BEGIN") {
        return HIDDEN.to_owned();
    }
    let mut shown = String::new();
    let mut rest = value;
    while let Some((before, placeholder, after)) = next_placeholder(rest) {
        shown.push_str(&escaped(before));
        shown.push_str(placeholder);
        rest = after;
    }
    shown.push_str(&escaped(rest));
    shown
}

fn next_placeholder(text: &str) -> Option<(&str, &'static str, &str)> {
    let found = PLACEHOLDERS.iter().filter_map(|placeholder| {
        text.split_once(placeholder).map(|(before, after)| (before, *placeholder, after))
    });
    found.min_by_key(|(before, _, _)| before.len())
}

/// A host may be an IPv6 address, in brackets then.
fn in_path(text: &str) -> String {
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return format!("[{text}]");
    }
    url_escaped(text)
}

fn list_value(text: &str) -> String {
    if text.is_empty() { "''".to_owned() } else { dsn_escaped(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (text, wanted) in [
            ("postgres://a:s%3Acret@h/x", "postgresql://a:*****@h/x"),
            ("postgres://admin@h/db?password=s%3Acret", "postgresql://admin@h/db?password=*****"),
            (
                "postgres://a@h/db?password=one&password=two",
                "postgresql://a@h/db?password=*****&password=*****",
            ),
            (
                "postgres://a@h/db?sslpassword=s&sslkey=k&passfile=f&sslmode=require",
                "postgresql://a@h/db?sslpassword=*****&sslkey=*****&passfile=*****&sslmode=require",
            ),
            (
                "postgres://{{username}}:{{password}}@h:5/x?sslmode=verify-full",
                "postgresql://{{username}}:{{password}}@h:5/x?sslmode=verify-full",
            ),
            ("postgres://a:x{{password}}y@h", "postgresql://a:*****@h"),
            ("postgres://{{username}}%40b@[::1]:5/x", "postgresql://{{username}}%40b@[::1]:5/x"),
            ("postgres://ad%40min@%2Frun%2Fpg/x", "postgresql://ad%40min@%2Frun%2Fpg/x"),
            ("postgresql:///x?host=/run/pg", "postgresql:///x?host=%2Frun%2Fpg"),
            // A password that was pasted without escaping becomes host, port and a setting.
            ("postgres://a:12?ss=word", "postgresql://a:12?*****=*****"),
            ("postgres://a@h/x?sslrootcert=-----BEGIN X", "postgresql://a@h/x?sslrootcert=*****"),
        ] {
            assert_eq!(shown(text), wanted);
        }
    }

    #[test]
    fn a_list_is_shown_without_its_secrets() {
        for (text, wanted) in [
            ("host=h user=a password=hush", "host=h user=a password=*****"),
            ("host=h user=admin password=s\\ecret", "host=h user=admin password=*****"),
            ("host=h password='it\\'s' dbname='a b'", "host=h password=***** dbname=a\\ b"),
            ("host=h password=one password=two", "host=h password=***** password=*****"),
            (
                "host=h user={{username}} password='{{password}}' options=''",
                "host=h user={{username}} password={{password}} *****=*****",
            ),
        ] {
            assert_eq!(shown(text), wanted);
        }
    }

    #[test]
    fn nothing_is_shown_of_what_cannot_be_read() {
        for text in
            ["geheim", "postgres://a%zz:geheim@h", "host=h password='geheim", "host=h geheim"]
        {
            assert_eq!(shown(text), UNREADABLE);
        }
    }

    #[test]
    fn what_is_shown_reads_as_the_same_address() {
        for text in [
            "postgres://ad%40m%2Fin@%2Frun%2Fpg:5/d%3Fb?sslmode=require&search_path=a%26b%20c",
            "host=h port=5 dbname='a \\' b' user=x\\\\y",
        ] {
            assert!(Address::parse(&shown(text)) == Address::parse(text), "{}", shown(text));
        }
    }
}
