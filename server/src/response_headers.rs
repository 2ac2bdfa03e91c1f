//! What every answer of a listener carries besides what it says.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// What every answer carries, by its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResponseHeaders(Vec<(Answers, HeaderName, Vec<HeaderValue>)>);

/// Which answers are meant; the later ones are the more specific, and go before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answers {
    /// All.
    All,
    /// Those of a class: `4` for `4xx`.
    Class(u16),
    /// Those of one status.
    Status(u16),
}

/// What an operator cannot set: how an answer is framed, what it is, and that nobody keeps it.
const OUR_OWN: [HeaderName; 9] = [
    header::ALLOW,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::DATE,
    header::RETRY_AFTER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

impl Answers {
    /// Reads `default`, `4xx` or `404`.
    pub(crate) fn parse(written: &str) -> Option<Self> {
        let class = || written.strip_suffix("xx")?.parse().ok().map(Self::Class);
        let status = || written.parse().ok().map(Self::Status);
        let read = if written == "default" { Some(Self::All) } else { class().or_else(status) };
        read.filter(|answers| match answers {
            Self::All => true,
            Self::Class(class) => (1..=5).contains(class) && written.len() == 3,
            Self::Status(status) => (100..=599).contains(status),
        })
    }

    fn include(self, status: StatusCode) -> bool {
        match self {
            Self::All => true,
            Self::Class(class) => status.as_u16().checked_div(100) == Some(class),
            Self::Status(one) => status.as_u16() == one,
        }
    }
}

impl ResponseHeaders {
    /// What is carried unless an operator says otherwise: no browser guesses what an answer is, and one that has come
    /// by TLS once never comes without.
    pub(crate) fn usual(tls: bool) -> Self {
        let mut usual = Self(Vec::new());
        let no_guess = HeaderValue::from_static("nosniff");
        usual.set(Answers::All, header::X_CONTENT_TYPE_OPTIONS, vec![no_guess]);
        if tls {
            let year = HeaderValue::from_static("max-age=31536000; includeSubDomains");
            usual.set(Answers::All, header::STRICT_TRANSPORT_SECURITY, vec![year]);
        }
        usual
    }

    /// Sets a header of some answers, in place of what these had.
    pub(crate) fn set(&mut self, answers: Answers, name: HeaderName, values: Vec<HeaderValue>) {
        self.0.retain(|(of, known, _)| (*of, known) != (answers, &name));
        self.0.push((answers, name, values));
        self.0.sort_by_key(|(of, ..)| *of);
    }

    /// Puts into an answer what it carries.
    pub(crate) fn put(&self, status: StatusCode, headers: &mut HeaderMap) {
        for (_, name, values) in self.0.iter().filter(|(of, ..)| of.include(status)) {
            headers.remove(name);
            for value in values {
                headers.append(name.clone(), value.clone());
            }
        }
    }
}

/// Reads the name of a header that an operator may set.
pub(crate) fn name(written: &str) -> Result<HeaderName, String> {
    let name = HeaderName::try_from(written).map_err(|_| "is no name of a header".to_owned())?;
    if OUR_OWN.contains(&name) || name.as_str().starts_with("x-vault-") {
        return Err("is set by the server itself and cannot be set to anything else".to_owned());
    }
    Ok(name)
}

/// Reads the value of a header.
pub(crate) fn value(written: &str) -> Result<HeaderValue, String> {
    let value = HeaderValue::from_str(written);
    value.map_err(|_| "must be visible ASCII characters and spaces".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_all_a_class_or_one_status() {
        for (written, read) in [
            ("default", Some(Answers::All)),
            ("4xx", Some(Answers::Class(4))),
            ("404", Some(Answers::Status(404))),
            ("6xx", None),
            ("0xx", None),
            ("+4xx", None),
            ("xx", None),
            ("99", None),
            ("600", None),
            ("Default", None),
            ("", None),
        ] {
            assert_eq!(Answers::parse(written), read, "{written}");
        }
    }

    #[test]
    fn what_is_more_specific_goes_before() {
        let mut headers = ResponseHeaders::usual(true);
        let one = |text: &'static str| vec![HeaderValue::from_static(text)];
        let name = |text: &'static str| HeaderName::from_static(text);
        headers.set(Answers::Status(404), name("x-a"), one("status"));
        headers.set(Answers::Class(4), name("x-a"), one("class"));
        headers.set(Answers::All, name("x-a"), [one("all"), one("more")].concat());
        headers.set(Answers::All, header::X_CONTENT_TYPE_OPTIONS, Vec::new());
        for (status, values) in [
            (200, &["all", "more"][..]),
            (403, &["class"]),
            (404, &["status"]),
            (500, &["all", "more"]),
        ] {
            let mut put = HeaderMap::new();
            headers.put(StatusCode::from_u16(status).unwrap(), &mut put);
            assert_eq!(put.get_all("x-a").collect::<Vec<_>>(), values, "{status}");
            assert!(put.contains_key(header::STRICT_TRANSPORT_SECURITY));
            assert!(!put.contains_key(header::X_CONTENT_TYPE_OPTIONS));
        }
    }

    #[test]
    fn what_frames_an_answer_or_keeps_it_from_caches_cannot_be_set() {
        for own in
            ["Cache-Control", "content-length", "X-Vault-Token", "TRANSFER-ENCODING", "a b", ""]
        {
            assert!(name(own).is_err(), "{own}");
        }
        for bad in ["a\r\nb: c", "\0", "\n"] {
            assert!(value(bad).is_err(), "{bad:?}");
        }
        assert!(name("Content-Security-Policy").is_ok() && value("default-src 'none'").is_ok());
    }
}
