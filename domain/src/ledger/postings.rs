//! Which lines each thing that happens leads to. What comes out balances, or
//! does not come out.
//!
//! | what | from | to |
//! |---|---|---|
//! | a campaign is funded | cash | escrow |
//! | a supporter boosts it | cash | escrow, supporter's pending |
//! | a payout is earned | escrow | creator's pending, platform fee |
//! | somebody pays a creator | cash | creator's pending, platform fee, processor fee |
//! | a refund takes it back | creator's debt, platform fee, processor fee | escrow, cash |
//! | a closed campaign gives back what is left | escrow | cash |
//! | the debt is repaid | creator's pending, available | creator's debt |
//! | a hold ends | creator's pending | creator's debt, available |
//! | money is asked for | creator's available | creator's in transit |
//! | it arrives | creator's in transit | creator's paid |
//! | it does not | creator's in transit | creator's debt, available |

use uuid::Uuid;

use super::{AccountKey, AccountKind, Line, PostingError, Transaction, TransactionKind};
use crate::command::{Credit, Funding};
use crate::ids::{CampaignId, EventId, UserId, WorkspaceId};
use crate::money::{Currency, Money, MoneyError, fee_of};
use crate::refund::Refund;

/// How a payout is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Out of the escrow; of a payment, out of what came in.
    pub gross_minor: i64,
    /// To the creator.
    pub creator_minor: i64,
    /// To the platform.
    pub fee_minor: i64,
    /// Of a payment, to its processor.
    pub other_minor: i64,
}

impl Split {
    /// What these parts are of.
    #[must_use]
    pub fn of_parts(creator_minor: i64, fee_minor: i64, other_minor: i64) -> Self {
        let gross_minor = creator_minor.saturating_add(fee_minor).saturating_add(other_minor);
        Self { gross_minor, creator_minor, fee_minor, other_minor }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            gross_minor: self.gross_minor.saturating_add(other.gross_minor),
            creator_minor: self.creator_minor.saturating_add(other.creator_minor),
            fee_minor: self.fee_minor.saturating_add(other.fee_minor),
            other_minor: self.other_minor.saturating_add(other.other_minor),
        }
    }

    /// The same parts, moved so little that they sum to `gross_minor` and none is
    /// below 0 or beyond what is left of `of` after `taken`. The platform's moves
    /// first, the creator's last.
    #[must_use]
    pub fn summing_to(self, gross_minor: i64, of: Self, taken: Self) -> Self {
        let left = |of: i64, taken: i64| of.saturating_sub(taken).max(0);
        let mut parts = [
            (self.fee_minor, left(of.fee_minor, taken.fee_minor)),
            (self.other_minor, left(of.other_minor, taken.other_minor)),
            (self.creator_minor, left(of.creator_minor, taken.creator_minor)),
        ];
        for (part, left) in &mut parts {
            *part = (*part).clamp(0, *left);
        }
        let sum = parts.iter().fold(0_i64, |sum, (part, _)| sum.saturating_add(*part));
        let mut missing = gross_minor.saturating_sub(sum);
        for (part, left) in &mut parts {
            let moved = part.saturating_add(missing).clamp(0, *left);
            missing = missing.saturating_sub(moved.saturating_sub(*part));
            *part = moved;
        }
        let [(fee_minor, _), (other_minor, _), (creator_minor, _)] = parts;
        Self::of_parts(creator_minor, fee_minor, other_minor)
    }

    /// The same, back.
    #[must_use]
    pub fn negated(self) -> Self {
        Self {
            gross_minor: self.gross_minor.saturating_neg(),
            creator_minor: self.creator_minor.saturating_neg(),
            fee_minor: self.fee_minor.saturating_neg(),
            other_minor: self.other_minor.saturating_neg(),
        }
    }
}

