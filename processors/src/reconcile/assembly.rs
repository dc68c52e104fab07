//! Puts together what belongs to a batch, from three tables that are read at
//! once, each as its rows lie. As batches are written one after the other, few are
//! open at a time, mostly; how many rows are held is counted.

use std::collections::HashMap;

use domain::audit::{BatchHead, BatchRows, Flaws, added};
use domain::chain::LineRecord;
use store::scan::{ScannedOutcome, ScannedTransaction};
use uuid::Uuid;

/// A batch, and all of its rows that were found.
pub(super) type Whole = (BatchHead, BatchRows);

/// Batches that wait for rows.
pub(super) struct Assembly {
    open: HashMap<i64, Whole>,
    /// Of the open batches' transactions.
    batch_of: HashMap<Uuid, i64>,
    /// Lines that were read before their transaction.
    early: HashMap<Uuid, Vec<LineRecord>>,
    held_rows: usize,
    flaws: Flaws,
}

/// What is left when all rows were read.
pub(super) struct Rest {
    /// The batches that lack some.
    pub lacking: Vec<Whole>,
    /// Entries that found no transaction in the batches while they were open.
    pub without: Vec<LineRecord>,
    /// Outcomes and transactions that were added to batches.
    pub flaws: Flaws,
}

impl Assembly {
    pub(super) fn new(heads: impl IntoIterator<Item = (i64, BatchHead)>) -> Self {
        let open = heads.into_iter().map(|(id, head)| (id, (head, BatchRows::default()))).collect();
        Self { open, batch_of: HashMap::new(), early: HashMap::new(), held_rows: 0, flaws: Flaws::default() }
    }

    /// How many rows wait for others.
    pub(super) fn held_rows(&self) -> usize {
        self.held_rows
    }

    /// Takes an outcome in; gives its batch, if that was the last row it waited for.
    pub(super) fn outcome(&mut self, outcome: ScannedOutcome) -> Option<Whole> {
        let ScannedOutcome { batch, outcome } = outcome;
        match self.open.get_mut(&batch) {
            Some((_, rows)) => {
                rows.outcomes.push(outcome);
                self.held_rows += 1;
            }
            None => self.flaws.extend([added(outcome.record.event, &batch.to_string())]),
        }
        self.if_whole(batch)
    }

    /// Takes a transaction in; gives its batch, if that was the last row it waited
    /// for.
    pub(super) fn transaction(&mut self, transaction: ScannedTransaction) -> Option<Whole> {
        let ScannedTransaction { batch, record } = transaction;
        match self.open.get_mut(&batch) {
            Some((_, rows)) => {
                rows.lines.extend(self.early.remove(&record.id).unwrap_or_default());
                rows.transactions.push(record);
                self.batch_of.insert(record.id, batch);
                self.held_rows += 1;
            }
            None => self.flaws.extend([added(record.id, &batch.to_string())]),
        }
        self.if_whole(batch)
    }

    /// Takes a line in; gives its batch, if that was the last row it waited for.
    pub(super) fn line(&mut self, line: LineRecord) -> Option<Whole> {
        self.held_rows += 1;
        let Some(&batch) = self.batch_of.get(&line.transaction) else {
            self.early.entry(line.transaction).or_default().push(line);
            return None;
        };
        if let Some((_, rows)) = self.open.get_mut(&batch) {
            rows.lines.push(line);
        }
        self.if_whole(batch)
    }

    fn if_whole(&mut self, batch: i64) -> Option<Whole> {
        let (head, rows) = self.open.get(&batch)?;
        let is_whole = rows.lines.len() as u64 >= head.line_count
            && rows.transactions.len() as u64 >= head.transaction_count
            && rows.outcomes.len() as u64 >= head.outcome_count;
        if !is_whole {
            return None;
        }
        let whole = self.open.remove(&batch)?;
        self.held_rows -= whole.1.outcomes.len() + whole.1.transactions.len() + whole.1.lines.len();
        for transaction in &whole.1.transactions {
            self.batch_of.remove(&transaction.id);
        }
        Some(whole)
    }

    /// All rows were read.
    pub(super) fn finish(self) -> Rest {
        let without = self.early.into_values().flatten().collect();
        Rest { lacking: self.open.into_values().collect(), without, flaws: self.flaws }
    }
}

#[cfg(test)]
mod tests {
    use domain::audit::{TransactionRecord, WrittenOutcome};
    use domain::chain::OutcomeRecord;
    use domain::ledger::TransactionKind;
    use domain::money::Currency;

    use super::*;

    fn head(name: &str, outcome_count: u64, transaction_count: u64, line_count: u64) -> BatchHead {
        BatchHead {
            name: name.to_owned(),
            outcome_count,
            transaction_count,
            line_count,
            previous_hash: [0; 32],
            hash_before: [0; 32],
            hash: [0; 32],
        }
    }

    fn outcome(batch: i64, event: u128) -> ScannedOutcome {
        let record = OutcomeRecord {
            event: Uuid::from_u128(event),
            leg: 0,
            status: "posted".to_owned(),
            reason: String::new(),
            campaign: Uuid::nil(),
            creator: Uuid::nil(),
            amounts_minor: [0; 3],
            currency: String::new(),
            payload_hash: String::new(),
            original: None,
        };
        ScannedOutcome { batch, outcome: WrittenOutcome { record, other_minor: 0, transaction: None } }
    }

    fn transaction(batch: i64, id: u128) -> ScannedTransaction {
        let (id, kind) = (Uuid::from_u128(id), TransactionKind::Campaign);
        ScannedTransaction { batch, record: TransactionRecord { id, kind, source: id, leg: 0 } }
    }

    fn line(transaction: u128, line: i16) -> LineRecord {
        LineRecord {
            transaction: Uuid::from_u128(transaction),
            line,
            account: Uuid::nil(),
            amount_minor: 1,
            currency: Currency::new("USD").unwrap(),
        }
    }

    #[test]
    fn rows_find_their_batch_in_whatever_order_they_come() {
        let mut assembly = Assembly::new([
            (1, head("one", 1, 1, 2)),
            (2, head("two", 1, 0, 0)),
            (3, head("three", 1, 0, 0)),
        ]);
        assert_eq!(assembly.line(line(10, 1)), None);
        assert_eq!(assembly.outcome(outcome(1, 10)), None);
        assert_eq!(assembly.outcome(outcome(2, 20)).unwrap().0.name, "two");
        assert_eq!(assembly.transaction(transaction(1, 10)), None);
        let (head, rows) = assembly.line(line(10, 0)).unwrap();
        assert_eq!((head.name.as_str(), rows.outcomes.len(), rows.transactions.len()), ("one", 1, 1));
        assert_eq!(rows.lines, [line(10, 1), line(10, 0)]);
        // Nobody wrote these.
        assert_eq!(assembly.outcome(outcome(2, 21)), None);
        assert_eq!(assembly.transaction(transaction(9, 90)), None);
        assert_eq!(assembly.line(line(10, 2)), None);
        assert_eq!(assembly.held_rows(), 1);
        let Rest { lacking, without, flaws } = assembly.finish();
        assert_eq!(lacking.into_iter().map(|(head, _)| head.name).collect::<Vec<_>>(), ["three"]);
        assert_eq!(without, [line(10, 2)]);
        assert_eq!(flaws.of(6).len(), 2);
    }
}
