//! Holds the project to its own rules: those that a compiler does not know and a reviewer forgets.
//!
//! A failure names the line and what to do about it. A rule that turns out to make code worse is changed
//! here, in the same change that breaks it.

#![expect(clippy::string_slice, clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "tidy/threats.rs"]
mod threats;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Which of the project's crates a crate may depend on.
const MAY_DEPEND_ON: [(&str, &[&str]); 7] = [
    ("core", &[]),
    ("engines", &["leasehold-core"]),
    ("plugins", &["leasehold-core"]),
    ("server", &["leasehold-core", "leasehold-engines", "leasehold-plugins"]),
    ("cli", &["leasehold-core", "leasehold-server"]),
    (
        "integration-tests",
        &["leasehold-core", "leasehold-engines", "leasehold-plugins", "leasehold-server"],
    ),
    ("xtask", &[]),
];

/// All that `core` is built from: nothing here can open a socket, a file or a thread of its own accord.
const CORE_IS_BUILT_FROM: &str = "
    argon2 aws-lc-rs aws-lc-sys base64 base64ct bcrypt bitflags blake2 block-buffer blowfish byteorder cfg-if chrono cipher cmov cpufeatures crypto-common ctutils
    digest futures-channel futures-core futures-task futures-util
    hybrid-array inout itoa
    leasehold-core libc lock_api memchr num-traits once_cell parking_lot parking_lot_core
    pin-project-lite proc-macro2 quote region scopeguard serde serde_core serde_derive serde_json slab smallvec
    subtle syn thiserror thiserror-impl tracing tracing-core typenum unicode-ident uuid zeroize zeroize_derive
    zmij
";

/// What is never built, whoever asks for it: a second cryptographic library is a second list of
/// advisories to watch. `deny.toml` says the same to `cargo deny`.
const NEVER_BUILT: [&str; 5] = ["native-tls", "openssl", "openssl-sys", "ring", "rsa"];

/// Where secrets are shown to whoever must see them: callers, targets, ciphers. Each is a place to look
/// at twice.
const MAY_REVEAL: &[&str] = &[
    // Shows the root token that holders of shares made.
    "cli/src/commands/operator/generate_root.rs",
    // Shows the first token of a copy.
    "cli/src/commands/operator/restore.rs",
    // Hides a password that is drawn to try a policy.
    "core/src/broker/password_policy.rs",
    // Derives a key from the text of a token.
    "core/src/access/cubbyhole.rs",
    // Checks a candidate against its own rules.
    "core/src/access/password.rs",
    // Hashes a password, and checks one by its hash.
    "core/src/access/password_hash.rs",
    "core/src/access/password_hash/elsewhere.rs",
    // Hashes the text of a token.
    "core/src/access/token.rs",
    // Opens a batch token, all of which is in its text.
    "core/src/access/token/sealed.rs",
    // Hides secrets for the audit.
    "core/src/audit/entry.rs",
    // Encodes the root token that holders of shares make.
    "core/src/broker/generate_root.rs",
    // Hides a secret id for the audit.
    "core/src/broker/approle/secret_id.rs",
    // Logs in as the holder of a credential would.
    "core/src/broker/rehearse.rs",
    "core/src/broker/token.rs",
    // Measures the text of a batch token.
    "core/src/broker/token/sealed.rs",
    "core/src/broker/wrapping.rs",
    // Keeps the secret of an account that is told again, sealed.
    "core/src/engine/rotation.rs",
    "core/src/secret.rs",
    // Hashes a secret id.
    "core/src/store/secret_ids.rs",
    // Hands the administrator's key to AWS's own client.
    "engines/src/aws/config.rs",
    "engines/src/aws/rotate.rs",
    // The code of a device goes to AWS.
    "engines/src/aws/session.rs",
    // Keeps what an administrator logs in with, and hands it to the address.
    "engines/src/hidden.rs",
    // Puts a hash, or a password, into the statement that creates or alters a user, or logs in with it.
    "engines/src/mysql.rs",
    "engines/src/mysql/config.rs",
    "engines/src/mysql/issue.rs",
    "engines/src/mysql/rotate.rs",
    // Puts a verifier, or a password, into the statement that creates a role.
    "engines/src/postgres/arm.rs",
    "engines/src/postgres/config.rs",
    "engines/src/postgres/issue.rs",
    // Sets the password of an account, and logs in with it.
    "engines/src/postgres/rotate.rs",
    "engines/src/postgres/scram.rs",
    "engines/src/redis.rs",
    "engines/src/redis/config.rs",
    "engines/src/redis/issue.rs",
    "engines/src/redis/rotate.rs",
    // Answers the caller.
    "server/src/api/approle/secret_ids.rs",
    "server/src/api/database/creds.rs",
    "server/src/api/database/static_creds.rs",
    "server/src/api/sys/generate_root.rs",
    "server/src/api/sys/password_policies.rs",
    "server/src/api/token/shown.rs",
    // Shows the root token of a server to try things with.
    "server/src/dev.rs",
];

