//! What must hold of a settled batch by itself: told from the rows that the
//! database has of it, whoever wrote them. The numbers are those of
//! `docs/INVARIANTS.md`.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::chain::{Hash, LineRecord, OutcomeRecord, Records};
use crate::ledger::{AccountKind, TransactionKind};
use crate::money::Currency;

/// What is written down of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchHead {
    /// Where it stands in the log, for people.
    pub name: String,
    /// How many outcomes it wrote.
    pub outcome_count: u64,
    /// How many transactions.
    pub transaction_count: u64,
    /// How many ledger lines.
    pub line_count: u64,
    /// The hash that it follows.
    pub previous_hash: Hash,
    /// The hash that the batch before it has; [`crate::chain::GENESIS`] of the first.
    pub hash_before: Hash,
    /// Its own hash.
    pub hash: Hash,
}

/// A ledger transaction, without its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionRecord {
    /// Its id.
    pub id: Uuid,
    /// What it is for.
    pub kind: TransactionKind,
    /// The event, or what else it comes of.
    pub source: Uuid,
    /// The leg of the event.
    pub leg: u16,
}

/// An outcome, and what the chain does not cover of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenOutcome {
    /// What the chain covers.
    pub record: OutcomeRecord,
    /// Of a payment: what its processor keeps.
    pub other_minor: i64,
    /// The transaction that it names.
    pub transaction: Option<Uuid>,
}

/// The rows that a batch wrote, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchRows {
    /// Outcomes.
    pub outcomes: Vec<WrittenOutcome>,
    /// Transactions.
    pub transactions: Vec<TransactionRecord>,
    /// Their lines.
    pub lines: Vec<LineRecord>,
}

/// Something that breaks an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The invariant's number.
    pub invariant: u8,
    /// The id of the offending thing.
    pub id: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Flaw {
    fn new(invariant: u8, id: impl ToString, detail: impl Into<String>) -> Self {
        Self { invariant, id: id.to_string(), detail: detail.into() }
    }
}

/// At most this many flaws of an invariant are named.
pub const MAX_LISTED: usize = 20;

/// What is wrong: of each invariant, the first flaws.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flaws(BTreeMap<u8, Vec<Flaw>>);

impl Flaws {
    /// Those of an invariant.
    #[must_use]
    pub fn of(&self, invariant: u8) -> &[Flaw] {
        self.0.get(&invariant).map_or(&[], Vec::as_slice)
    }

    /// All of them, by invariant.
    pub fn iter(&self) -> impl Iterator<Item = &Flaw> {
        self.0.values().flatten()
    }
}

impl IntoIterator for Flaws {
    type Item = Flaw;
    type IntoIter = std::iter::Flatten<std::collections::btree_map::IntoValues<u8, Vec<Flaw>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_values().flatten()
    }
}

impl Extend<Flaw> for Flaws {
    fn extend<I: IntoIterator<Item = Flaw>>(&mut self, flaws: I) {
        for flaw in flaws {
            let listed = self.0.entry(flaw.invariant).or_default();
            if listed.len() < MAX_LISTED {
                listed.push(flaw);
            }
        }
    }
}

/// What came of looking at batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is wrong.
    pub flaws: Flaws,
    /// By account, the sum of its lines.
    pub moved_minor: HashMap<Uuid, i128>,
    /// By escrow account, what actions took out of it, less what their refunds
    /// put back.
    pub spent_minor: HashMap<Uuid, i128>,
}

impl Findings {
    /// Takes entries into the sums that are of no batch.
    pub fn move_by(&mut self, lines: &[LineRecord]) {
        for line in lines {
            add(&mut self.moved_minor, line.account, line.amount_minor.into());
        }
    }

    /// Takes in what came of other batches.
    pub fn add(&mut self, other: Self) {
        self.flaws.extend(other.flaws);
        for (sums, more) in
            [(&mut self.moved_minor, other.moved_minor), (&mut self.spent_minor, other.spent_minor)]
        {
            for (account, minor) in more {
                add(sums, account, minor);
            }
        }
    }
}

fn add(sums: &mut HashMap<Uuid, i128>, account: Uuid, minor: i128) {
    let sum = sums.entry(account).or_default();
    *sum = sum.saturating_add(minor);
}

