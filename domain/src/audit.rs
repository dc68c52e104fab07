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
mod tests;
