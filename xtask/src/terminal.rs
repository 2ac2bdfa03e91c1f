//! How things look at a terminal.

use std::io::IsTerminal;

/// Tells whether to write in color: at a terminal whose user did not say otherwise
/// (<https://no-color.org>).
fn colors() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

fn paint(code: &str, text: &str) -> String {
    if colors() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// What stands out.
pub(crate) fn bold(text: &str) -> String {
    paint("1", text)
}

/// What may be passed over.
pub(crate) fn dim(text: &str) -> String {
    paint("2", text)
}

/// What went well.
pub(crate) fn green(text: &str) -> String {
    paint("32", text)
}

/// What went wrong.
pub(crate) fn red(text: &str) -> String {
    paint("31", text)
}

/// Sets every line in by four columns.
pub(crate) fn indented(text: &str) -> String {
    let lines = text.trim_end().lines().map(|line| format!("    {line}").trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}
