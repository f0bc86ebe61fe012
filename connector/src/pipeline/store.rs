//! Keeping checkpoints in a directory.
#![allow(clippy::disallowed_methods, reason = "this file does I/O")]

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::checkpoint::{Checkpoint, JobMeta};
use crate::contract::CheckpointId;
use crate::error::{Error, Result};

/// Where checkpoints are kept. Its calls may block: the runner makes them on threads for that.
pub trait CheckpointStore: Send + Sync + 'static {
    /// Makes a checkpoint durable: when this returns it survives a crash of the machine.
    ///
    /// # Errors
    /// [`Error::CheckpointStore`]; the checkpoint counts as failed.
    fn write(&self, checkpoint: &Checkpoint) -> Result<()>;
    /// The ids of all checkpoints, oldest first.
    ///
    /// # Errors
    /// [`Error::CheckpointStore`].
    fn list(&self) -> Result<Vec<CheckpointId>>;
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`Error::CheckpointCorrupt`] when it is damaged or of another job; [`Error::CheckpointStore`].
    fn load(&self, id: CheckpointId) -> Result<Checkpoint>;
    /// Removes a checkpoint. One that is not there is no error.
    ///
    /// # Errors
    /// [`Error::CheckpointStore`].
    fn remove(&self, id: CheckpointId) -> Result<()>;
    /// What the job ever used; `None` before its first start.
    ///
    /// # Errors
    /// As `load`.
    fn load_meta(&self) -> Result<Option<JobMeta>>;
    /// Keeps what the job uses.
    ///
    /// # Errors
    /// As `write`.
    fn write_meta(&self, meta: &JobMeta) -> Result<()>;
}

const LOCK: &str = "LOCK";
const META: &str = "job.meta";

/// Checkpoints as files of a directory that one process owns while it runs.
#[derive(Debug)]
pub struct DirectoryStore {
    directory: PathBuf,
    job: String,
    /// Held until drop; the kernel releases it when the process dies.
    _lock: File,
}

impl DirectoryStore {
    /// Opens a directory, and creates it where it is missing. What an earlier process left half written is removed.
    ///
    /// # Errors
    /// [`Error::CheckpointStore`] when another process has it open, or it cannot be written.
    pub fn open(directory: impl Into<PathBuf>, job: &str) -> Result<Self> {
        let directory = directory.into();
        fs::create_dir_all(&directory).map_err(failed(&directory, "cannot create the directory"))?;
        let path = directory.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(failed(&path, "cannot open the lock file"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let reason = format!(
                    "another process runs a job on this directory (it holds {LOCK}): stop that process first, or give this \
                     job a directory of its own"
                );
                return Err(Error::CheckpointStore { path: directory.display().to_string(), reason });
            }
            Err(TryLockError::Error(error)) => return Err(failed(&path, "cannot lock the directory")(error)),
        }
        let store = Self { directory, job: job.to_owned(), _lock: lock };
        store.remove_leftovers()?;
        Ok(store)
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn file(&self, id: CheckpointId) -> PathBuf {
        self.directory.join(format!("chk-{:020}.ottla", id.0))
    }

    fn remove_leftovers(&self) -> Result<()> {
        let entries = fs::read_dir(&self.directory).map_err(failed(&self.directory, "cannot list the directory"))?;
        for entry in entries {
            let path = entry.map_err(failed(&self.directory, "cannot list the directory"))?.path();
            if path.extension().is_some_and(|e| e == "tmp") {
                fs::remove_file(&path).map_err(failed(&path, "cannot remove a half written file"))?;
            }
        }
        Ok(())
    }

    /// A file is there whole or not at all: written beside, synced, renamed, and the directory synced.
    fn write_file(&self, path: &Path, bytes: &Bytes) -> Result<()> {
        let temporary = path.with_extension("tmp");
        let write = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(failed(path, "cannot write the file: is the disk full, or the directory not writable?"))
    }
}

impl CheckpointStore for DirectoryStore {
    fn write(&self, checkpoint: &Checkpoint) -> Result<()> {
        self.write_file(&self.file(checkpoint.id), &checkpoint.encode())
    }

