//! What a checkpoint holds, and its file format (`OTCK`, version 1).
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::contract::{CheckpointId, Timestamp};
use crate::error::{Error, Result};
use crate::state_bytes::{StateReader, put_str};

const MAGIC: &[u8; 4] = b"OTCK";
const VERSION: u16 = 1;

/// Whose state a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SectionKind {
    /// The enumerator's.
    Enumerator,
    /// One split of a reader.
    Split,
    /// The function of a subtask.
    Function,
    /// The writer of a subtask.
    Writer,
    /// A prepared transaction of a subtask that is not known finished.
    Committable,
}

impl SectionKind {
    fn code(self) -> u8 {
        match self {
            Self::Enumerator => 1,
            Self::Split => 2,
            Self::Function => 3,
            Self::Writer => 4,
            Self::Committable => 5,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Enumerator, Self::Split, Self::Function, Self::Writer, Self::Committable]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// One piece of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Whose.
    pub kind: SectionKind,
    /// Of which subtask; 0 for the enumerator.
    pub subtask: u32,
    /// The version of its format.
    pub version: u16,
    /// The state.
    pub bytes: Bytes,
}

/// A checkpoint of a whole job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its number.
    pub id: CheckpointId,
    /// When it was taken.
    pub created: Timestamp,
    /// Whose it is.
    pub job: String,
    /// How many subtasks the job had.
    pub parallelism: u32,
    /// The state.
    pub sections: Vec<Section>,
}

impl Checkpoint {
    /// The sections of one kind.
    pub fn of(&self, kind: SectionKind) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(move |section| section.kind == kind)
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let size = self.sections.iter().map(|s| s.bytes.len() + 11).sum::<usize>() + self.job.len() + 64;
        let mut out = BytesMut::with_capacity(size);
        out.put_slice(MAGIC);
        out.put_u16(VERSION);
        out.put_u64(self.id.0);
        out.put_i64(self.created);
        put_str(&mut out, &self.job);
        out.put_u32(self.parallelism);
        out.put_u32(u32::try_from(self.sections.len()).unwrap_or(u32::MAX));
        for section in &self.sections {
            out.put_u8(section.kind.code());
            out.put_u32(section.subtask);
            out.put_u16(section.version);
            out.put_u32(u32::try_from(section.bytes.len()).unwrap_or(u32::MAX));
            out.put_slice(&section.bytes);
        }
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        out.freeze()
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// The reason why they are not a checkpoint.
    pub fn decode(bytes: Bytes) -> Result<Self> {
        let body = checked("a checkpoint", MAGIC, bytes)?;
        let mut from = StateReader::new("a checkpoint", VERSION, VERSION, body)?;
        let found = from.u16("the version")?;
        if found != VERSION {
            return Err(Error::StateVersion { what: "a checkpoint", found, supported: VERSION });
        }
        let id = CheckpointId(from.u64("the id")?);
        let created = from.i64("the time")?;
        let job = from.str("the job")?;
        let parallelism = from.u32("the parallelism")?;
        let count = from.u32("the number of sections")? as usize;
        // Each section has at least its head.
        if count > from.remaining() / 11 {
            return Err(from.error(format!("it names {count} sections and has {} bytes left", from.remaining())));
        }
        let mut sections = Vec::with_capacity(count);
        for _ in 0..count {
            let kind = from.u8("a section's kind")?;
            let kind = SectionKind::from_code(kind).ok_or_else(|| from.error(format!("a section has kind {kind}")))?;
            let subtask = from.u32("a section's subtask")?;
            let version = from.u16("a section's version")?;
            let length = from.u32("a section's length")? as usize;
            sections.push(Section { kind, subtask, version, bytes: from.take(length, "a section")? });
        }
        from.end()?;
        Ok(Self { id, created, job, parallelism, sections })
    }
}

/// What a job ever used: `job.meta` (`OTJM`, version 1). It is written before the first transaction begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobMeta {
    /// Whose it is.
    pub job: String,
    /// The largest number of subtasks.
    pub largest_parallelism: u32,
    /// Transactional id prefixes and the sizes of their pools.
    pub prefixes: Vec<(String, u16)>,
}

const META_MAGIC: &[u8; 4] = b"OTJM";

