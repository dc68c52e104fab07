//! All that a batch changes.

use std::collections::{BTreeMap, HashMap};

use crate::budget::Budget;
use crate::command::{Boost, Closing, Funding};
use crate::ids::CampaignId;
use crate::ledger::postings::{Source, WalletKey, campaign_return, clawback};
use crate::ledger::{AccountKey, PostingError, Transaction, changes_of};
use crate::limits::{Spend, Spending};
use crate::money::Money;
use crate::refund::{Clawback, Paid, Refund, Taken};
use crate::settlement::outcome::{Outcome, OutcomeKind, Payout, Quarantined};
use crate::wallet::{Wallet, quarter_of};

/// What a refund took of a creator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clawed {
    /// Whose money.
    pub wallet: WalletKey,
    /// The refund's leg.
    pub source: Source,
    /// How much.
    pub amount_minor: i64,
    /// When it had been earned, to the quarter of an hour.
    pub earned_at_ms: i64,
}

/// All that a batch changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// New outcomes, in log order.
    pub outcomes: Vec<Outcome>,
    /// New fundings, in log order.
    pub fundings: Vec<Funding>,
    /// New closings, in log order, and what went back.
    pub closings: Vec<(Closing, i64)>,
    /// New ledger transactions, in log order.
    pub transactions: Vec<Transaction>,
    /// The budgets that were touched, as they are afterwards.
    pub budgets: BTreeMap<CampaignId, Budget>,
    /// Refunds whose sale is settled: to be sent to its campaign.
    pub resolved: Vec<Clawback>,
    /// Refunds whose sale is not.
    pub parked: Vec<Refund>,
    /// What refunds took of creators, in log order.
    pub clawed: Vec<Clawed>,
    /// What limited campaigns have spent.
    pub spending: Spending,
    /// Clashing messages.
    pub quarantined: Vec<Quarantined>,
    /// Messages that had been settled before.
    pub repeats: u64,
}

impl Plan {
    /// What each account gains or loses, in lock order: fee accounts last.
    #[must_use]
    pub fn account_changes(&self) -> BTreeMap<AccountKey, i64> {
        changes_of(&self.transactions)
    }

    /// What creators earned: by wallet, and by when, to the quarter of an hour.
    #[must_use]
    pub fn earned(&self) -> BTreeMap<(WalletKey, i64), i64> {
        let mut earned: BTreeMap<(WalletKey, i64), i64> = BTreeMap::new();
        let mut earn = |workspace, creator, currency, at_ms: i64, minor: i64| {
            if minor > 0 {
                let wallet = WalletKey { workspace, creator, currency };
                let sum = earned.entry((wallet, quarter_of(at_ms))).or_default();
                *sum = sum.saturating_add(minor);
            }
        };
        for outcome in self.outcomes.iter().filter(|outcome| outcome.kind != OutcomeKind::Refund) {
            let Some((payout, creator)) = outcome.payout.zip(outcome.creator) else { continue };
            let Paid { split, currency, .. } = payout.paid;
            earn(outcome.workspace, creator, currency, outcome.at_ms, split.creator_minor);
        }
        for funding in &self.fundings {
            let Some(Boost { supporter, reward_minor }) = funding.boost else { continue };
            earn(funding.workspace, supporter, funding.money.currency, funding.at_ms, reward_minor);
        }
        earned
    }

    /// Puts what a refund takes of one leg back into the campaign's budget, or,
    /// of a payment, gives it back to the payer; `None` if that is nothing.
    pub(super) fn take_back(
        &mut self,
        refund: &Refund,
        leg: u16,
        taken: &Taken,
    ) -> Result<Option<Payout>, PostingError> {
        let Taken { of, paid: Paid { split, currency, .. }, .. } = taken;
        let (Some(creator), 1..) = (of.creator, split.gross_minor) else { return Ok(None) };
        let wallet = WalletKey { workspace: refund.workspace, creator, currency: *currency };
        let posting = clawback(refund, leg, of.campaign, wallet, *split)?;
        let mut returned_minor = 0;
        if let Some(campaign) = of.campaign {
            let Some(budget) = self.budgets.get_mut(&campaign) else { return Ok(None) };
            returned_minor = budget.restore(split.gross_minor);
            let day = self.spending.day(refund.workspace, of.at_ms);
            let gross_minor = split.gross_minor.saturating_neg();
            self.spending.count(Spend { campaign, creator, day, gross_minor });
        }
        if split.creator_minor > 0 {
            let source = Source { id: refund.event.0, leg, at_ms: refund.at_ms };
            let (amount_minor, earned_at_ms) = (split.creator_minor, quarter_of(of.at_ms));
            self.clawed.push(Clawed { wallet, source, amount_minor, earned_at_ms });
        }
        let back = Paid { split: split.negated(), ..taken.paid };
        let payout = Payout { paid: back, transaction: posting.id() };
        self.transactions.push(posting);
        if let (Some(campaign), 1..) = (of.campaign, returned_minor) {
            let money = Money { amount_minor: returned_minor, currency: *currency };
            let source = Source { id: refund.event.0, leg, at_ms: refund.at_ms };
            self.transactions.push(campaign_return(refund.workspace, campaign, money, source)?);
        }
        Ok(Some(payout))
    }

    /// Covers what refunds took of creators out of their `wallets`, as they
    /// stand in the database. `held_until_ms` says of each of
    /// [`Self::clawed`] until when those earnings are held. Gives what is no
    /// longer held: wallet, until when, how much.
    ///
    /// This alone depends on more than the log, so it comes after all that
    /// does not.
    ///
    /// # Errors
    /// When an amount is out of range.
    pub fn repay(
        &mut self,
        wallets: &mut HashMap<WalletKey, Wallet>,
        held_until_ms: &[i64],
    ) -> Result<Vec<(WalletKey, i64, i64)>, PostingError> {
        let mut freed = Vec::new();
        for (clawed, until_ms) in self.clawed.iter().zip(held_until_ms) {
            let repayment = wallets.entry(clawed.wallet).or_default().owe(clawed.amount_minor, *until_ms);
            self.transactions.extend(repayment.posting(clawed.wallet, clawed.source)?);
            if repayment.from_held_minor > 0 {
                freed.push((clawed.wallet, *until_ms, repayment.from_held_minor));
            }
        }
        Ok(freed)
    }
}