struct File {
    /// Relative to the project, with `/`.
    path: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn files(extension: &str) -> Vec<File> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.starts_with('.') || matches!(name, "target" | "node_modules" | "shared") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
                found.push(File { path, text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!found.is_empty(), "no file ends in .{extension}");
    found
}

fn complain(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Checks every line of code, without the comments behind it.
fn complain_about_lines(about: impl Fn(&str) -> Option<String>) {
    let mut complaints = Vec::new();
    for file in files("rs") {
        for (number, line) in (1..).zip(file.text.lines()) {
            if let Some(complaint) = about(line.split("//").next().unwrap_or_default()) {
                complaints.push(format!("{}:{number}: {complaint}", file.path));
            }
        }
    }
    complain(&complaints);
}

/// Returns the word after `keyword`, if the line declares something by it.
fn declared<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let (before, after) = line.split_once(&format!("{keyword} "))?;
    let modifiers = ["pub", "const", "async", "unsafe", "extern", "default"];
    let only_modifiers = before
        .split_whitespace()
        .all(|word| modifiers.contains(&word) || word.starts_with("pub(") || word == "\"C\"");
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
    (only_modifiers && end > 0).then(|| &after[..end])
}

/// Returns the names of our crates in the tables of a Cargo.toml whose names end in `dependencies`.
fn own_dependencies(manifest: &str) -> BTreeMap<String, usize> {
    let mut inside = false;
    let mut found = BTreeMap::new();
    for (number, line) in (1..).zip(manifest.lines()) {
        if line.starts_with('[') {
            inside = line.trim_end_matches(']').ends_with("dependencies");
        } else if inside && line.starts_with("leasehold") {
            let end = line.find([' ', '.', '=']).unwrap_or(line.len());
            found.insert(line[..end].to_owned(), number);
        }
    }
    found
}

/// Returns the names of the crates that are built, as cargo sees it.
fn built(of: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.args(["tree", "--offline", "--locked", "--prefix", "none", "--format", "{p}"]).args(of);
    let tree = tree.current_dir(root()).output().unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let lines = String::from_utf8(tree.stdout).unwrap();
    let names = lines.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[test]
fn the_crates_depend_on_each_other_in_one_direction() {
    let mut complaints = Vec::new();
    for (folder, allowed) in MAY_DEPEND_ON {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        for (name, line) in own_dependencies(&manifest) {
            if !allowed.contains(&name.as_str()) {
                complaints.push(format!(
                    "{folder}/Cargo.toml:{line}: `{folder}` must not depend on `{name}`: move what it \
                     needs down to `core`, or hand it in from `server/src/wiring.rs`"
                ));
            }
        }
    }
    complain(&complaints);
}

#[test]
fn every_crate_is_in_the_table_of_dependencies_and_takes_the_workspaces_lints() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.lines().find(|line| line.starts_with("members")).unwrap();
    for folder in members.split('"').skip(1).step_by(2) {
        assert!(
            MAY_DEPEND_ON.iter().any(|(known, _)| *known == folder),
            "Cargo.toml: say in MAY_DEPEND_ON of this test what `{folder}` may depend on"
        );
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{folder}/Cargo.toml:1: add `[lints]` with `workspace = true`"
        );
    }
}

#[test]
fn core_is_built_only_from_what_is_listed() {
    let built = built(&["--package", "leasehold-core", "--edges", "normal"]);
    let built: BTreeSet<_> = built.iter().map(String::as_str).collect();
    let listed: BTreeSet<_> = CORE_IS_BUILT_FROM.split_whitespace().collect();
    let unlisted: Vec<_> = built.difference(&listed).collect();
    assert!(
        unlisted.is_empty(),
        "core/Cargo.toml:1: `core` is now built from {unlisted:?} as well: if that can reach the outside \
         world, put it behind a port; if not, add it to CORE_IS_BUILT_FROM of this test"
    );
}

