//! The progress of the job: one live line on a terminal, plain lines elsewhere.
use std::io::{IsTerminal, Write};

/// Where progress goes.
#[derive(Debug)]
pub struct Progress {
    live: bool,
}

impl Progress {
    pub fn new() -> Self {
        Self { live: std::io::stderr().is_terminal() }
    }

    /// How often to report: often enough to look alive, or seldom enough to read as a log.
    pub fn interval(&self) -> std::time::Duration {
        std::time::Duration::from_millis(if self.live { 200 } else { 2000 })
    }

    pub fn report(&self, line: &str) {
        let mut out = std::io::stderr().lock();
        // A closed terminal is no reason to end a job.
        let _ = if self.live { write!(out, "\r\x1b[2K{line}") } else { writeln!(out, "{line}") };
        let _ = out.flush();
    }

    /// Ends the live line, so that what is printed next starts on a line of its own.
    pub fn finish(&self) {
        if self.live {
            let _ = writeln!(std::io::stderr());
        }
    }
}