impl JobMeta {
    /// Notes what an attempt uses. Nothing is ever forgotten.
    pub fn note(&mut self, parallelism: u32, ids: Option<(String, u16)>) {
        self.largest_parallelism = self.largest_parallelism.max(parallelism);
        let Some((prefix, size)) = ids else { return };
        match self.prefixes.iter_mut().find(|(known, _)| *known == prefix) {
            Some((_, known)) => *known = (*known).max(size),
            None => self.prefixes.push((prefix, size)),
        }
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(META_MAGIC);
        out.put_u16(VERSION);
        put_str(&mut out, &self.job);
        out.put_u32(self.largest_parallelism);
        out.put_u16(u16::try_from(self.prefixes.len()).unwrap_or(u16::MAX));
        for (prefix, size) in &self.prefixes {
            put_str(&mut out, prefix);
            out.put_u16(*size);
        }
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        out.freeze()
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// The reason why they are not a job's.
    pub fn decode(bytes: Bytes) -> Result<Self> {
        let body = checked("job.meta", META_MAGIC, bytes)?;
        let mut from = StateReader::new("job.meta", VERSION, VERSION, body)?;
        let found = from.u16("the version")?;
        if found != VERSION {
            return Err(Error::StateVersion { what: "job.meta", found, supported: VERSION });
        }
        let job = from.str("the job")?;
        let largest_parallelism = from.u32("the parallelism")?;
        let count = from.u16("the number of prefixes")?;
        let mut prefixes = Vec::new();
        for _ in 0..count {
            prefixes.push((from.str("a prefix")?, from.u16("a pool size")?));
        }
        from.end()?;
        Ok(Self { job, largest_parallelism, prefixes })
    }
}

/// What is between magic and checksum, when both are right.
fn checked(what: &'static str, magic: &[u8; 4], bytes: Bytes) -> Result<Bytes> {
    let error = |reason: String| Error::State { what, reason };
    if !bytes.starts_with(magic) {
        return Err(error("it does not begin as one: another file has its name".to_owned()));
    }
    let Some(at) = bytes.len().checked_sub(4).filter(|at| *at >= magic.len()) else {
        return Err(error(format!("it has only {} bytes", bytes.len())));
    };
    let stored = bytes.slice(at..).get_u32();
    let computed = crc32c::crc32c(&bytes[..at]);
    if stored != computed {
        return Err(error(format!("its checksum is {stored:08x} and should be {computed:08x}: it is damaged or cut")));
    }
    Ok(bytes.slice(magic.len()..at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let section = |kind, subtask, bytes: &'static [u8]| Section { kind, subtask, version: 1, bytes: bytes.into() };
        Checkpoint {
            id: CheckpointId(7),
            created: 1_700_000_000_000,
            job: "größe".into(),
            parallelism: 3,
            sections: vec![
                section(SectionKind::Enumerator, 0, b"e"),
                section(SectionKind::Split, 1, b"split"),
                section(SectionKind::Function, 2, b""),
                section(SectionKind::Writer, 0, b"w"),
                section(SectionKind::Committable, 2, b"c"),
            ],
        }
    }

    #[test]
    fn n18_a_checkpoint_survives_and_damage_does_not() {
        let bytes = checkpoint().encode();
        assert_eq!(Checkpoint::decode(bytes.clone()).unwrap(), checkpoint());
        for cut in 0..bytes.len() {
            assert!(Checkpoint::decode(bytes.slice(..cut)).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Checkpoint::decode(flipped.into()).is_err(), "bit {bit}");
        }
        assert!(Checkpoint::decode([&bytes[..], b"x"].concat().into()).is_err());
    }

    fn resealed(mut body: Vec<u8>) -> Bytes {
        body.truncate(body.len() - 4);
        let crc = crc32c::crc32c(&body);
        body.extend_from_slice(&crc.to_be_bytes());
        body.into()
    }

    #[test]
    fn n18_a_newer_version_is_named_and_huge_counts_take_no_memory() {
        let mut newer = checkpoint().encode().to_vec();
        newer[5] = 2;
        let error = Checkpoint::decode(resealed(newer)).unwrap_err().to_string();
        assert!(error.contains("version 2") && error.contains("up to 1"), "{error}");
        let mut huge = checkpoint().encode().to_vec();
        let count_at = 4 + 2 + 8 + 8 + 2 + "größe".len() + 4;
        huge[count_at..count_at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(Checkpoint::decode(resealed(huge)).is_err());
    }

    #[test]
    fn job_meta_only_grows() {
        let mut meta = JobMeta { job: "j".into(), ..JobMeta::default() };
        meta.note(10, Some(("a".into(), 5)));
        meta.note(2, Some(("a".into(), 3)));
        meta.note(4, Some(("b".into(), 2)));
        let expected =
            JobMeta { job: "j".into(), largest_parallelism: 10, prefixes: vec![("a".into(), 5), ("b".into(), 2)] };
        assert_eq!(JobMeta::decode(meta.encode()).unwrap(), expected);
    }
}