#[test]
fn there_is_one_cryptographic_library() {
    let built = built(&["--workspace", "--edges", "normal,build"]);
    let second: Vec<_> = NEVER_BUILT.iter().filter(|name| built.contains(**name)).collect();
    assert!(
        second.is_empty(),
        "Cargo.toml:1: {second:?} is built now; `cargo tree --invert NAME --edges normal,features` says who \
         asks for it: switch that feature off"
    );
}

#[test]
fn cores_clippy_list_contains_all_of_the_root_list() {
    let core = fs::read_to_string(root().join("core/clippy.toml")).unwrap();
    let core: BTreeSet<_> = core.lines().map(str::trim).collect();
    let root_list = fs::read_to_string(root().join("clippy.toml")).unwrap();
    for line in root_list.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        assert!(
            core.contains(line),
            "core/clippy.toml:1: add `{line}`: clippy reads only the nearest list, so this one must \
             repeat the root's"
        );
    }
}

#[test]
fn modules_say_in_their_names_what_is_in_them() {
    let mut complaints = Vec::new();
    for file in files("rs") {
        for part in file.path.trim_end_matches(".rs").split('/') {
            if part == "mod" {
                complaints.push(format!("{}:1: rename it to its folder's name + `.rs`", file.path));
            }
            if matches!(part, "util" | "utils" | "common" | "helper" | "helpers" | "types" | "misc")
            {
                complaints.push(format!("{}:1: name it after what is in it", file.path));
            }
        }
    }
    complain(&complaints);
}

#[test]
fn every_file_says_in_its_first_line_what_it_is_for() {
    // `tests.rs` beside a module says it by its name.
    let explained = |file: &File| file.text.starts_with("//! ") || file.path.ends_with("/tests.rs");
    let unexplained = files("rs").into_iter().filter(|file| !explained(file));
    let complain_of = |file: File| format!("{}:1: begin with `//! ` and one sentence", file.path);
    complain(&unexplained.map(complain_of).collect::<Vec<_>>());
}

#[test]
fn types_and_functions_have_names_that_say_something() {
    complain_about_lines(|line| {
        for keyword in ["struct", "enum", "trait", "type", "union"] {
            let Some(name) = declared(line, keyword) else { continue };
            for empty in ["Manager", "Handler", "Helper", "Util", "Utils", "Data", "Info"] {
                if name.ends_with(empty) {
                    return Some(format!(
                        "`{name}`: `{empty}` says nothing; say what it does or holds"
                    ));
                }
            }
        }
        let name = declared(line, "fn").filter(|name| name.starts_with("get_"))?;
        Some(format!("`{name}`: leave out `get_`"))
    });
}

#[test]
fn nothing_is_left_for_later_and_no_test_is_switched_off() {
    let mut complaints = Vec::new();
    for file in files("rs") {
        for (number, line) in (1..).zip(file.text.lines()) {
            for banned in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")] {
                if line.contains(banned) {
                    let path = &file.path;
                    complaints.push(format!("{path}:{number}: do it now, or leave the word out"));
                }
            }
            if line.trim_start().starts_with(concat!("#[ign", "ore")) {
                complaints.push(format!("{}:{number}: mend the test, or remove it", file.path));
            }
        }
    }
    complain(&complaints);
}

#[test]
fn every_function_fits_on_a_page() {
    let mut complaints = Vec::new();
    for file in files("rs") {
        let lines: Vec<_> = file.text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let Some(name) = declared(line, "fn") else { continue };
            let indent = line.len() - line.trim_start().len();
            let ends = |line: &&str| {
                line.len() - line.trim_start().len() == indent
                    && (line.trim_start().starts_with('}') || line.ends_with(';'))
            };
            let on_one_line = line.ends_with([';', '}']);
            let more = if on_one_line {
                0
            } else {
                lines[start + 1..].iter().position(ends).unwrap_or(0) + 1
            };
            if more + 1 > FUNCTION_LINES_MAX {
                complaints.push(format!(
                    "{}:{}: `{name}` has {} lines; split it where it changes the subject, so that none \
                     has more than {FUNCTION_LINES_MAX}",
                    file.path,
                    start + 1,
                    more + 1
                ));
            }
        }
    }
    complain(&complaints);
}

