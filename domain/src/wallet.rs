//! A creator's money after it was earned: held, released, owed back, withdrawn.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ledger::postings::{Source, WalletKey, within_wallet};
use crate::ledger::{AccountKind, PostingError, Transaction, TransactionKind};

/// Holds begin and end at whole quarters of an hour, as the days of all time
/// zones do.
const QUARTER_MS: i64 = 15 * 60 * 1_000;

/// The quarter of an hour that a moment is in, by its beginning: all its
/// earnings are held until the same moment.
#[must_use]
pub fn quarter_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(QUARTER_MS).saturating_mul(QUARTER_MS)
}

/// A wallet as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wallet {
    /// Free to withdraw.
    pub available_minor: i64,
    /// Owed back; not below 0. If there is any, nothing is available.
    pub debt_minor: i64,
    /// What is held, by the moment until which it is (milliseconds since 1970).
    pub held_minor: BTreeMap<i64, i64>,
}

/// What covers a debt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repayment {
    /// Out of what was still held of the same earnings.
    pub from_held_minor: i64,
    /// Out of what is available.
    pub from_available_minor: i64,
}

impl Wallet {
    /// Takes on a debt for earnings held until `held_until_ms`, and covers what
    /// it can: those earnings, if they are still held, then what is available.
    /// The rest stays owed, and is covered by what is released next.
    pub fn owe(&mut self, amount_minor: i64, held_until_ms: i64) -> Repayment {
        self.debt_minor = self.debt_minor.saturating_add(amount_minor);
        let mut cover = |from: &mut i64| {
            let part = (*from).clamp(0, self.debt_minor);
            *from = from.saturating_sub(part);
            self.debt_minor = self.debt_minor.saturating_sub(part);
            part
        };
        let from_held_minor = self.held_minor.get_mut(&held_until_ms).map_or(0, &mut cover);
        let from_available_minor = cover(&mut self.available_minor);
        Repayment { from_held_minor, from_available_minor }
    }
}

impl Repayment {
    /// Its posting; none, if it covers nothing.
    ///
    /// # Errors
    /// When an amount is out of range.
    pub fn posting(self, wallet: WalletKey, source: Source) -> Result<Option<Transaction>, PostingError> {
        let Self { from_held_minor, from_available_minor } = self;
        let covered_minor = from_held_minor.saturating_add(from_available_minor);
        if covered_minor == 0 {
            return Ok(None);
        }
        let changes = [
            (AccountKind::CreatorPending, from_held_minor.saturating_neg()),
            (AccountKind::CreatorAvailable, from_available_minor.saturating_neg()),
            (AccountKind::CreatorDebt, covered_minor),
        ];
        within_wallet(TransactionKind::Repayment, wallet, source, changes).map(Some)
    }
}

/// Money that becomes free covers what is owed first.
///
/// # Errors
/// When an amount is out of range, or nothing is freed.
fn set_free(
    kind: TransactionKind,
    from: AccountKind,
    amount_minor: i64,
    debt_minor: i64,
    wallet: WalletKey,
    source: Source,
) -> Result<Transaction, PostingError> {
    let to_debt_minor = amount_minor.clamp(0, debt_minor.max(0));
    let changes = [
        (from, amount_minor.saturating_neg()),
        (AccountKind::CreatorDebt, to_debt_minor),
        (AccountKind::CreatorAvailable, amount_minor.saturating_sub(to_debt_minor)),
    ];
    within_wallet(kind, wallet, source, changes)
}

/// The posting of the end of a hold, of a creator who owes `debt_minor`.
///
/// # Errors
/// When an amount is out of range, or nothing was held.
pub fn release(
    amount_minor: i64,
    debt_minor: i64,
    wallet: WalletKey,
    source: Source,
) -> Result<Transaction, PostingError> {
    let (kind, from) = (TransactionKind::Release, AccountKind::CreatorPending);
    set_free(kind, from, amount_minor, debt_minor, wallet, source)
}

/// How money is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Method {
    Ach,
    Instant,
    Card,
    BankTransfer,
    Stripe,
    Paypal,
    /// Spent on the platform itself.
    Wallet,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Ach, Self::Instant, Self::Card, Self::BankTransfer, Self::Stripe, Self::Paypal, Self::Wallet];

    /// The name, as in JSON and SQL.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Ach => "ach",
            Self::Instant => "instant",
            Self::Card => "card",
            Self::BankTransfer => "bank_transfer",
            Self::Stripe => "stripe",
            Self::Paypal => "paypal",
            Self::Wallet => "wallet",
        }
    }
}

/// Where a withdrawal stands. It only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalStatus {
    /// Asked for; the money is set aside.
    Requested,
    /// Approved, and on its way.
    Processing,
    /// It arrived.
    Completed,
    /// It did not; the creator has it back.
    Failed,
    /// Called off before it was approved; the creator has it back.
    Cancelled,
}

