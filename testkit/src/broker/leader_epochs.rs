//! Which leader epoch wrote which offsets (KIP-101, KIP-320).

/// Leader epochs of one log with the offset at which each began.
#[derive(Debug, Default)]
pub(crate) struct LeaderEpochs {
    entries: Vec<(i32, i64)>,
}

impl LeaderEpochs {
    /// Notes that `epoch` begins at `offset` unless it, or a newer one, is known.
    pub(crate) fn assign(&mut self, epoch: i32, offset: i64) {
        if self.entries.last().is_none_or(|&(last, _)| last < epoch) {
            self.entries.push((epoch, offset));
        }
    }

    pub(crate) fn latest(&self) -> Option<i32> {
        self.entries.last().map(|&(epoch, _)| epoch)
    }

    /// The largest epoch not above `epoch` and the offset where it ended (`LeaderEpochFileCache.endOffsetFor`);
    /// `None` if nothing is known of an epoch that new.
    pub(crate) fn end_offset_for(&self, epoch: i32, log_end: i64) -> Option<(i32, i64)> {
        if epoch < 0 {
            return None;
        }
        if self.latest() == Some(epoch) {
            return Some((epoch, log_end));
        }
        let higher = self.entries.partition_point(|&(known, _)| known <= epoch);
        let &(_, end) = self.entries.get(higher)?;
        let floor = higher.checked_sub(1).and_then(|index| self.entries.get(index));
        Some((floor.map_or(epoch, |&(known, _)| known), end))
    }

    /// The epoch under which `offset` was written.
    pub(crate) fn epoch_of(&self, offset: i64) -> Option<i32> {
        let after = self.entries.partition_point(|&(_, start)| start <= offset);
        after.checked_sub(1).and_then(|index| self.entries.get(index)).map(|&(epoch, _)| epoch)
    }

    pub(crate) fn delete_before(&mut self, offset: i64) {
        let covering = self.entries.partition_point(|&(_, start)| start <= offset);
        if covering > 1 {
            self.entries.drain(..covering - 1);
        }
        if let Some(first) = self.entries.first_mut() {
            first.1 = first.1.max(offset);
        }
    }

    pub(crate) fn truncate(&mut self, end: i64) {
        self.entries.retain(|&(_, start)| start < end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs() -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        for (epoch, offset) in [(2, 0), (4, 10), (7, 25)] {
            epochs.assign(epoch, offset);
        }
        epochs
    }

    #[test]
    fn latest_epoch_ends_at_the_log_end() {
        assert_eq!(epochs().end_offset_for(7, 40), Some((7, 40)));
    }

    #[test]
    fn older_epoch_ends_where_the_next_begins() {
        assert_eq!(epochs().end_offset_for(4, 40), Some((4, 25)));
        assert_eq!(epochs().end_offset_for(5, 40), Some((4, 25)));
        assert_eq!(epochs().end_offset_for(1, 40), Some((1, 0)));
    }

    #[test]
    fn unknown_newer_epoch_has_no_end() {
        assert_eq!(epochs().end_offset_for(8, 40), None);
        assert_eq!(epochs().end_offset_for(-1, 40), None);
    }

    #[test]
    fn epoch_of_an_offset() {
        assert_eq!(epochs().epoch_of(9), Some(2));
        assert_eq!(epochs().epoch_of(10), Some(4));
        assert_eq!(LeaderEpochs::default().epoch_of(0), None);
    }
}
