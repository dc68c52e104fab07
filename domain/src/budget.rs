//! What a campaign can still pay. Never a minor unit more than was funded.

use crate::ids::{CampaignId, WorkspaceId};
use crate::money::{Currency, MoneyError, check_amount};

/// A campaign's budget, in minor units of its currency.
/// `funded = available + spent + returned`, always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The campaign.
    pub campaign: CampaignId,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// The only currency it holds.
    pub currency: Currency,
    /// All that was ever put in.
    pub funded_minor: i64,
    /// What is left to spend.
    pub available_minor: i64,
    /// What was paid out, less what came back by refunds.
    pub spent_minor: i64,
    /// What went back to the business.
    pub returned_minor: i64,
    /// The time of the event that used it up or was the first it could not
    /// pay; a later funding clears it.
    pub exhausted_at_ms: Option<i64>,
    /// When it was closed: it takes no more money, and holds none.
    pub closed_at_ms: Option<i64>,
}

impl Budget {
    /// An empty budget.
    #[must_use]
    pub fn new(campaign: CampaignId, workspace: WorkspaceId, currency: Currency) -> Self {
        Self {
            campaign,
            workspace,
            currency,
            funded_minor: 0,
            available_minor: 0,
            spent_minor: 0,
            returned_minor: 0,
            exhausted_at_ms: None,
            closed_at_ms: None,
        }
    }

    /// Adds money.
    ///
    /// # Errors
    /// When the total goes beyond the limit of an amount.
    pub fn fund(&mut self, amount_minor: i64) -> Result<(), MoneyError> {
        let funded = self.funded_minor.checked_add(amount_minor).ok_or(MoneyError::TooLarge)?;
        self.funded_minor = check_amount(funded)?;
        // Available is at most funded, so this cannot overflow either.
        self.available_minor = self.available_minor.saturating_add(amount_minor);
        self.exhausted_at_ms = None;
        Ok(())
    }

    /// Puts back `gross_minor` that was paid for what is refunded; gives how
    /// much of it goes on to the business, because the budget is closed.
    pub fn restore(&mut self, gross_minor: i64) -> i64 {
        self.spent_minor = self.spent_minor.saturating_sub(gross_minor);
        self.available_minor = self.available_minor.saturating_add(gross_minor);
        if self.closed_at_ms.is_some() {
            return self.give_back();
        }
        self.exhausted_at_ms = None;
        0
    }

    /// Closes it; gives what goes back to the business.
    pub fn close(&mut self, at_ms: i64) -> i64 {
        self.closed_at_ms = self.closed_at_ms.or(Some(at_ms));
        self.exhausted_at_ms = self.exhausted_at_ms.or(Some(at_ms));
        self.give_back()
    }

    fn give_back(&mut self) -> i64 {
        let left_minor = std::mem::take(&mut self.available_minor);
        self.returned_minor = self.returned_minor.saturating_add(left_minor);
        left_minor
    }

    /// Takes `gross_minor` out for an action at `at_ms`, if there is enough.
    /// Nothing is ever paid in part.
    #[must_use]
    pub fn admit(&mut self, gross_minor: i64, at_ms: i64) -> bool {
        let left = match self.available_minor.checked_sub(gross_minor) {
            Some(left) if gross_minor > 0 && left >= 0 => left,
            _ => {
                self.exhausted_at_ms = self.exhausted_at_ms.or(Some(at_ms));
                return false;
            }
        };
        self.available_minor = left;
        self.spent_minor = self.spent_minor.saturating_add(gross_minor);
        if left == 0 {
            self.exhausted_at_ms = self.exhausted_at_ms.or(Some(at_ms));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn budget() -> Budget {
        let currency = Currency::new("USD").unwrap();
        Budget::new(CampaignId(Uuid::nil()), WorkspaceId(Uuid::nil()), currency)
    }

    #[test]
    fn a_closed_budget_holds_nothing() {
        let mut budget = budget();
        budget.fund(1_000).unwrap();
        assert!(budget.admit(300, 1));
        assert_eq!((budget.close(5), budget.close(6)), (700, 0));
        assert_eq!(budget.restore(100), 100);
        assert!(!budget.admit(1, 7));
        assert_eq!((budget.available_minor, budget.spent_minor, budget.returned_minor), (0, 200, 800));
        assert_eq!(budget.closed_at_ms, Some(5));
    }

    #[test]
    fn ten_payouts_fit_ten_times() {
        let mut budget = budget();
        budget.fund(1_000).unwrap();
        let admitted = (0..1_000).filter(|at| budget.admit(100, *at)).count();
        assert_eq!(admitted, 10);
        assert_eq!((budget.available_minor, budget.spent_minor), (0, 1_000));
        assert_eq!(budget.exhausted_at_ms, Some(9));
    }

    proptest! {
        #[test]
        fn never_overspent(steps in prop::collection::vec((any::<bool>(), -5..500_i64), 0..200)) {
            let mut budget = budget();
            for (at, (fund, amount)) in steps.into_iter().enumerate() {
                if fund && amount > 0 {
                    budget.fund(amount).unwrap();
                } else {
                    let before = budget.available_minor;
                    let admitted = budget.admit(amount, i64::try_from(at).unwrap());
                    prop_assert_eq!(admitted, amount > 0 && amount <= before);
                }
                prop_assert!(budget.available_minor >= 0);
                prop_assert_eq!(
                    budget.funded_minor,
                    budget.available_minor + budget.spent_minor + budget.returned_minor
                );
            }
        }
    }
}