/// Divides a payout, of which `other_minor` is somebody else's; the parts sum to
/// the whole, and none is below 0.
///
/// # Errors
/// When the amount or the share is out of range.
pub fn split(gross_minor: i64, fee_bps: u16, other_minor: i64) -> Result<Split, MoneyError> {
    let fee_minor = fee_of(gross_minor, fee_bps)?;
    let rest_minor = gross_minor.checked_sub(fee_minor).and_then(|rest| rest.checked_sub(other_minor));
    match rest_minor {
        Some(creator_minor) if creator_minor >= 0 && other_minor >= 0 => {
            Ok(Split { gross_minor, creator_minor, fee_minor, other_minor })
        }
        _ => Err(MoneyError::TooLarge),
    }
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

/// The posting of a payment: cash to payee, platform and processor.
///
/// # Errors
/// When an amount is out of range.
pub fn payment(credit: &Credit, payee: WalletKey, split: Split) -> Result<Transaction, PostingError> {
    let WalletKey { workspace, currency, .. } = payee;
    let account = |kind| AccountKey { kind, workspace, owner: workspace.0, currency };
    let debit = split.gross_minor.checked_neg().ok_or(MoneyError::TooLarge)?;
    let lines = nonzero([
        (account(AccountKind::Cash), debit),
        (payee.account(AccountKind::CreatorPending), split.creator_minor),
        (account(AccountKind::ProcessorFee), split.other_minor),
        (account(AccountKind::PlatformFee), split.fee_minor),
    ]);
    let EventId(source) = credit.event;
    Transaction::new(TransactionKind::Payment, workspace, source, credit.leg, credit.at_ms, lines)
}

/// The posting of a funding: cash to escrow, less what a supporter gets back.
///
/// # Errors
/// When the amount is out of range or not above zero.
pub fn campaign_funding(funding: &Funding) -> Result<Transaction, PostingError> {
    let workspace = funding.workspace;
    let (amount, currency) = (funding.money.amount_minor, funding.money.currency);
    let account = |kind, owner| AccountKey { kind, workspace, owner, currency };
    let debit = amount.checked_neg().ok_or(MoneyError::TooLarge)?;
    let (supporter, reward_minor) =
        funding.boost.map_or((workspace.0, 0), |boost| (boost.supporter.0, boost.reward_minor));
    let lines = nonzero([
        (account(AccountKind::Cash, workspace.0), debit),
        (account(AccountKind::CampaignEscrow, funding.campaign.0), funding.escrow_minor()),
        (account(AccountKind::CreatorPending, supporter), reward_minor),
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

/// A creator's money in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalletKey {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Whose it is.
    pub creator: UserId,
    /// Its currency.
    pub currency: Currency,
}

impl WalletKey {
    /// One of its accounts.
    #[must_use]
    pub fn account(&self, kind: AccountKind) -> AccountKey {
        AccountKey { kind, workspace: self.workspace, owner: self.creator.0, currency: self.currency }
    }

    /// The accounts that tell how it stands: whoever moves money in a wallet
    /// locks them.
    #[must_use]
    pub fn balances(&self) -> [AccountKey; 3] {
        [AccountKind::CreatorPending, AccountKind::CreatorAvailable, AccountKind::CreatorDebt]
            .map(|kind| self.account(kind))
    }
}

/// The posting of what a refund takes back of one leg: creator and platform to
/// escrow, or, of a payment, also its processor, to cash. What the creator gives
/// is owed at first; a repayment follows.
///
/// # Errors
/// When an amount is out of range.
pub fn clawback(
    refund: &Refund,
    leg: u16,
    campaign: Option<CampaignId>,
    wallet: WalletKey,
    split: Split,
) -> Result<Transaction, PostingError> {
    let WalletKey { workspace, currency, .. } = wallet;
    let account = |kind, owner| AccountKey { kind, workspace, owner, currency };
    let back = split.negated();
    let to = match campaign {
        Some(campaign) => account(AccountKind::CampaignEscrow, campaign.0),
        None => account(AccountKind::Cash, workspace.0),
    };
    let lines = nonzero([
        (to, split.gross_minor),
        (wallet.account(AccountKind::CreatorDebt), back.creator_minor),
        (account(AccountKind::ProcessorFee, workspace.0), back.other_minor),
        (account(AccountKind::PlatformFee, workspace.0), back.fee_minor),
    ]);
    Transaction::new(TransactionKind::Refund, workspace, refund.event.0, leg, refund.at_ms, lines)
}

/// The posting of what a closed campaign gives back: escrow to cash. `source` is
/// the closing, or the refund that came after it.
///
/// # Errors
/// When the amount is out of range or not above zero.
pub fn campaign_return(
    workspace: WorkspaceId,
    campaign: CampaignId,
    money: Money,
    source: Source,
) -> Result<Transaction, PostingError> {
    let Money { amount_minor, currency } = money;
    let account = |kind, owner| AccountKey { kind, workspace, owner, currency };
    let lines = nonzero([
        (account(AccountKind::Cash, workspace.0), amount_minor),
        (account(AccountKind::CampaignEscrow, campaign.0), amount_minor.saturating_neg()),
    ]);
    Transaction::new(TransactionKind::Return, workspace, source.id, source.leg, source.at_ms, lines)
}

/// Where a movement comes from: a refund's leg, a bucket, a withdrawal, a
/// closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its id.
    pub id: Uuid,
    /// Its leg, if it has any.
    pub leg: u16,
    /// Its time.
    pub at_ms: i64,
}

/// A movement between the accounts of one wallet. Changes of 0 are left out.
///
/// # Errors
/// When the changes do not sum to 0, or nothing moves.
pub fn within_wallet<const N: usize>(
    kind: TransactionKind,
    wallet: WalletKey,
    source: Source,
    changes: [(AccountKind, i64); N],
) -> Result<Transaction, PostingError> {
    let lines = nonzero(changes.map(|(kind, amount_minor)| (wallet.account(kind), amount_minor)));
    Transaction::new(kind, wallet.workspace, source.id, source.leg, source.at_ms, lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Boost;

    const WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));

    fn usd() -> Currency {
        Currency::new("USD").unwrap()
    }

    #[test]
    fn splits_sum_to_the_whole() {
        for (gross, bps, other, creator, fee) in [
            (250, 1_000, 0, 225, 25),
            (1, 5_000, 0, 0, 1),
            (99, 1_500, 0, 84, 15),
            (100, 10_000, 0, 0, 100),
            (100, 1_000, 33, 57, 10),
            (100, 1_000, 90, 0, 10),
        ] {
            let expected =
                Split { gross_minor: gross, creator_minor: creator, fee_minor: fee, other_minor: other };
            assert_eq!(split(gross, bps, other), Ok(expected));
            assert_eq!(Split::of_parts(creator, fee, other), expected);
        }
        for (bps, other) in [(1_000, 91), (0, 101), (0, -1)] {
            assert_eq!(split(100, bps, other), Err(MoneyError::TooLarge));
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
            boost: None,
        };
        let transaction = campaign_funding(&funding).unwrap();
        let amounts: Vec<_> =
            transaction.lines().iter().map(|l| (l.account.kind.code(), l.amount_minor)).collect();
        assert_eq!(amounts, [("cash", -10_000), ("campaign_escrow", 10_000)]);
        assert_eq!(transaction.id(), campaign_funding(&funding).unwrap().id());
        let boost = Boost { supporter: UserId(Uuid::from_u128(9)), reward_minor: 500 };
        let boosted = campaign_funding(&Funding { boost: Some(boost), ..funding }).unwrap();
        let amounts: Vec<_> =
            boosted.lines().iter().map(|l| (l.account.kind.code(), l.amount_minor)).collect();
        assert_eq!(amounts, [("cash", -10_000), ("campaign_escrow", 9_500), ("creator_pending", 500)]);
    }
}