    fn list(&self) -> Result<Vec<CheckpointId>> {
        let entries = fs::read_dir(&self.directory).map_err(failed(&self.directory, "cannot list the directory"))?;
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed(&self.directory, "cannot list the directory"))?.file_name();
            let digits = name.to_str().and_then(|n| n.strip_prefix("chk-")?.strip_suffix(".ottla"));
            ids.extend(digits.and_then(|d| d.parse().ok()).map(CheckpointId));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    fn load(&self, id: CheckpointId) -> Result<Checkpoint> {
        let path = self.file(id);
        let corrupt = |reason: String| Error::CheckpointCorrupt { file: path.display().to_string(), reason };
        let bytes = fs::read(&path).map_err(failed(&path, "cannot read the checkpoint"))?;
        let checkpoint = Checkpoint::decode(bytes.into()).map_err(|e| corrupt(reason_of(e)))?;
        if checkpoint.job != self.job {
            return Err(corrupt(format!("it belongs to the job {:?}, and this is {:?}", checkpoint.job, self.job)));
        }
        if checkpoint.id != id {
            return Err(corrupt(format!("it holds checkpoint {}", checkpoint.id)));
        }
        Ok(checkpoint)
    }

    fn remove(&self, id: CheckpointId) -> Result<()> {
        let path = self.file(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed(&path, "cannot remove an old checkpoint")(error))
            }
            _ => Ok(()),
        }
    }

    fn load_meta(&self) -> Result<Option<JobMeta>> {
        let path = self.directory.join(META);
        let corrupt = |reason: String| Error::CheckpointCorrupt { file: path.display().to_string(), reason };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&path, "cannot read it")(error)),
        };
        let meta = JobMeta::decode(bytes.into()).map_err(|e| corrupt(reason_of(e)))?;
        if meta.job != self.job {
            return Err(corrupt(format!(
                "the directory belongs to the job {:?}, and this is {:?}",
                meta.job, self.job
            )));
        }
        Ok(Some(meta))
    }

    fn write_meta(&self, meta: &JobMeta) -> Result<()> {
        self.write_file(&self.directory.join(META), &meta.encode())
    }
}

fn reason_of(error: Error) -> String {
    match error {
        Error::State { reason, .. } => reason,
        other => other.to_string(),
    }
}

fn failed(path: &Path, what: &str) -> impl FnOnce(io::Error) -> Error + use<> {
    let (path, what) = (path.display().to_string(), what.to_owned());
    move |error| Error::CheckpointStore { path, reason: format!("{what}: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(id: u64, job: &str) -> Checkpoint {
        Checkpoint { id: CheckpointId(id), created: 0, job: job.into(), parallelism: 1, sections: Vec::new() }
    }

    #[test]
    fn j5_checkpoints_are_listed_loaded_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(directory.path().join("new"), "j").unwrap();
        for id in [2, 10, 1] {
            store.write(&checkpoint(id, "j")).unwrap();
        }
        assert_eq!(store.list().unwrap(), [1, 2, 10].map(CheckpointId));
        assert_eq!(store.load(CheckpointId(10)).unwrap(), checkpoint(10, "j"));
        store.remove(CheckpointId(2)).unwrap();
        store.remove(CheckpointId(2)).unwrap();
        assert_eq!(store.list().unwrap(), [1, 10].map(CheckpointId));
        assert!(store.directory().join("chk-00000000000000000010.ottla").exists());
    }

    #[test]
    fn n31_a_second_process_another_job_and_damage_are_errors_that_say_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(directory.path(), "j").unwrap();
        let error = DirectoryStore::open(directory.path(), "j").unwrap_err().to_string();
        assert!(error.contains("another process") && error.contains("stop that process"), "{error}");
        store.write(&checkpoint(1, "other")).unwrap();
        let error = store.load(CheckpointId(1)).unwrap_err().to_string();
        assert!(error.contains("\"other\"") && error.contains("\"j\""), "{error}");
        let file = store.file(CheckpointId(1));
        let mut bytes = fs::read(&file).unwrap();
        bytes[10] ^= 1;
        fs::write(&file, bytes).unwrap();
        let error = store.load(CheckpointId(1)).unwrap_err().to_string();
        assert!(error.contains("checksum") && error.contains("restore an earlier one"), "{error}");
    }

    #[test]
    fn half_written_files_are_removed_on_open_and_the_lock_ends_with_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        drop(DirectoryStore::open(directory.path(), "j").unwrap());
        let leftover = directory.path().join("chk-00000000000000000001.tmp");
        fs::write(&leftover, b"half").unwrap();
        let store = DirectoryStore::open(directory.path(), "j").unwrap();
        assert!(!leftover.exists());
        assert!(store.list().unwrap().is_empty());
    }

    #[test]
    fn j6_job_meta_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(directory.path(), "j").unwrap();
        assert_eq!(store.load_meta().unwrap(), None);
        let meta = JobMeta { job: "j".into(), largest_parallelism: 4, prefixes: vec![("j-sink".into(), 5)] };
        store.write_meta(&meta).unwrap();
        assert_eq!(store.load_meta().unwrap(), Some(meta));
    }
}