/// Looks at a batch: 1, every transaction balances; 6, its hash is right; 9, an
/// outcome is posted if, and only if, there is one transaction for it, of its
/// amount; 17, its parts sum to its gross.
#[must_use]
pub fn audit(
    head: &BatchHead,
    mut rows: BatchRows,
    kind_of: impl Fn(&Uuid) -> Option<AccountKind>,
) -> Findings {
    let mut findings = Findings::default();
    rows.transactions.sort_unstable_by_key(|transaction| transaction.id);
    rows.lines.sort_unstable();
    let mut lines = rows.lines.chunk_by(|a, b| a.transaction == b.transaction).peekable();
    let mut postings: HashMap<(Uuid, u16), Posting> = HashMap::with_capacity(rows.transactions.len());
    for transaction in &rows.transactions {
        let lines =
            lines.next_if(|lines| lines.first().is_some_and(|line| line.transaction == transaction.id));
        let lines = lines.unwrap_or_default();
        findings.flaws.extend(unbalanced(transaction.id, lines));
        let gross_minor = sum_up(transaction, lines, &kind_of, &mut findings);
        let is_of_an_outcome = matches!(
            transaction.kind,
            TransactionKind::Campaign | TransactionKind::Payment | TransactionKind::Refund
        );
        if is_of_an_outcome {
            let posting = Posting { transaction: transaction.id, gross_minor };
            if postings.insert((transaction.source, transaction.leg), posting).is_some() {
                findings.flaws.extend([Flaw::new(9, transaction.source, "has several transactions")]);
            }
        }
    }
    for outcome in &rows.outcomes {
        let posting = postings.remove(&(outcome.record.event, outcome.record.leg));
        findings.flaws.extend(misposted(outcome, posting));
        findings.flaws.extend(misdivided(outcome));
    }
    let missing = postings.into_iter().map(|((source, _leg), posting)| {
        Flaw::new(
            9,
            source,
            format!("transaction {} of {}, no outcome", posting.transaction, posting.gross_minor),
        )
    });
    findings.flaws.extend(missing);
    findings.flaws.extend(misfit(head, rows));
    findings
}

/// What was posted for an outcome.
struct Posting {
    transaction: Uuid,
    gross_minor: i128,
}

/// What is wrong with a transaction by itself.
fn unbalanced(transaction: Uuid, lines: &[LineRecord]) -> Vec<Flaw> {
    if lines.is_empty() {
        return vec![Flaw::new(1, transaction, "has no lines")];
    }
    // One currency nearly always: a list of sums is found through faster than a map.
    let mut sums: Vec<(Currency, i128, usize)> = Vec::with_capacity(1);
    for line in lines {
        let amount_minor = i128::from(line.amount_minor);
        match sums.iter_mut().find(|(currency, ..)| *currency == line.currency) {
            Some((_, sum_minor, count)) => {
                *sum_minor = sum_minor.saturating_add(amount_minor);
                *count = count.saturating_add(1);
            }
            None => sums.push((line.currency, amount_minor, 1)),
        }
    }
    let is_wrong = |(_, sum_minor, count): &(Currency, i128, usize)| *sum_minor != 0 || *count < 2;
    let wrong = sums.into_iter().filter(is_wrong);
    wrong
        .map(|(currency, sum_minor, count)| {
            Flaw::new(1, transaction, format!("{count} lines in {currency} sum to {sum_minor}"))
        })
        .collect()
}

/// Adds a transaction's lines to the sums; gives what it took out of escrow, or of
/// a payment into cash.
fn sum_up(
    transaction: &TransactionRecord,
    lines: &[LineRecord],
    kind_of: &impl Fn(&Uuid) -> Option<AccountKind>,
    findings: &mut Findings,
) -> i128 {
    let is_spending = matches!(transaction.kind, TransactionKind::Campaign | TransactionKind::Refund);
    let mut gross_minor = 0_i128;
    for line in lines {
        let amount_minor = i128::from(line.amount_minor);
        add(&mut findings.moved_minor, line.account, amount_minor);
        let kind = kind_of(&line.account);
        if matches!(kind, Some(AccountKind::CampaignEscrow | AccountKind::Cash)) {
            gross_minor = gross_minor.saturating_sub(amount_minor);
        }
        if is_spending && kind == Some(AccountKind::CampaignEscrow) {
            add(&mut findings.spent_minor, line.account, amount_minor.saturating_neg());
        }
    }
    gross_minor
}

/// What is wrong between an outcome and its posting.
fn misposted(outcome: &WrittenOutcome, posting: Option<Posting>) -> Option<Flaw> {
    let WrittenOutcome { record: outcome, transaction: named, .. } = outcome;
    let is_posted = outcome.status == "posted";
    let [gross_minor, ..] = outcome.amounts_minor;
    let (found, found_minor) =
        posting.map_or((None, 0), |posting| (Some(posting.transaction), posting.gross_minor));
    let is_right = is_posted == found.is_some() && *named == found && i128::from(gross_minor) == found_minor;
    let detail = || {
        let named = named.or(found).map_or("none".to_owned(), |id| id.to_string());
        format!("outcome {} of {gross_minor}, transaction {named} of {found_minor}", outcome.status)
    };
    (!is_right).then(|| Flaw::new(9, outcome.event, detail()))
}

