//! Reads the text that Prometheus reads, version 0.0.4, and fails wherever it is not as it must be.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "whatever is not as it must be fails the test at once"
)]

use std::collections::{BTreeMap, BTreeSet};

/// What was told, sample by sample.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    samples: BTreeMap<Series, f64>,
    /// The kind of each metric.
    pub(crate) kinds: BTreeMap<String, String>,
}

/// A name and its labels.
type Series = (String, BTreeMap<String, String>);

impl Exposition {
    /// Reads a text, strictly.
    #[track_caller]
    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut read = Self::default();
        let mut current = String::new();
        let mut closed = BTreeSet::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(help.ends_with('.') && help.len() > 10, "the help says little: {line}");
                assert!(closed.insert(name.to_owned()), "told twice: {name}");
                name.clone_into(&mut current);
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(name, current, "the type does not follow its help");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                let before = read.kinds.insert(name.to_owned(), kind.to_owned());
                assert!(before.is_none(), "typed twice: {name}");
            } else {
                let (series, value) = sample(line);
                let kind = read.kinds.get(&current).expect("a sample follows its type");
                assert!(belongs(&series.0, &current, kind), "{line} is not of {current}");
                let before = read.samples.insert(series, value);
                assert!(before.is_none(), "told twice: {line}");
            }
        }
        read.check_names();
        read.check_histograms();
        read
    }

    /// Returns the sample with exactly these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.samples.get(&(name.to_owned(), labels.collect())).copied()
    }

    /// Returns all samples.
    pub(crate) fn samples(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, String>, f64)> {
        self.samples.iter().map(|((name, labels), value)| (name.as_str(), labels, *value))
    }

    fn check_names(&self) {
        for (name, kind) in &self.kinds {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(name.starts_with("leasehold_") && name.bytes().all(plain), "{name}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        }
    }

    /// The ranges of a histogram hold ever more, and the last one holds all.
    fn check_histograms(&self) {
        let mut buckets = BTreeMap::<Series, Vec<(f64, f64)>>::new();
        for ((name, labels), value) in &self.samples {
            let Some(name) = name.strip_suffix("_bucket") else { continue };
            let mut labels = labels.clone();
            let bound = labels.remove("le").expect("a bucket has a bound");
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
            buckets.entry((name.to_owned(), labels)).or_default().push((bound, *value));
        }
        for ((name, labels), mut buckets) in buckets {
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(buckets.is_sorted_by(|one, other| one.1 <= other.1), "{name} {buckets:?}");
            let (last, all) = buckets.pop().unwrap();
            assert!(last.is_infinite(), "{name} has no last bucket");
            let count = self.samples.get(&(format!("{name}_count"), labels.clone()));
            assert_eq!(count, Some(&all), "{name}");
            assert!(self.samples.contains_key(&(format!("{name}_sum"), labels)), "{name}");
        }
    }
}

fn belongs(name: &str, family: &str, kind: &str) -> bool {
    match name.strip_prefix(family) {
        Some("") => kind != "histogram",
        Some("_bucket" | "_sum" | "_count") => kind == "histogram",
        Some(_) | None => false,
    }
}

/// Reads `name{label="value",…} number`.
fn sample(line: &str) -> (Series, f64) {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, quoted) = rest.split_once("=\"").expect("a label has a value");
            assert!(label.bytes().all(|byte| byte.is_ascii_lowercase()), "{line}");
            let (value, after) = unquoted(quoted);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            match after.strip_prefix(',') {
                Some(after) => rest = after,
                None => break rest = after.strip_prefix('}').expect("labels end"),
            }
        }
    }
    let value = rest.strip_prefix(' ').expect("a value follows").parse().expect("a number");
    ((name.to_owned(), labels), value)
}

/// Reads a value up to its quote.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, text.split_at(at + 1).1),
            '\\' => match chars.next().expect("something is escaped").1 {
                'n' => value.push('\n'),
                escaped @ ('"' | '\\') => value.push(escaped),
                other => panic!("`{other}` is not escaped so"),
            },
            other => value.push(other),
        }
    }
    panic!("a value does not end: {text}")
}