impl WithdrawalStatus {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Requested, Self::Processing, Self::Completed, Self::Failed, Self::Cancelled];

    /// The name, as in JSON and SQL.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// Whether it may become `next`.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Requested => matches!(next, Self::Processing | Self::Cancelled),
            Self::Processing => matches!(next, Self::Completed | Self::Failed),
            Self::Completed | Self::Failed | Self::Cancelled => false,
        }
    }
}

/// The posting of a withdrawal's step: of `amount_minor` of a creator who owes
/// `debt_minor`. Approval moves no money.
///
/// # Errors
/// When an amount is out of range.
pub fn withdrawal_step(
    status: WithdrawalStatus,
    amount_minor: i64,
    debt_minor: i64,
    wallet: WalletKey,
    source: Source,
) -> Result<Option<Transaction>, PostingError> {
    let step = |kind, from, to| {
        let changes = [(from, amount_minor.saturating_neg()), (to, amount_minor)];
        within_wallet(kind, wallet, source, changes).map(Some)
    };
    let in_transit = AccountKind::CreatorInTransit;
    match status {
        WithdrawalStatus::Processing => Ok(None),
        WithdrawalStatus::Requested => {
            step(TransactionKind::Withdrawal, AccountKind::CreatorAvailable, in_transit)
        }
        WithdrawalStatus::Completed => {
            step(TransactionKind::WithdrawalCompleted, in_transit, AccountKind::CreatorPaid)
        }
        WithdrawalStatus::Failed | WithdrawalStatus::Cancelled => {
            let kind = TransactionKind::WithdrawalReturned;
            set_free(kind, in_transit, amount_minor, debt_minor, wallet, source).map(Some)
        }
    }
}

/// What a workspace asks of a withdrawal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithdrawalPolicy {
    /// No less is sent.
    pub minimum_minor: i64,
    /// Documents that the creator must have, approved: `w9`, `invoice`,
    /// `id_verification`.
    pub required_documents: Vec<String>,
}

/// Why a withdrawal is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WithdrawalRefusal {
    /// Nothing is asked for.
    #[error("the amount must be above 0")]
    NotPositive,
    /// Too little.
    #[error("the least that is sent is {minimum_minor} minor units")]
    BelowMinimum {
        /// The least.
        minimum_minor: i64,
    },
    /// The creator's payouts are on hold.
    #[error("payouts to this creator are on hold")]
    OnHold,
    /// Refunds are not paid back yet.
    #[error("{debt_minor} minor units are owed for refunds; earnings cover them first")]
    InDebt {
        /// How much.
        debt_minor: i64,
    },
    /// Documents are missing.
    #[error("these documents are not approved yet: {}", .0.join(", "))]
    MissingDocuments(Vec<String>),
    /// More than there is.
    #[error("only {available_minor} minor units are available")]
    Insufficient {
        /// How much there is.
        available_minor: i64,
    },
}

impl WithdrawalRefusal {
    /// The code for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotPositive => "amount_not_positive",
            Self::BelowMinimum { .. } => "below_minimum",
            Self::OnHold => "on_hold",
            Self::InDebt { .. } => "in_debt",
            Self::MissingDocuments(_) => "missing_documents",
            Self::Insufficient { .. } => "insufficient_funds",
        }
    }
}

