//! Double-entry postings. A positive amount is a credit, a negative one a
//! debit; a transaction's lines sum to zero. What others are owed (escrow,
//! creators' balances, fees earned) stands at or above zero; cash, the
//! other side of it, at or below.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::command::{Credit, Funding};
use crate::ids::{
    AccountId, CampaignId, EventId, TransactionId, UserId, WorkspaceId, hash_uuid, timed_hash_uuid,
};
use crate::money::{Currency, MoneyError, check_amount, fee_of};

/// The chart of accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountKind {
    /// Money that businesses have paid in; stands at or below zero.
    Cash,
    /// A campaign's money, not yet earned. Owner: the campaign.
    CampaignEscrow,
    /// A creator's earnings, not yet released. Owner: the creator.
    CreatorPending,
    /// A creator's earnings, free to withdraw. Owner: the creator.
    CreatorAvailable,
    /// The platform's own earnings. Owner: the workspace. Sorted last, and so
    /// locked last: every payout of a workspace meets here.
    PlatformFee,
}

impl AccountKind {
    /// The name, as in SQL.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Cash => "cash",
            Self::CampaignEscrow => "campaign_escrow",
            Self::CreatorPending => "creator_pending",
            Self::CreatorAvailable => "creator_available",
            Self::PlatformFee => "platform_fee",
        }
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
    /// A business funded a campaign.
    Escrow,
}

impl TransactionKind {
    /// The name, as in SQL; the OROS documents' `source_type`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Campaign => "campaign",
            Self::Escrow => "escrow",
        }
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

/// How a payout is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Out of the escrow.
    pub gross_minor: i64,
    /// To the creator.
    pub creator_minor: i64,
    /// To the platform.
    pub fee_minor: i64,
}

/// Divides a payout; the parts sum to the whole.
///
/// # Errors
/// When the amount or the share is out of range.
pub fn split(gross_minor: i64, fee_bps: u16) -> Result<Split, MoneyError> {
    let fee_minor = fee_of(gross_minor, fee_bps)?;
    let creator_minor = gross_minor.checked_sub(fee_minor).ok_or(MoneyError::TooLarge)?;
    Ok(Split { gross_minor, creator_minor, fee_minor })
}

/// The posting of a payout: escrow to creator and platform.
///
/// # Errors
/// When an amount is out of range.
pub fn campaign_payout(
    credit: &Credit,
    campaign: CampaignId,
    creator: UserId,
    currency: Currency,
    split: Split,
) -> Result<Transaction, PostingError> {
    let workspace = credit.workspace;
    let account = |kind, owner| AccountKey { kind, workspace, owner, currency };
    let debit = split.gross_minor.checked_neg().ok_or(MoneyError::TooLarge)?;
    let lines = [
        (account(AccountKind::CampaignEscrow, campaign.0), debit),
        (account(AccountKind::CreatorPending, creator.0), split.creator_minor),
        (account(AccountKind::PlatformFee, workspace.0), split.fee_minor),
    ];
    let EventId(source) = credit.event;
    let lines = nonzero(lines);
    Transaction::new(TransactionKind::Campaign, workspace, source, credit.leg, credit.at_ms, lines)
}

/// The posting of a funding: cash to escrow.
///
/// # Errors
/// When the amount is out of range or not above zero.
pub fn campaign_funding(funding: &Funding) -> Result<Transaction, PostingError> {
    let workspace = funding.workspace;
    let (amount, currency) = (funding.money.amount_minor, funding.money.currency);
    let account = |kind, owner| AccountKey { kind, workspace, owner, currency };
    let debit = amount.checked_neg().ok_or(MoneyError::TooLarge)?;
    let lines = nonzero([
        (account(AccountKind::Cash, workspace.0), debit),
        (account(AccountKind::CampaignEscrow, funding.campaign.0), amount),
    ]);
    Transaction::new(TransactionKind::Escrow, workspace, funding.id(), 0, funding.at_ms, lines)
}

fn nonzero<const N: usize>(lines: [(AccountKey, i64); N]) -> Vec<Line> {
    lines
        .into_iter()
        .filter(|(_, amount_minor)| *amount_minor != 0)
        .map(|(account, amount_minor)| Line { account, amount_minor })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Money;

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
    fn splits_sum_to_the_whole() {
        for (gross, bps, creator, fee) in
            [(250, 1_000, 225, 25), (1, 5_000, 0, 1), (99, 1_500, 84, 15), (100, 10_000, 0, 100)]
        {
            let expected = Split { gross_minor: gross, creator_minor: creator, fee_minor: fee };
            assert_eq!(split(gross, bps), Ok(expected));
        }
    }

    #[test]
    fn a_funding_moves_cash_to_escrow() {
        let funding = Funding {
            external_id: "inv-1".to_owned(),
            workspace: WORKSPACE,
            campaign: CampaignId(Uuid::from_u128(5)),
            money: Money { amount_minor: 10_000, currency: usd() },
            at_ms: 7,
        };
        let transaction = campaign_funding(&funding).unwrap();
        let amounts: Vec<_> =
            transaction.lines().iter().map(|l| (l.account.kind.code(), l.amount_minor)).collect();
        assert_eq!(amounts, [("cash", -10_000), ("campaign_escrow", 10_000)]);
        assert_eq!(transaction.id(), campaign_funding(&funding).unwrap().id());
    }

    #[test]
    fn the_fee_account_sorts_last() {
        let key = |kind| AccountKey { kind, workspace: WORKSPACE, owner: Uuid::nil(), currency: usd() };
        for kind in [
            AccountKind::Cash,
            AccountKind::CampaignEscrow,
            AccountKind::CreatorPending,
            AccountKind::CreatorAvailable,
        ] {
            assert!(key(kind) < key(AccountKind::PlatformFee));
        }
    }
}
