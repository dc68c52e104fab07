//! Where a partition stands: its clock, its position, and what must be read
//! again.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Where a partition stands; to be committed with its memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The partition's clock.
    pub clock_ms: i64,
    /// The first offset that was not applied.
    pub next_offset: i64,
    /// Earlier offsets whose events are held, in order, each as its distance
    /// from the one before, the last one's from `next_offset`. They must be
    /// read again.
    held_gaps: Vec<u64>,
}

impl Place {
    /// A place where nothing is held: the beginning of a log.
    #[must_use]
    pub fn at(next_offset: i64) -> Self {
        Self { next_offset, ..Self::default() }
    }

    pub(super) fn new(clock_ms: i64, next_offset: i64, mut held: Vec<i64>) -> Self {
        held.sort_unstable();
        let after = held.iter().skip(1).chain([&next_offset]);
        let held_gaps = held.iter().zip(after).map(|(offset, after)| after.abs_diff(*offset)).collect();
        Self { clock_ms, next_offset, held_gaps }
    }

    pub(super) fn held(&self) -> VecDeque<i64> {
        let mut offsets = VecDeque::with_capacity(self.held_gaps.len());
        let mut offset = self.next_offset;
        for gap in self.held_gaps.iter().rev() {
            offset = offset.saturating_sub_unsigned(*gap);
            offsets.push_front(offset);
        }
        offsets
    }

    /// Where to go on reading.
    #[must_use]
    pub fn resume_offset(&self) -> i64 {
        self.held_gaps.iter().fold(self.next_offset, |offset, gap| offset.saturating_sub_unsigned(*gap))
    }
}
