//! Turns arguments written as Vault's users write them into what the parser expects.
//!
//! Vault's flags are Go's: one dash or two, `-name=value` or `-name value`, and `-name` alone for
//! what is true or false. Each becomes `--name` or `--name=value`, so that a value may begin with a
//! dash and no flag is ever taken for a bundle of one-letter flags.

use clap::{Arg, ArgAction, Command};
use std::ffi::OsString;

/// Rewrites the flags among `arguments`, the first of which is the program.
pub(crate) fn normalize(
    root: &Command,
    arguments: impl IntoIterator<Item = OsString>,
) -> Vec<OsString> {
    let mut command = root;
    let mut normal = Vec::new();
    let mut arguments = arguments.into_iter();
    normal.extend(arguments.next());
    while let Some(argument) = arguments.next() {
        let Some(text) = argument.to_str() else {
            normal.push(argument);
            continue;
        };
        if text == "--" {
            normal.push(argument);
            break;
        }
        let Some(flag) = Flag::of(text) else {
            command = command.find_subcommand(text).unwrap_or(command);
            normal.push(argument);
            continue;
        };
        let known = find(command, flag.name);
        let (switch, on) = (known.is_some_and(is_switch), flag.value.and_then(truth));
        if switch && on == Some(false) {
            continue;
        }
        let takes_next = flag.value.is_none() && known.is_some_and(wants_value);
        let name = if flag.name.chars().count() == 1 {
            format!("-{}", flag.name)
        } else {
            format!("--{}", flag.name)
        };
        let value = if takes_next {
            arguments.next()
        } else {
            flag.value.filter(|_| !(switch && on == Some(true))).map(OsString::from)
        };
        let mut whole = OsString::from(name);
        if let Some(value) = value {
            whole.push("=");
            whole.push(value);
        }
        normal.push(whole);
    }
    normal.extend(arguments);
    normal
}

/// Writes flags in a text of the parser's as Vault's users know them: with one dash.
///
/// In a table of flags the dash that goes becomes a blank, so that the columns stay where they are.
pub(crate) fn with_single_dashes(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(line_with_single_dashes).collect();
    lines.join("\n")
}

fn line_with_single_dashes(line: &str) -> String {
    let mut single = String::with_capacity(line.len());
    let mut rest = line;
    let mut owed = false;
    while let Some((before, after)) = rest.split_once("--") {
        let flag = after.starts_with(|c: char| c.is_ascii_lowercase()) && !before.ends_with('-');
        owed |= flag && single.is_empty() && before.starts_with("  ");
        single.push_str(before);
        single.push_str(if flag { "-" } else { "--" });
        rest = after;
        if let Some((name, help)) = rest.split_once("  ").filter(|_| owed) {
            owed = false;
            single.push_str(name);
            single.push_str("   ");
            rest = help;
        }
    }
    single.push_str(rest);
    single
}

struct Flag<'a> {
    name: &'a str,
    value: Option<&'a str>,
}

impl<'a> Flag<'a> {
    /// Reads a flag; `-` alone is standard input, and `-5` is a number.
    fn of(text: &'a str) -> Option<Self> {
        let name = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))?;
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        Some(match name.split_once('=') {
            Some((name, value)) => Self { name, value: Some(value) },
            None => Self { name, value: None },
        })
    }
}

fn find<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let mut letters = name.chars();
    let letter = letters.next().filter(|_| letters.next().is_none());
    command.get_arguments().find(|known| {
        known.get_long() == Some(name)
            || known.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
            || letter.is_some() && known.get_short() == letter
    })
}

/// Tells whether a flag is on when it is there, and off when it is not.
fn is_switch(flag: &Arg) -> bool {
    matches!(flag.get_action(), ArgAction::SetTrue)
}

/// Reads the words that Go takes for true and false.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Tells whether a flag takes the next argument; one that may stand alone has its value after `=`.
fn wants_value(flag: &Arg) -> bool {
    flag.get_action().takes_values() && !flag.is_require_equals_set()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Command {
        let flag = |name: &'static str| Arg::new(name).long(name);
        Command::new("leasehold").subcommand(
            Command::new("write")
                .arg(flag("field"))
                .arg(flag("increment").short('n'))
                .arg(flag("force").action(ArgAction::SetTrue)),
        )
    }

    fn normal(arguments: &[&str]) -> Vec<String> {
        let mut root = root();
        root.build();
        normalize(&root, arguments.iter().map(OsString::from))
            .into_iter()
            .map(|argument| argument.into_string().unwrap())
            .collect()
    }

    #[test]
    fn one_dash_and_two_and_both_ways_of_values_are_the_same() {
        for style in [
            &["x", "write", "-field=a", "p"][..],
            &["x", "write", "-field", "a", "p"],
            &["x", "write", "--field=a", "p"],
            &["x", "write", "--field", "a", "p"],
        ] {
            assert_eq!(normal(style), ["x", "write", "--field=a", "p"]);
        }
    }

    #[test]
    fn a_switch_may_be_given_a_truth() {
        for (style, flags) in [
            ("-force", &["--force"][..]),
            ("-force=true", &["--force"]),
            ("--force=1", &["--force"]),
            ("-force=false", &[]),
            ("-force=maybe", &["--force=maybe"]),
        ] {
            assert_eq!(normal(&["x", "write", style])[2..], *flags, "{style}");
        }
    }

    #[test]
    fn values_that_look_like_flags_or_numbers_stay_values() {
        assert_eq!(normal(&["x", "write", "-increment", "-5"])[2..], ["--increment=-5"]);
        assert_eq!(normal(&["x", "write", "-n", "-5"])[2..], ["-n=-5"]);
        assert_eq!(normal(&["x", "write", "-field", "-field"])[2..], ["--field=-field"]);
        assert_eq!(normal(&["x", "write", "p", "-", "-5", "a=-b"])[2..], ["p", "-", "-5", "a=-b"]);
    }

    #[test]
    fn nothing_after_two_dashes_is_touched() {
        assert_eq!(normal(&["x", "write", "--", "-field", "-x=1"])[2..], ["--", "-field", "-x=1"]);
    }

    #[test]
    fn unknown_flags_are_not_taken_for_bundled_letters() {
        assert_eq!(normal(&["x", "write", "-fild=a", "p"])[2..], ["--fild=a", "p"]);
    }

    #[test]
    fn texts_show_flags_with_one_dash() {
        assert_eq!(
            with_single_dashes("-h, --help; `--format`; write -- -x; a---b; --; -----"),
            "-h, -help; `-format`; write -- -x; a---b; --; -----"
        );
        assert_eq!(
            with_single_dashes(
                "  -f, --force  Go on, as --sync\n      --a <B>   Help\n           more"
            ),
            "  -f, -force   Go on, as -sync\n      -a <B>    Help\n           more"
        );
    }
}
