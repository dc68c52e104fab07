//! Rows on their way into ClickHouse, and what their loader has to know of each.

use uuid::Uuid;

use crate::EventRow;
use crate::block::Block;
use crate::erasure::ERASE;
use store::rollups::{Hours, hour_of};

/// What the loader has to know of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fact {
    /// Its offset in Kafka.
    pub(crate) offset: i64,
    pub(crate) workspace_id: Uuid,
    /// When the collector took it.
    pub(crate) received_at_ms: i64,
    /// The hour whose figures it is in, if it is in any.
    hour_ms: Option<i64>,
    /// The visitor who asks by it to be forgotten.
    pub(crate) forgets: Option<[u8; 16]>,
}

/// Rows of one partition, by their offsets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rows {
    block: Block,
    facts: Vec<Fact>,
}

impl Rows {
    /// Adds the row of the event that stands at `offset`, after all that are there.
    pub(crate) fn push(&mut self, offset: i64, row: EventRow) {
        self.facts.push(Fact {
            offset,
            workspace_id: row.workspace_id,
            received_at_ms: row.received_at,
            hour_ms: row.is_counted().then(|| hour_of(row.at)),
            forgets: (row.kind == ERASE).then_some(row.visitor),
        });
        self.block.push(row);
    }

    /// Adds what comes after.
    pub(crate) fn append(&mut self, later: Self) {
        if self.facts.is_empty() {
            *self = later;
            return;
        }
        self.block.append(&later.block, 0..later.facts.len());
        self.facts.extend(later.facts);
    }

    /// Takes away what is up to an offset, included.
    pub(crate) fn take_up_to(&mut self, last_offset: i64) -> Self {
        let count = self.facts.partition_point(|fact| fact.offset <= last_offset);
        if count == self.facts.len() {
            return std::mem::take(self);
        }
        let later = self.facts.split_off(count);
        let left = Self { block: self.block.slice(count..count + later.len()), facts: later };
        let mut taken = std::mem::replace(self, left);
        taken.block = taken.block.slice(0..count);
        taken
    }

    /// What is known of each.
    pub(crate) fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// The rows themselves.
    pub(crate) fn block(&self) -> &Block {
        &self.block
    }

    /// The hours whose figures they change.
    pub(crate) fn hours(&self) -> Hours {
        self.facts.iter().filter_map(|fact| Some((fact.workspace_id, fact.hour_ms?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(offsets: &[i64]) -> Rows {
        let mut rows = Rows::default();
        for offset in offsets {
            let row =
                EventRow { offset: offset.unsigned_abs(), kind: "page".to_owned(), ..EventRow::default() };
            rows.push(*offset, row);
        }
        rows
    }

    #[test]
    fn rows_are_taken_by_their_offsets() {
        // Offsets may be missing: not every message is a row.
        for (last, taken, left) in [
            (0, &[][..], &[1, 2, 5, 6][..]),
            (2, &[1, 2], &[5, 6]),
            (4, &[1, 2], &[5, 6]),
            (6, &[1, 2, 5, 6], &[]),
            (9, &[1, 2, 5, 6], &[]),
        ] {
            let mut all = rows(&[1, 2]);
            all.append(rows(&[5, 6]));
            let first = all.take_up_to(last);
            assert_eq!(first.facts, rows(taken).facts, "up to {last}");
            assert_eq!(all.facts, rows(left).facts, "after {last}");
            let offset_of = |rows: &Rows, row| rows.block.row::<EventRow>(row).offset;
            for (part, offsets) in [(&first, taken), (&all, left)] {
                assert_eq!(part.block.rows(), offsets.len());
                for (row, offset) in offsets.iter().enumerate() {
                    assert_eq!(offset_of(part, row), offset.unsigned_abs());
                }
            }
        }
    }

    #[test]
    fn what_the_loader_knows_is_by_kind() {
        let mut rows = Rows::default();
        let visitor = [7; 16];
        for kind in ["click", "sale", "erase"] {
            let row = EventRow { kind: kind.to_owned(), at: 3_600_001, visitor, ..EventRow::default() };
            rows.push(1, row);
        }
        assert_eq!(rows.hours(), Hours::from([(Uuid::nil(), 3_600_000)]));
        let forgets: Vec<_> = rows.facts().iter().map(|fact| fact.forgets).collect();
        assert_eq!(forgets, [None, None, Some(visitor)]);
    }
}
