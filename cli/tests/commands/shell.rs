//! `completions` and `man`, from the definitions of the commands.

use crate::support::Run;

#[test]
fn completions_know_every_command_and_flag() {
    for (shell, words) in [
        ("bash", &["_leasehold()", "complete -F _leasehold", "--increment"][..]),
        ("zsh", &["#compdef leasehold", "_leasehold", "--increment"]),
        ("fish", &["complete -c leasehold", "-l increment"]),
    ] {
        let outcome = Run::of(&["completions", shell]).run();
        assert_eq!(outcome.err, "", "{shell}");
        let script = outcome.ok();
        for word in words.iter().chain(&["token", "revoke", "secrets", "tune"]) {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let outcome = Run::of(&["completions", "tcsh"]).run();
    assert_eq!(outcome.exit, 1);
    assert!(outcome.err.contains("bash, zsh, fish"), "{outcome:?}");
}

#[test]
fn every_command_has_a_man_page_that_says_what_its_help_says() {
    let (outcome, home) = Run::of(&["man", "pages/man1"]).run_and_keep();
    let out = outcome.ok();
    let folder = home.path().join("pages/man1");
    let count = std::fs::read_dir(&folder).expect("the folder").count();
    assert_eq!(out, format!("Success! Wrote {count} man pages to: pages/man1\n"));
    assert!(count > 20, "{count}");
    let page = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a page");
    let renew = page("leasehold-lease-renew.1");
    for words in [
        ".TH leasehold-lease-renew 1",
        "leasehold\\-lease\\-renew \\- Renew a lease",
        "\\-increment\\fR",
        ".SH EXAMPLES\n.nf\n",
        "  leasehold lease renew \\-increment=2h database/creds/app/",
    ] {
        assert!(renew.contains(words), "{words}\n{renew}");
    }
    assert!(!renew.contains("\\-\\-increment"), "{renew}");
    assert!(page("leasehold.1").contains("leasehold\\-token(1)"));
    assert!(!folder.join("leasehold-help.1").exists());
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let outcome = Run::of(&["man", "/dev/null/man1"]).run();
    assert_eq!(outcome.exit, 1);
    assert!(outcome.err.contains("`/dev/null/man1` cannot be written to"), "{outcome:?}");
}

#[test]
fn help_has_no_colors_where_nobody_sees_them() {
    for plain in ["", "1"] {
        let out = Run::of(&["token", "-help"]).env("NO_COLOR", plain).run().ok();
        assert!(!out.contains('\u{1b}'), "{out}");
    }
}