/// Whether `amount_minor` may be withdrawn from `wallet`, whose creator has the
/// approved `documents`.
///
/// # Errors
/// The first reason why not.
pub fn check_withdrawal(
    amount_minor: i64,
    wallet: &Wallet,
    policy: &WithdrawalPolicy,
    documents: &[String],
    is_on_hold: bool,
) -> Result<(), WithdrawalRefusal> {
    let missing: Vec<String> =
        policy.required_documents.iter().filter(|kind| !documents.contains(kind)).cloned().collect();
    if amount_minor <= 0 {
        Err(WithdrawalRefusal::NotPositive)
    } else if amount_minor < policy.minimum_minor {
        Err(WithdrawalRefusal::BelowMinimum { minimum_minor: policy.minimum_minor })
    } else if is_on_hold {
        Err(WithdrawalRefusal::OnHold)
    } else if wallet.debt_minor > 0 {
        Err(WithdrawalRefusal::InDebt { debt_minor: wallet.debt_minor })
    } else if !missing.is_empty() {
        Err(WithdrawalRefusal::MissingDocuments(missing))
    } else if amount_minor > wallet.available_minor {
        Err(WithdrawalRefusal::Insufficient { available_minor: wallet.available_minor })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ids::{UserId, WorkspaceId};
    use crate::money::Currency;

    fn key() -> WalletKey {
        WalletKey {
            workspace: WorkspaceId(Uuid::from_u128(1)),
            creator: UserId(Uuid::from_u128(7)),
            currency: Currency::new("USD").unwrap(),
        }
    }

    fn source() -> Source {
        Source { id: Uuid::from_u128(9), leg: 0, at_ms: 5 }
    }

    fn lines(transaction: &Transaction) -> Vec<(&'static str, i64)> {
        transaction.lines().iter().map(|line| (line.account.kind.code(), line.amount_minor)).collect()
    }

    #[test]
    fn a_debt_is_covered_by_its_own_earnings_first() {
        // Held until 100, available; owed: from held, from available, left owed.
        for (held, available, owed, expected) in [
            (50, 0, 30, (30, 0, 0)),
            (50, 70, 50, (50, 0, 0)),
            (0, 70, 50, (0, 50, 0)),
            (20, 10, 50, (20, 10, 20)),
            (0, 0, 50, (0, 0, 50)),
        ] {
            let held_minor = BTreeMap::from([(100, held), (200, 1_000)]);
            let mut wallet = Wallet { available_minor: available, debt_minor: 0, held_minor };
            let repayment = wallet.owe(owed, 100);
            let is = (repayment.from_held_minor, repayment.from_available_minor, wallet.debt_minor);
            assert_eq!(is, expected, "{held} {available} {owed}");
            assert_eq!(wallet.held_minor, BTreeMap::from([(100, held - expected.0), (200, 1_000)]));
            assert!(wallet.debt_minor == 0 || wallet.available_minor == 0);
            let posting = repayment.posting(key(), source()).unwrap();
            assert_eq!(posting.is_none(), expected.0 + expected.1 == 0);
        }
    }

    #[test]
    fn what_is_freed_pays_debts_first() {
        let freed = |amount, debt| lines(&release(amount, debt, key(), source()).unwrap());
        assert_eq!(freed(10, 0), [("creator_pending", -10), ("creator_available", 10)]);
        assert_eq!(freed(10, 4), [("creator_pending", -10), ("creator_debt", 4), ("creator_available", 6)]);
        assert_eq!(freed(10, 40), [("creator_pending", -10), ("creator_debt", 10)]);
        assert!(release(0, 0, key(), source()).is_err());
    }

    #[test]
    fn withdrawals_move_forward_alone() {
        use WithdrawalStatus as S;
        let forward = [
            (S::Requested, S::Processing),
            (S::Requested, S::Cancelled),
            (S::Processing, S::Completed),
            (S::Processing, S::Failed),
        ];
        for from in S::ALL {
            for to in S::ALL {
                assert_eq!(from.may_become(to), forward.contains(&(from, to)), "{from:?} {to:?}");
            }
        }
        let step = |status, debt| {
            let posting = withdrawal_step(status, 10, debt, key(), source()).unwrap();
            posting.as_ref().map(lines).unwrap_or_default()
        };
        assert_eq!(step(S::Requested, 0), [("creator_available", -10), ("creator_in_transit", 10)]);
        assert_eq!(step(S::Processing, 0), []);
        assert_eq!(step(S::Completed, 0), [("creator_in_transit", -10), ("creator_paid", 10)]);
        assert_eq!(step(S::Cancelled, 0), [("creator_in_transit", -10), ("creator_available", 10)]);
        assert_eq!(
            step(S::Failed, 3),
            [("creator_in_transit", -10), ("creator_debt", 3), ("creator_available", 7)]
        );
    }

    #[test]
    fn what_may_be_withdrawn() {
        let policy = WithdrawalPolicy {
            minimum_minor: 5_000,
            required_documents: vec!["w9".to_owned(), "invoice".to_owned()],
        };
        let wallet =
            |available_minor, debt_minor| Wallet { available_minor, debt_minor, ..Wallet::default() };
        let both = ["w9".to_owned(), "invoice".to_owned()];
        for (amount, wallet, documents, is_on_hold, code) in [
            (5_000, wallet(5_000, 0), &both[..], false, None),
            (0, wallet(5_000, 0), &both, false, Some("amount_not_positive")),
            (-1, wallet(5_000, 0), &both, false, Some("amount_not_positive")),
            (4_999, wallet(5_000, 0), &both, false, Some("below_minimum")),
            (5_001, wallet(5_000, 0), &both, false, Some("insufficient_funds")),
            (5_000, wallet(5_000, 0), &both, true, Some("on_hold")),
            (5_000, wallet(0, 1), &both, false, Some("in_debt")),
            (5_000, wallet(5_000, 0), &both[..1], false, Some("missing_documents")),
        ] {
            let refusal = check_withdrawal(amount, &wallet, &policy, documents, is_on_hold).err();
            assert_eq!(refusal.as_ref().map(WithdrawalRefusal::code), code, "{amount}");
        }
    }
}
