//! Asks at the terminal for what nobody should see there.

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};

/// Tells whether there is somebody to ask.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Shows `question` and reads one line, without showing what is typed.
pub(crate) fn hidden(question: &str) -> io::Result<String> {
    // The terminal itself is asked, because standard output may be a pipe to another command.
    let terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let echo = Quiet::begin(&terminal)?;
    (&terminal).write_all(question.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(&terminal).read_line(&mut answer)?;
    drop(echo);
    Ok(answer)
}

/// A terminal that does not show what is typed, until this is dropped.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        // The end of the line is shown, so that what comes next begins on a line of its own.
        quiet.local_flags.insert(LocalFlags::ECHONL);
        tcsetattr(terminal, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // If this fails the terminal is gone.
        let _ = tcsetattr(self.terminal, SetArg::TCSANOW, &self.before);
    }
}