/// What is wrong with an outcome's parts.
fn misdivided(WrittenOutcome { record, other_minor, .. }: &WrittenOutcome) -> Option<Flaw> {
    let [gross, creator, fee] = record.amounts_minor;
    let sum =
        [creator, fee, *other_minor].into_iter().fold(0_i128, |sum, part| sum.saturating_add(part.into()));
    let detail = || format!("gross {gross}, creator {creator}, fee {fee}, other {other_minor}");
    (sum != i128::from(gross)).then(|| Flaw::new(17, record.event, detail()))
}

/// What is wrong with a batch's place in the chain.
fn misfit(head: &BatchHead, rows: BatchRows) -> Option<Flaw> {
    let counts = [rows.outcomes.len(), rows.transactions.len(), rows.lines.len()];
    let counts = counts.map(|count| u64::try_from(count).unwrap_or(u64::MAX));
    let stated = [head.outcome_count, head.transaction_count, head.line_count];
    let outcomes = rows.outcomes.into_iter().map(|outcome| outcome.record).collect();
    let mut records = Records { outcomes, lines: rows.lines };
    let detail = if head.previous_hash != head.hash_before {
        "does not link to the batch before it".to_owned()
    } else if let Some((what, (is, was))) = ["outcomes", "transactions", "ledger lines"]
        .into_iter()
        .zip(counts.into_iter().zip(stated))
        .find(|(_, (is, was))| is != was)
    {
        format!("it wrote {was} {what}; {is} are there")
    } else if records.chained(&head.previous_hash) != head.hash {
        "its rows have changed".to_owned()
    } else {
        return None;
    };
    Some(Flaw::new(6, &head.name, detail))
}

/// An entry without a transaction.
#[must_use]
pub fn orphan(transaction: Uuid) -> Flaw {
    Flaw::new(2, transaction, "an entry names this transaction, which is not there")
}

