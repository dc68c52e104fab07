//! Double-entry postings. A positive amount is a credit, a negative one a
//! debit; a transaction's lines sum to zero. What others are owed (escrow,
//! creators' balances, fees earned) stands at or above zero; cash, the
//! other side of it, and what creators owe at or below.
//!
//! | module | job |
//! |---|---|
//! | here | accounts, and transactions that balance |
//! | [`postings`] | which lines each thing that happens leads to |

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::ids::{AccountId, TransactionId, WorkspaceId, hash_uuid, timed_hash_uuid};
use crate::money::{Currency, MoneyError, check_amount};

pub mod postings;
pub use postings::{Split, split};

/// The chart of accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountKind {
    /// Money that was ever paid in, by businesses and supporters; stands at or
    /// below zero. Owner: the workspace.
    Cash,
    /// A campaign's money, not yet earned. Owner: the campaign.
    CampaignEscrow,
    /// Earnings that are held for a time. Owner: the creator.
    CreatorPending,
    /// Earnings that are free to withdraw. Owner: the creator.
    CreatorAvailable,
    /// Withdrawn, and not known to have arrived. Owner: the creator.
    CreatorInTransit,
    /// Withdrawn, and arrived. Owner: the creator.
    CreatorPaid,
    /// What is owed back for refunds; stands at or below zero. Owner: the
    /// creator.
    CreatorDebt,
    /// What payments' processors keep. Owner: the workspace.
    ProcessorFee,
    /// The platform's own earnings. Owner: the workspace. Sorted last, and so
    /// locked last: every payout of a workspace meets here.
    PlatformFee,
}

impl AccountKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Cash,
        Self::CampaignEscrow,
        Self::CreatorPending,
        Self::CreatorAvailable,
        Self::CreatorInTransit,
        Self::CreatorPaid,
        Self::CreatorDebt,
        Self::ProcessorFee,
        Self::PlatformFee,
    ];

    /// The name, as in SQL.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Cash => "cash",
            Self::CampaignEscrow => "campaign_escrow",
            Self::CreatorPending => "creator_pending",
            Self::CreatorAvailable => "creator_available",
            Self::CreatorInTransit => "creator_in_transit",
            Self::CreatorPaid => "creator_paid",
            Self::CreatorDebt => "creator_debt",
            Self::ProcessorFee => "processor_fee",
            Self::PlatformFee => "platform_fee",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// What names an account. Its id follows from it, so an account need not be
/// looked up before it is posted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    /// Its kind; first, so that keys sort fee accounts last.
    pub kind: AccountKind,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The campaign, user or workspace it belongs to.
    pub owner: Uuid,
    /// The only currency it takes.
    pub currency: Currency,
}

impl AccountKey {
    /// The account's id.
    #[must_use]
    pub fn id(&self) -> AccountId {
        let parts = [
            self.kind.code().as_bytes(),
            self.workspace.0.as_bytes(),
            self.owner.as_bytes(),
            self.currency.code().as_bytes(),
        ];
        AccountId(hash_uuid("account", &parts))
    }
}

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionKind {
    /// A creator earned a campaign's payout.
    Campaign,
    /// A business funded a campaign, or a supporter did.
    Escrow,
    /// Somebody paid a creator.
    Payment,
    /// A refund took a payout back.
    Refund,
    /// A closed campaign gave money back to its business.
    Return,
    /// A creator's money covered what they owed for a refund.
    Repayment,
    /// Earnings were held long enough.
    Release,
    /// A creator asked for money.
    Withdrawal,
    /// It arrived.
    WithdrawalCompleted,
    /// It did not, or was called off.
    WithdrawalReturned,
}

impl TransactionKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Campaign,
        Self::Escrow,
        Self::Payment,
        Self::Refund,
        Self::Return,
        Self::Repayment,
        Self::Release,
        Self::Withdrawal,
        Self::WithdrawalCompleted,
        Self::WithdrawalReturned,
    ];

    /// The name, as in SQL; where the OROS documents have one, theirs
    /// (`source_type`).
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Campaign => "campaign",
            Self::Escrow => "escrow",
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Return => "return",
            Self::Repayment => "repayment",
            Self::Release => "release",
            Self::Withdrawal => "withdrawal",
            Self::WithdrawalCompleted => "withdrawal_completed",
            Self::WithdrawalReturned => "withdrawal_returned",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Whether it follows from the topic `credits` alone. The others also
    /// depend on when holds ended and what creators withdrew.
    #[must_use]
    pub fn follows_from_the_log(self) -> bool {
        matches!(self, Self::Campaign | Self::Escrow | Self::Payment | Self::Refund | Self::Return)
    }
}

/// One line of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The account.
    pub account: AccountKey,
    /// Credit above zero, debit below; never zero.
    pub amount_minor: i64,
}

