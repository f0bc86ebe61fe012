//! One parallel instance of a job: reader, function and writer in one task.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::checkpoint::{Section, SectionKind};
use super::commits::{self, Due};
use super::function::{Function, Output};
use super::messages::{Command, Report};
use super::restore;
use super::status::SubtaskStatus;
use crate::contract::{CheckpointId, Event, Job, Reader, RestoredSink, Sink, Source, Stamped, Writer};
use crate::error::{Error, Result};
use crate::ledger::{CommittableLedger, Ticket};

/// A subtask that is open.
pub(crate) struct Subtask<S: Source, F: Function, K: Sink> {
    job: Job,
    reader: S::Reader,
    function: F,
    out: Output<F::Out>,
    writer: K::Writer,
    ledger: CommittableLedger<K::Committable>,
    due: UnboundedSender<Due<K::Committable>>,
    finished_commits: UnboundedReceiver<Ticket>,
    commands: UnboundedReceiver<Command>,
    reports: UnboundedSender<Report>,
    status: Arc<SubtaskStatus>,
    is_reading: bool,
}

/// The ways in and out of a subtask.
pub(crate) struct Ports {
    pub(crate) commands: UnboundedReceiver<Command>,
    pub(crate) reports: UnboundedSender<Report>,
    pub(crate) status: Arc<SubtaskStatus>,
}

impl<S, F, K> Subtask<S, F, K>
where
    S: Source<Item = Stamped<F::In>>,
    F: Function,
    K: Sink<Item = Stamped<F::Out>>,
{
    /// Commits what the checkpoint left prepared, then opens everything (C7).
    pub(crate) async fn open(
        (source, sink): (&S, &K),
        job: Job,
        mut function: F,
        (restored, functions): (RestoredSink<K>, Option<Vec<bytes::Bytes>>),
        ports: Ports,
    ) -> Result<Self> {
        let mut committer = sink.committer(&job).await?;
        for committable in &restored.committables {
            let outcome = commits::commit(&mut committer, committable.clone()).await?;
            tracing::info!(subtask = job.subtask, ?outcome, ?committable, "a prepared transaction of the checkpoint");
        }
        let writer = sink.writer(&job, restored).await?;
        let reader = source.reader(&job).await?;
        if let Some(states) = functions {
            function.restore(states)?;
        }
        let (due, due_in) = unbounded_channel();
        let (finished_out, finished_commits) = unbounded_channel();
        tokio::spawn(commits::run(
            job.subtask,
            committer,
            writer.progress(),
            due_in,
            finished_out,
            ports.reports.clone(),
        ));
        Ok(Self {
            job,
            reader,
            function,
            out: Output::default(),
            writer,
            ledger: CommittableLedger::default(),
            due,
            finished_commits,
            commands: ports.commands,
            reports: ports.reports,
            status: ports.status,
            is_reading: true,
        })
    }

    /// Runs until it is told to close, or fails.
    pub(crate) async fn run(mut self) -> Result<()> {
        loop {
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    None | Some(Command::Close) => break,
                    Some(command) => self.obey(command).await?,
                },
                Some(ticket) = self.finished_commits.recv() => {
                    self.ledger.finished(ticket);
                }
                event = self.reader.next(), if self.is_reading => self.take(event?).await?,
            }
        }
        // Both are closed, whatever the other says.
        let (reader, writer) = (self.reader.close().await, self.writer.close().await);
        reader.and(writer)
    }

    async fn take(&mut self, event: Event<Stamped<F::In>>) -> Result<()> {
        match event {
            Event::Records(records) => {
                self.status.records_in.fetch_add(records.len() as u64, Ordering::Relaxed);
                for record in records {
                    self.function.process(record, &mut self.out)?;
                    if !self.out.is_empty() {
                        self.write_out().await?;
                    }
                }
                self.status.set_pending(self.reader.pending_records());
            }
            Event::Watermark(watermark) => {
                self.function.watermark(watermark, &mut self.out)?;
                self.write_out().await?;
                self.status.set_watermark(watermark);
            }
            Event::Idle => self.status.set_idle(true),
            Event::Active => self.status.set_idle(false),
            Event::Finished => {
                self.is_reading = false;
                self.report(Report::Finished { subtask: self.job.subtask });
            }
        }
        Ok(())
    }

    async fn write_out(&mut self) -> Result<()> {
        let mut written = 0;
        for item in self.out.drain() {
            self.writer.write(item).await?;
            written += 1;
        }
        self.status.records_out.fetch_add(written, Ordering::Relaxed);
        Ok(())
    }

    async fn obey(&mut self, command: Command) -> Result<()> {
        match command {
            Command::AddSplits(sections) => {
                let splits = sections.iter().map(restore::state).collect::<Result<_>>()?;
                self.reader.add_splits(splits);
            }
            Command::RemoveSplits(ids) => self.reader.remove_splits(&ids),
            Command::NoMoreSplits => self.reader.no_more_splits(),
            Command::Align(watermark) => self.reader.align(watermark),
            Command::Barrier(id) => self.barrier(id).await,
            Command::Complete(id) => {
                // The committer's task ends only after this one.
                let _ = self.due.send((id, self.ledger.complete(id)));
                self.reader.checkpoint_completed(id).await;
            }
            Command::Abort(id) => self.reader.checkpoint_aborted(id),
            Command::Stop => self.is_reading = false,
            Command::Close => {}
        }
        Ok(())
    }

    /// C3: positions, the function, the prepared transaction, the writer, in this order.
    async fn barrier(&mut self, id: CheckpointId) {
        // Records are not the only sign of life: what is known of a silent input changes too.
        self.status.set_pending(self.reader.pending_records());
        let subtask = self.job.subtask;
        match self.sections(id).await {
            Ok(sections) => self.report(Report::Acknowledged { subtask, id, sections }),
            Err(error) => self.report(Report::Declined { subtask, id, error }),
        }
    }

    async fn sections(&mut self, id: CheckpointId) -> Result<Vec<Section>, Error> {
        let subtask = self.job.subtask;
        let splits = self.reader.snapshot(id);
        let mut sections: Vec<_> =
            splits.iter().map(|split| restore::section(SectionKind::Split, subtask, split)).collect();
        let bytes = self.function.snapshot();
        sections.push(Section { kind: SectionKind::Function, subtask, version: 1, bytes });
        if let Some(committable) = self.writer.prepare(id).await? {
            self.ledger.add(id, committable);
        }
        sections.push(restore::section(SectionKind::Writer, subtask, &self.writer.snapshot()));
        let committables = self.ledger.snapshot(id);
        sections.extend(committables.map(|c| restore::section(SectionKind::Committable, subtask, c)));
        Ok(sections)
    }

    fn report(&self, report: Report) {
        // The runner is gone when the attempt is over: nobody has to know any more.
        let _ = self.reports.send(report);
    }
}
