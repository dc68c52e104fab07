//! The hash chain over settlement batches, and the digest of the books.
//!
//! A batch's hash covers the hash before it and every outcome and ledger line
//! of the batch, so no past row can change unnoticed. The digest covers the
//! same content without the batches: two sets of books are the same if, and
//! only if, their digests are.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::ledger::Transaction;
use crate::money::Currency;
use crate::settlement::{Outcome, Plan};

/// A SHA-256.
pub type Hash = [u8; 32];

/// The hash before the first batch of a partition.
pub const GENESIS: Hash = [0; 32];

/// An outcome, as it is hashed; loaded from the database or taken from a plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutcomeRecord {
    /// The event.
    pub event: Uuid,
    /// The leg.
    pub leg: u16,
    /// Its status's code.
    pub status: String,
    /// Its reason's code, or nothing.
    pub reason: String,
    /// The campaign, or nil.
    pub campaign: Uuid,
    /// The creator, or nil.
    pub creator: Uuid,
    /// Gross, creator's part, fee; 0 unless posted.
    pub amounts_minor: [i64; 3],
    /// The currency's code, or nothing.
    pub currency: String,
    /// The event's payload hash.
    pub payload_hash: String,
    /// Of a refund, the event and leg that it takes from.
    pub original: Option<(Uuid, u16)>,
}

/// A ledger line, as it is hashed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineRecord {
    /// The transaction.
    pub transaction: Uuid,
    /// The line's number, from 0.
    pub line: i16,
    /// The account.
    pub account: Uuid,
    /// Its amount.
    pub amount_minor: i64,
    /// Its currency.
    pub currency: Currency,
}

/// All that a hash covers, in one order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Outcomes.
    pub outcomes: Vec<OutcomeRecord>,
    /// Ledger lines.
    pub lines: Vec<LineRecord>,
}

impl From<&Outcome> for OutcomeRecord {
    fn from(outcome: &Outcome) -> Self {
        let payout = outcome.payout;
        Self {
            event: outcome.event.0,
            leg: outcome.leg,
            status: outcome.status.code().to_owned(),
            reason: outcome.reason.map_or("", |reason| reason.code()).to_owned(),
            campaign: outcome.campaign.map_or(Uuid::nil(), |id| id.0),
            creator: outcome.creator.map_or(Uuid::nil(), |id| id.0),
            amounts_minor: payout.map_or([0; 3], |payout| {
                [payout.paid.split.gross_minor, payout.paid.split.creator_minor, payout.paid.split.fee_minor]
            }),
            currency: payout.map_or_else(String::new, |payout| payout.paid.currency.to_string()),
            payload_hash: outcome.payload_hash.clone(),
            original: outcome.original.map(|(event, leg)| (event.0, leg)),
        }
    }
}

/// The lines of a transaction, numbered.
fn line_records(transaction: &Transaction) -> impl Iterator<Item = LineRecord> {
    (0..).zip(transaction.lines()).map(|(line, posted)| LineRecord {
        transaction: transaction.id().0,
        line,
        account: posted.account.id().0,
        amount_minor: posted.amount_minor,
        currency: posted.account.currency,
    })
}

impl Records {
    /// What `plan` will write.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        Self {
            outcomes: plan.outcomes.iter().map(OutcomeRecord::from).collect(),
            ..Self::of_transactions(&plan.transactions)
        }
    }

    /// What `transactions` are.
    #[must_use]
    pub fn of_transactions(transactions: &[Transaction]) -> Self {
        Self { outcomes: Vec::new(), lines: transactions.iter().flat_map(line_records).collect() }
    }

    /// The hash of a batch with these records that follows one with `previous`.
    /// Puts them in order.
    #[must_use]
    pub fn chained(&mut self, previous: &Hash) -> Hash {
        let mut hash = Sha256::new();
        hash.update(previous);
        self.feed(&mut hash);
        hash.finalize().into()
    }

    /// The digest of books with these records. Puts them in order.
    #[must_use]
    pub fn digest(&mut self) -> Hash {
        let mut hash = Sha256::new();
        self.feed(&mut hash);
        hash.finalize().into()
    }

    fn feed(&mut self, hash: &mut Sha256) {
        // Order of reading must not matter: it differs from batch to batch.
        self.outcomes.sort_unstable();
        self.lines.sort_unstable();
        let mut text = String::new();
        for o in &self.outcomes {
            let [gross, creator, fee] = o.amounts_minor;
            text.clear();
            writeln!(
                text,
                "outcome {} {} {} {} {} {} {gross} {creator} {fee} {} {}",
                o.event, o.leg, o.status, o.reason, o.campaign, o.creator, o.currency, o.payload_hash
            )
            .expect("writing to a string");
            if let Some((event, leg)) = o.original {
                writeln!(text, "of {event} {leg}").expect("writing to a string");
            }
            hash.update(&text);
        }
        for l in &self.lines {
            text.clear();
            writeln!(
                text,
                "line {} {} {} {} {}",
                l.transaction, l.line, l.account, l.amount_minor, l.currency
            )
            .expect("writing to a string");
            hash.update(&text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Records {
        let line = |number: i16, amount_minor| LineRecord {
            transaction: Uuid::from_u128(1),
            line: number,
            account: Uuid::from_u128(2),
            amount_minor,
            currency: Currency::new("USD").expect("a currency"),
        };
        let outcome = OutcomeRecord {
            event: Uuid::from_u128(3),
            leg: 0,
            status: "posted".into(),
            reason: String::new(),
            campaign: Uuid::from_u128(4),
            creator: Uuid::from_u128(5),
            amounts_minor: [100, 90, 10],
            currency: "USD".into(),
            payload_hash: "h".into(),
            original: None,
        };
        Records { outcomes: vec![outcome], lines: vec![line(0, -100), line(1, 90), line(2, 10)] }
    }

    #[test]
    fn order_of_reading_does_not_matter() {
        let mut backwards = records();
        backwards.lines.reverse();
        assert_eq!(records().digest(), backwards.clone().digest());
        assert_eq!(records().chained(&GENESIS), backwards.chained(&GENESIS));
    }

    #[test]
    fn any_change_shows() {
        let original = records().chained(&GENESIS);
        let mut changes: Vec<Records> = vec![records(); 6];
        changes[0].lines[1].amount_minor = 91;
        changes[1].lines.pop();
        changes[2].outcomes[0].reason = "bot".into();
        changes[3].outcomes[0].amounts_minor[1] = 91;
        changes[4].lines[0].account = Uuid::from_u128(9);
        changes[5].outcomes[0].original = Some((Uuid::from_u128(8), 0));
        for mut changed in changes {
            assert_ne!(changed.chained(&GENESIS), original);
        }
        assert_ne!(records().chained(&original), original);
    }
}