/// An outcome, a transaction, or an entry of one, that came after its batch.
#[must_use]
pub fn added(id: Uuid, batch: &str) -> Flaw {
    Flaw::new(6, id, format!("was added to batch {batch} after it was settled"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ESCROW: u128 = 1;
    const CREATOR: u128 = 2;
    const FEE: u128 = 3;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn kind_of(account: &Uuid) -> Option<AccountKind> {
        let kinds = [
            (ESCROW, AccountKind::CampaignEscrow),
            (CREATOR, AccountKind::CreatorPending),
            (FEE, AccountKind::PlatformFee),
        ];
        kinds.into_iter().find(|(number, _)| id(*number) == *account).map(|(_, kind)| kind)
    }

    fn line(transaction: u128, line: i16, account: u128, amount_minor: i64) -> LineRecord {
        let currency = Currency::new("USD").unwrap();
        LineRecord { transaction: id(transaction), line, account: id(account), amount_minor, currency }
    }

    fn transaction(number: u128, kind: TransactionKind) -> TransactionRecord {
        TransactionRecord { id: id(number), kind, source: id(number + 100), leg: 0 }
    }

    fn outcome(number: u128, status: &str, gross_minor: i64) -> WrittenOutcome {
        let record = OutcomeRecord {
            event: id(number + 100),
            leg: 0,
            status: status.to_owned(),
            reason: String::new(),
            campaign: Uuid::nil(),
            creator: Uuid::nil(),
            amounts_minor: [gross_minor, gross_minor - 1, 0],
            currency: "USD".to_owned(),
            payload_hash: "h".to_owned(),
            original: None,
        };
        let transaction = (status == "posted").then_some(id(number));
        WrittenOutcome { record, other_minor: 1, transaction }
    }

    /// Two payouts, one of which is refunded in part, a rejection, and a funding.
    fn rows() -> BatchRows {
        BatchRows {
            outcomes: vec![
                outcome(10, "posted", 100),
                outcome(11, "rejected_budget", 0),
                outcome(12, "posted", -40),
            ],
            transactions: vec![
                transaction(12, TransactionKind::Refund),
                transaction(10, TransactionKind::Campaign),
                transaction(13, TransactionKind::Escrow),
            ],
            lines: vec![
                line(13, 0, 9, -500),
                line(13, 1, ESCROW, 500),
                line(10, 2, FEE, 10),
                line(10, 0, ESCROW, -100),
                line(10, 1, CREATOR, 90),
                line(12, 0, CREATOR, -40),
                line(12, 1, ESCROW, 40),
            ],
        }
    }

    fn head(rows: &BatchRows) -> BatchHead {
        let outcomes = rows.outcomes.iter().map(|outcome| outcome.record.clone()).collect();
        let hash_before = [7; 32];
        BatchHead {
            name: "credits/0@0".to_owned(),
            outcome_count: rows.outcomes.len() as u64,
            transaction_count: rows.transactions.len() as u64,
            line_count: rows.lines.len() as u64,
            previous_hash: hash_before,
            hash_before,
            hash: Records { outcomes, lines: rows.lines.clone() }.chained(&hash_before),
        }
    }

    #[test]
    fn a_right_batch_has_no_flaw_and_its_sums() {
        let rows = rows();
        let findings = audit(&head(&rows), rows, kind_of);
        assert_eq!(findings.flaws, Flaws::default());
        let moved = [(ESCROW, 440), (CREATOR, 50), (FEE, 10), (9, -500)];
        assert_eq!(findings.moved_minor, moved.map(|(account, minor)| (id(account), minor)).into());
        assert_eq!(findings.spent_minor, [(id(ESCROW), 60)].into());
        let mut twice = findings.clone();
        twice.add(findings);
        assert_eq!(twice.spent_minor, [(id(ESCROW), 120)].into());
    }

    #[test]
    fn every_flaw_is_named() {
        let check = |change: fn(&mut BatchRows), expected: &[(u8, u128, &str)]| {
            let mut rows = rows();
            change(&mut rows);
            // As if it had been written so: only what is wrong in itself is told.
            let found = audit(&head(&rows), rows, kind_of).flaws;
            let found: Vec<_> =
                found.iter().map(|flaw| (flaw.invariant, &flaw.id[..], &flaw.detail[..])).collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(number, id, detail)| (*number, self::id(*id).to_string(), *detail))
                .collect();
            let expected: Vec<_> =
                expected.iter().map(|(number, id, detail)| (*number, &id[..], *detail)).collect();
            assert_eq!(found, expected);
        };
        check(|_| (), &[]);
        check(|rows| rows.lines[2].amount_minor = 11, &[(1, 10, "3 lines in USD sum to 1")]);
        check(
            |rows| rows.lines.truncate(5),
            &[
                (1, 12, "has no lines"),
                (9, 112, "outcome posted of -40, transaction 00000000-0000-0000-0000-00000000000c of 0"),
            ],
        );
        check(
            |rows| rows.lines[1].currency = Currency::new("EUR").unwrap(),
            &[(1, 13, "1 lines in USD sum to -500"), (1, 13, "1 lines in EUR sum to 500")],
        );
        check(
            |rows| rows.outcomes[0].record.amounts_minor = [101, 100, 0],
            &[(9, 110, "outcome posted of 101, transaction 00000000-0000-0000-0000-00000000000a of 100")],
        );
        check(
            |rows| rows.outcomes[0].transaction = Some(id(12)),
            &[(9, 110, "outcome posted of 100, transaction 00000000-0000-0000-0000-00000000000c of 100")],
        );
        check(
            |rows| rows.outcomes[1].record.status = "posted".to_owned(),
            &[(9, 111, "outcome posted of 0, transaction none of 0")],
        );
        check(
            |rows| rows.outcomes[2].record.status = "rejected_rule".to_owned(),
            &[(
                9,
                112,
                "outcome rejected_rule of -40, transaction 00000000-0000-0000-0000-00000000000c of -40",
            )],
        );
        check(|rows| rows.outcomes[0].other_minor = 2, &[(17, 110, "gross 100, creator 99, fee 0, other 2")]);
        check(
            |rows| drop(rows.outcomes.remove(0)),
            &[(9, 110, "transaction 00000000-0000-0000-0000-00000000000a of 100, no outcome")],
        );
        check(
            |rows| {
                rows.transactions[0].source = id(110);
                rows.outcomes.pop();
            },
            &[
                (9, 110, "has several transactions"),
                (9, 110, "outcome posted of 100, transaction 00000000-0000-0000-0000-00000000000a of -40"),
            ],
        );
    }

    #[test]
    fn what_was_changed_since_does_not_fit_the_chain() {
        let check = |change: fn(&mut BatchHead, &mut BatchRows), expected: &str| {
            let mut rows = rows();
            let mut head = head(&rows);
            change(&mut head, &mut rows);
            let found = audit(&head, rows, kind_of).flaws;
            let found: Vec<&str> = found.of(6).iter().map(|flaw| flaw.detail.as_str()).collect();
            assert_eq!(found, [expected]);
        };
        check(|head, _| head.hash_before = [8; 32], "does not link to the batch before it");
        check(|_, rows| rows.lines.truncate(6), "it wrote 7 ledger lines; 6 are there");
        check(|_, rows| rows.outcomes.truncate(2), "it wrote 3 outcomes; 2 are there");
        check(|_, rows| rows.transactions.truncate(2), "it wrote 3 transactions; 2 are there");
        check(|_, rows| rows.outcomes[1].record.reason = "bot".to_owned(), "its rows have changed");
        check(|_, rows| rows.lines[0].account = id(4), "its rows have changed");
    }
}