#[test]
fn every_file_can_be_read_in_one_go() {
    let long = files("rs").into_iter().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > FILE_LINES_MAX).then(|| {
            format!(
                "{}:{FILE_LINES_MAX}: the file has {lines} lines; split it so that none has more than \
                 {FILE_LINES_MAX}",
                file.path
            )
        })
    });
    complain(&long.collect::<Vec<_>>());
}

#[test]
fn secrets_are_revealed_only_in_files_on_the_list() {
    let mut complaints = Vec::new();
    let mut revealing = BTreeSet::new();
    let tests = |file: &File| {
        file.path.starts_with("integration-tests/") || file.path.ends_with("/tests.rs")
    };
    for file in files("rs").into_iter().filter(|file| !tests(file)) {
        let production = file.text.lines().take_while(|line| *line != "#[cfg(test)]");
        for (number, line) in (1..).zip(production) {
            let code = line.split("//").next().unwrap_or_default();
            if !code.contains("reveal(") {
                continue;
            }
            revealing.insert(file.path.clone());
            if !MAY_REVEAL.contains(&file.path.as_str()) {
                complaints.push(format!(
                    "{}:{number}: hand the secret on as it is, or add the file to MAY_REVEAL of this test \
                     and say in the change why it must see secrets",
                    file.path
                ));
            }
        }
    }
    for listed in MAY_REVEAL.iter().filter(|listed| !revealing.contains(**listed)) {
        complaints
            .push(format!("{listed}:1: reveals nothing; take it off MAY_REVEAL of this test"));
    }
    complain(&complaints);
}

/// Tells whether a text in backticks is meant as a path of this project.
fn is_path(text: &str, top: &BTreeSet<String>) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if text.is_empty() || !text.chars().all(plain) {
        return false;
    }
    let (first, rest) = text.split_once('/').unwrap_or((text, ""));
    let extension = text.rsplit_once('.').map_or("", |(_, extension)| extension);
    let is_file = ["md", "toml", "rs", "lock"].contains(&extension);
    let is_in_the_project = top.contains(first) && !rest.is_empty();
    // A module that is named by its file alone is beside what the sentence is about.
    is_in_the_project || is_file && (text.contains('/') || extension != "rs")
}

#[test]
fn paths_named_in_the_documents_exist() {
    let root = root();
    let top: BTreeSet<String> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir() && entry.file_name() != "target")
        .map(|entry| entry.file_name().to_str().unwrap().to_owned())
        .collect();
    let mut complaints = Vec::new();
    for file in files("md") {
        let folder = root.join(&file.path).parent().unwrap().to_owned();
        for (number, line) in (1..).zip(file.text.lines()) {
            let in_backticks = line.split('`').skip(1).step_by(2);
            for path in in_backticks.filter(|text| is_path(text, &top)) {
                if !root.join(path).exists() && !folder.join(path).exists() {
                    complaints.push(format!("{}:{number}: there is no `{path}`", file.path));
                }
            }
            for link in line.split("](").skip(1).filter_map(|after| after.split([')', '#']).next())
            {
                let elsewhere =
                    link.is_empty() || link.contains("://") || link.starts_with("mailto:");
                if !elsewhere && !folder.join(link).exists() {
                    complaints.push(format!("{}:{number}: the link `{link}` is dead", file.path));
                }
            }
        }
    }
    complain(&complaints);
}

#[test]
fn these_checks_see_what_they_are_to_see() {
    assert_eq!(declared("    pub(crate) async fn get_it(self) {", "fn"), Some("get_it"));
    assert_eq!(declared("pub struct RoleData<'a> {", "struct"), Some("RoleData"));
    assert_eq!(declared("let the fn of", "fn"), None);
    let manifest = "[package]\nname = \"a\"\n[dev-dependencies]\nleasehold-core.workspace = true\n";
    assert_eq!(own_dependencies(manifest), BTreeMap::from([("leasehold-core".to_owned(), 4)]));
    let top = BTreeSet::from(["core".to_owned()]);
    for (text, path) in [
        ("core/src/lib.rs", true),
        ("core/src/", true),
        ("docs/NONE.md", true),
        ("README.md", true),
        ("lease.rs", false),
        ("core", false),
        ("database/creds/app", false),
        ("cargo xtask demo", false),
    ] {
        assert_eq!(is_path(text, &top), path, "{text}");
    }
}
