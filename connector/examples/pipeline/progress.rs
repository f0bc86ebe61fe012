//! The progress of the job: one live line on a terminal, plain lines elsewhere.
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use ottla_connector::{PipelineHandle, PipelineStatus};

/// Where progress goes.
#[derive(Debug)]
pub(crate) struct Progress {
    live: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { live: std::io::stderr().is_terminal() }
    }

    /// How often to report: often enough to look alive, or seldom enough to read as a log.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_millis(if self.live { 200 } else { 2000 })
    }

    pub(crate) fn report(&self, line: &str) {
        let mut out = std::io::stderr().lock();
        // A closed terminal is no reason to end a job.
        let _ = if self.live { write!(out, "\r\x1b[2K{line}") } else { writeln!(out, "{line}") };
        let _ = out.flush();
    }

    /// Ends the live line, so that what is printed next starts on a line of its own.
    pub(crate) fn finish(&self) {
        if self.live {
            let _ = writeln!(std::io::stderr());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Reports until it is dropped.
pub(crate) async fn show(progress: Progress, handle: PipelineHandle) {
    let mut every = tokio::time::interval(progress.interval());
    every.tick().await;
    let (mut before, mut at) = (handle.status(), Instant::now());
    loop {
        every.tick().await;
        let (status, now) = (handle.status(), Instant::now());
        progress.report(&line(&status, &before, now - at));
        (before, at) = (status, now);
    }
}

fn line(status: &PipelineStatus, before: &PipelineStatus, passed: Duration) -> String {
    let rate = (status.records_in.saturating_sub(before.records_in)) as f64 / passed.as_secs_f64().max(1e-9);
    let number = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let watermark = match status.watermark {
        Some(i64::MAX) => "end".to_owned(),
        Some(time) => time.to_string(),
        None => "none yet".to_owned(),
    };
    let checkpoint = match (status.last_checkpoint, status.last_checkpoint_duration) {
        (Some(id), Some(took)) => format!("{id} ({} ms)", took.as_millis()),
        _ => "none yet".to_owned(),
    };
    format!(
        "{} read ({rate:.0}/s), {} written, lag {}, watermark {watermark}, last checkpoint {checkpoint}",
        status.records_in,
        status.records_out,
        number(status.pending_records)
    )
}
