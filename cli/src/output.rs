//! Where a command writes: results to standard output, everything about them to standard error.

use crate::arguments::with_single_dashes;
use crate::failure::Exit;
use crate::yaml;
use clap::builder::StyledStr;
use serde::Serialize;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};

/// What stands between the columns of a table, as in Vault's tables.
const GAP: usize = 4;

/// The two streams of a command.
pub(crate) struct Output {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    out_is_terminal: bool,
    out_is_colored: bool,
    err_is_colored: bool,
    lost: Option<io::Error>,
}

impl Output {
    /// The streams of this process.
    pub(crate) fn of_process() -> Self {
        // Not locked: a server that runs in this process writes its log to the same streams.
        let (out, err) = (io::stdout(), io::stderr());
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            out_is_terminal: out.is_terminal(),
            out_is_colored: out.is_terminal() && !plain,
            err_is_colored: err.is_terminal() && !plain,
            out: Box::new(BufWriter::new(out)),
            err: Box::new(err),
            lost: None,
        }
    }

    /// Writes a line of the result.
    pub(crate) fn line(&mut self, text: &str) {
        self.write(&visible(text), true);
    }

    /// Writes one bare value: with a newline for people, without one for `$(…)` and pipes.
    pub(crate) fn value(&mut self, text: &str) {
        self.write(text, self.out_is_terminal);
    }

    /// Writes a line that is not the result: a warning, an error.
    pub(crate) fn remark(&mut self, text: &str) {
        // Where even standard error is gone there is nobody left to tell.
        let _ = writeln!(self.err, "{}", visible(text));
    }

    /// Writes to a terminal how far something has come, over what was written so before.
    pub(crate) fn progress(&mut self, text: &str) {
        let _ = write!(self.err, "\r\u{1b}[K{}", visible(text));
        let _ = self.err.flush();
    }

    /// Writes a help text, or what is wrong with the arguments, in color where that can be seen.
    pub(crate) fn help(&mut self, text: &StyledStr, is_result: bool) {
        let colored = if is_result { self.out_is_colored } else { self.err_is_colored };
        let text = if colored { text.ansi().to_string() } else { text.to_string() };
        let text = with_single_dashes(text.trim_end());
        if is_result {
            self.write(&text, true);
        } else {
            let _ = writeln!(self.err, "{text}");
        }
    }

    /// Writes JSON as Vault does: indented by two blanks.
    pub(crate) fn json(&mut self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.write(&text, true),
            Err(error) => self.lost = Some(error.into()),
        }
    }

    /// Writes YAML as Vault does: keys in order.
    pub(crate) fn yaml(&mut self, value: &impl Serialize) {
        match serde_json::to_value(value) {
            Ok(value) => self.write(&yaml::written(&value), false),
            Err(error) => self.lost = Some(error.into()),
        }
    }

    /// Writes a text as it is, which ends its last line itself.
    pub(crate) fn text(&mut self, text: &str) {
        self.write(text, false);
    }

    /// Writes rows under a heading, each column as wide as its widest cell.
    pub(crate) fn table(&mut self, heading: &[&str], rows: &[Vec<String>]) {
        for line in aligned(heading, rows) {
            self.write(&line, true);
        }
    }

    fn write(&mut self, text: &str, newline: bool) {
        if self.lost.is_none() {
            let end = if newline { "\n" } else { "" };
            self.lost = write!(self.out, "{text}{end}").err();
        }
    }

    /// Writes what is still buffered and returns the exit code.
    ///
    /// A reader that has seen enough (`| head`) is no failure. A full disk is one: the result,
    /// which may be a secret shown once, did not arrive.
    pub(crate) fn finish(mut self, exit: Exit) -> u8 {
        let lost = self.lost.take().or_else(|| self.out.flush().err());
        match lost {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                self.remark(&format!("error: the result could not be written: {error}"));
                exit.max(Exit::Local).code()
            }
            Some(_) | None => exit.code(),
        }
    }
}

/// Lays out rows under a heading and its dashes, the last column unpadded.
fn aligned(heading: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let mut all: Vec<Vec<String>> = vec![
        heading.iter().map(ToString::to_string).collect(),
        heading.iter().map(|name| "-".repeat(name.chars().count())).collect(),
    ];
    all.extend(rows.iter().map(|row| row.iter().map(|cell| shown(cell)).collect()));
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| {
            let cells = all.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    all.iter().map(|row| aligned_row(row, &widths)).collect()
}

/// Writes a cell; an empty one looks as in Vault's tables, so that no column seems to be missing.
fn shown(cell: &str) -> String {
    if cell.is_empty() { "n/a".to_owned() } else { visible(cell) }
}

fn aligned_row(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    let mut before: usize = 0;
    for (cell, width) in row.iter().zip(widths) {
        // What has several lines, as a certificate does, stays in its column.
        line.push_str(&cell.trim_end().replace('\n', &format!("\n{}", " ".repeat(before))));
        before = before.saturating_add(*width).saturating_add(GAP);
        let padding = width.saturating_sub(cell.chars().count()).saturating_add(GAP);
        line.extend(std::iter::repeat_n(' ', padding));
    }
    line.truncate(line.trim_end().len());
    line
}

/// Makes control characters visible, so that what a server sends cannot steer the terminal.
fn visible(text: &str) -> String {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_four() {
        let rows =
            [vec!["a".to_owned(), "1".to_owned()], vec!["longest".to_owned(), String::new()]];
        assert_eq!(
            aligned(&["Key", "Value"], &rows),
            ["Key        Value", "---        -----", "a          1", "longest    n/a"]
        );
    }

    #[test]
    fn a_cell_of_several_lines_stays_in_its_column() {
        let rows = [vec!["cert".to_owned(), "one\ntwo\n".to_owned()]];
        let table = aligned(&["Key", "Value"], &rows);
        assert_eq!(table, ["Key     Value", "---     -----", "cert    one\n        two"]);
    }

    #[test]
    fn what_would_steer_a_terminal_is_shown_instead() {
        assert_eq!(visible("a\u{1b}[2Jb\nc\td\r"), "a\\u{1b}[2Jb\nc\td\\r");
    }
}