/// Why lines are no transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostingError {
    /// The lines of a currency do not sum to zero.
    #[error("lines in {currency} sum to {sum_minor}, not 0")]
    Unbalanced {
        /// The currency.
        currency: Currency,
        /// What they sum to.
        sum_minor: i128,
    },
    /// A transaction has at least two lines.
    #[error("a transaction needs two lines, not {0}")]
    TooFewLines(usize),
    /// A line moves nothing.
    #[error("a line of amount 0")]
    ZeroLine,
    /// An amount is out of range.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// A balanced transaction; there is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    id: TransactionId,
    kind: TransactionKind,
    workspace: WorkspaceId,
    source: Uuid,
    leg: u16,
    at_ms: i64,
    lines: Vec<Line>,
}

impl Transaction {
    /// A transaction of `lines`, for `leg` of `source` (an event or a funding).
    ///
    /// # Errors
    /// When the lines do not balance, or there is a zero or too large one.
    pub fn new(
        kind: TransactionKind,
        workspace: WorkspaceId,
        source: Uuid,
        leg: u16,
        at_ms: i64,
        lines: Vec<Line>,
    ) -> Result<Self, PostingError> {
        if lines.len() < 2 {
            return Err(PostingError::TooFewLines(lines.len()));
        }
        let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
        for line in &lines {
            if line.amount_minor == 0 {
                return Err(PostingError::ZeroLine);
            }
            let amount = i128::from(check_amount(line.amount_minor)?);
            let sum = sums.entry(line.account.currency).or_default();
            *sum = sum.saturating_add(amount);
        }
        if let Some((currency, sum_minor)) = sums.into_iter().find(|(_, sum)| *sum != 0) {
            return Err(PostingError::Unbalanced { currency, sum_minor });
        }
        let parts = [kind.code().as_bytes(), source.as_bytes(), &leg.to_be_bytes()];
        let id = TransactionId(timed_hash_uuid(at_ms, "transaction", &parts));
        Ok(Self { id, kind, workspace, source, leg, at_ms, lines })
    }

    /// Its id: the same in every replay, beginning with its time.
    #[must_use]
    pub fn id(&self) -> TransactionId {
        self.id
    }

    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> TransactionKind {
        self.kind
    }

    /// Whose books it is in.
    #[must_use]
    pub fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// The event or funding behind it.
    #[must_use]
    pub fn source(&self) -> Uuid {
        self.source
    }

    /// The leg of the source.
    #[must_use]
    pub fn leg(&self) -> u16 {
        self.leg
    }

    /// The time of the source.
    #[must_use]
    pub fn at_ms(&self) -> i64 {
        self.at_ms
    }

    /// Its lines; they sum to zero.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

/// What each account gains or loses by `transactions`, in lock order: fee
/// accounts last.
///
/// # Panics
/// Never: sums of at most a batch of capped amounts fit an `i64`.
#[must_use]
pub fn changes_of(transactions: &[Transaction]) -> BTreeMap<AccountKey, i64> {
    let mut changes: BTreeMap<AccountKey, i64> = BTreeMap::new();
    for line in transactions.iter().flat_map(Transaction::lines) {
        let change = changes.entry(line.account).or_default();
        *change = change.checked_add(line.amount_minor).expect("capped amounts, small batches");
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));

    fn usd() -> Currency {
        Currency::new("USD").unwrap()
    }

    fn line(kind: AccountKind, currency: Currency, amount_minor: i64) -> Line {
        let account = AccountKey { kind, workspace: WORKSPACE, owner: Uuid::nil(), currency };
        Line { account, amount_minor }
    }

    fn post(lines: Vec<Line>) -> Result<Transaction, PostingError> {
        Transaction::new(TransactionKind::Escrow, WORKSPACE, Uuid::nil(), 0, 1, lines)
    }

    #[test]
    fn only_balanced_lines_are_a_transaction() {
        let (cash, escrow) = (AccountKind::Cash, AccountKind::CampaignEscrow);
        let eur = Currency::new("EUR").unwrap();
        assert!(post(vec![line(cash, usd(), -5), line(escrow, usd(), 5)]).is_ok());
        for (lines, error) in [
            (vec![line(cash, usd(), -5)], PostingError::TooFewLines(1)),
            (vec![line(cash, usd(), 0), line(escrow, usd(), 0)], PostingError::ZeroLine),
            (
                vec![line(cash, usd(), -5), line(escrow, usd(), 4)],
                PostingError::Unbalanced { currency: usd(), sum_minor: -1 },
            ),
            (
                vec![line(cash, usd(), -5), line(escrow, eur, 5)],
                PostingError::Unbalanced { currency: eur, sum_minor: 5 },
            ),
            (
                vec![line(cash, usd(), i64::MIN), line(escrow, usd(), i64::MAX)],
                PostingError::Money(MoneyError::TooLarge),
            ),
        ] {
            assert_eq!(post(lines), Err(error));
        }
    }

    #[test]
    fn the_fee_account_sorts_last() {
        let key = |kind| AccountKey { kind, workspace: WORKSPACE, owner: Uuid::nil(), currency: usd() };
        for kind in AccountKind::ALL.into_iter().filter(|kind| *kind != AccountKind::PlatformFee) {
            assert!(key(kind) < key(AccountKind::PlatformFee));
        }
    }
}
