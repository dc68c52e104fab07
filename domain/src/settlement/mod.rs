//! Commands, in the order of the log, to outcomes and postings. Pure: the
//! caller gathers what is known, and writes the plan down in one transaction.
//!
//! | module | job |
//! |---|---|
//! | `books` | what the database is asked, and answers |
//! | here | decides on each command in turn |
//! | `outcome` | what is decided of an action or refund |
//! | `plan` | what all of it changes |

mod books;
mod outcome;
mod plan;

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

pub use self::books::{
    Books, Known, Moment, Orders, campaigns_of, ids_of, limited_campaigns_of, moments_of, new_budgets,
    orders_of, shared_legs_of,
};
pub use self::outcome::{Outcome, OutcomeKind, Payout, Quarantined, Status};
pub use self::plan::{Clawed, Plan};
use crate::command::{Closing, Command, Credit, CreditKind, Decision, Funding, Reason};
use crate::dedupe::{Arrival, arrival};
use crate::ledger::postings::{
    Source, WalletKey, campaign_funding, campaign_payout, campaign_return, payment, split,
};
use crate::limits::Spend;
use crate::money::{Currency, Money};
use crate::refund::{Clawback, Order, Paid, Refund};

/// The reason of a message whose id came with another payload before.
const CLASH: &str = "same id, other payload";

/// Settles `commands`, which come in the order of the log.
///
/// A payout that cannot be posted because its amounts are out of range, which
/// attribution must never write, is quarantined.
#[must_use]
pub fn settle(commands: &[Command], books: Books) -> Plan {
    let Books { mut known, mut budgets, orders, waiting, spending, paid } = books;
    for budget in new_budgets(commands) {
        budgets.entry(budget.campaign).or_insert(budget);
    }
    let plan = Plan { budgets, spending, ..Plan::default() };
    let mut work = Work { plan, orders, waiting, paid };
    for command in commands {
        if let Command::Refund(refund) = command {
            // It is only sent on, which may happen twice.
            work.route(refund);
            continue;
        }
        let id = command.id();
        let payload_hash = command.payload_hash();
        match arrival(known.get(&id).map(String::as_str), &payload_hash) {
            Arrival::Repeat => {
                work.plan.repeats = work.plan.repeats.saturating_add(1);
                continue;
            }
            Arrival::Clash => {
                quarantine(&mut work.plan, command, CLASH);
                continue;
            }
            Arrival::First => {}
        }
        let settled = match command {
            Command::Credit(credit) => work.credit(credit),
            Command::Fund(funding) => settle_funding(&mut work.plan, funding),
            Command::Close(closing) => settle_closing(&mut work.plan, closing),
            Command::Clawback(clawback) => work.claw_back(clawback),
            Command::Refund(_) => Ok(()),
        };
        match settled {
            Ok(()) => {
                let legs = work.plan.outcomes.iter().rev().take_while(|outcome| outcome.event.0 == id.0);
                known.extend(legs.map(|outcome| ((id.0, outcome.leg), payload_hash.clone())));
                known.insert(id, payload_hash);
            }
            Err(reason) => quarantine(&mut work.plan, command, reason),
        }
    }
    let Work { mut plan, waiting, .. } = work;
    // Those whose sale came later in the batch wait no longer.
    plan.parked.retain(|refund| waiting.contains_key(&refund.order));
    plan
}

fn quarantine(plan: &mut Plan, command: &Command, reason: &'static str) {
    let (id, leg) = command.id();
    plan.quarantined.push(Quarantined {
        id,
        leg,
        workspace: command.workspace(),
        payload_hash: command.payload_hash(),
        reason,
        command: command.clone(),
    });
}

/// A plan in the making, and the orders that it goes by.
struct Work {
    plan: Plan,
    orders: HashMap<Uuid, Order>,
    waiting: HashMap<Uuid, Vec<Refund>>,
    paid: HashSet<(Uuid, u16)>,
}

impl Work {
    /// Whether a credit rewards the sharing of what was not paid itself.
    fn is_unpaid_sharing(&self, credit: &Credit) -> bool {
        let Some(leg) = credit.shared_leg() else { return false };
        // It stands right before, if it is in this batch.
        let mut settled = self.plan.outcomes.iter().rev();
        match settled.find(|outcome| outcome.event == credit.event && outcome.leg == leg) {
            Some(outcome) => outcome.status != Status::Posted,
            None => !self.paid.contains(&(credit.event.0, leg)),
        }
    }

    /// Sends a refund to its sale's campaign, or parks it.
    fn route(&mut self, refund: &Refund) {
        match self.orders.get(&refund.order) {
            Some(order) if order.is_settled() => {
                self.plan.resolved.push(order.clawback(refund.clone()));
            }
            _ => {
                self.waiting.entry(refund.order).or_default().push(refund.clone());
                self.plan.parked.push(refund.clone());
            }
        }
    }

    fn credit(&mut self, credit: &Credit) -> Result<(), &'static str> {
        if self.is_unpaid_sharing(credit) {
            let decision = Decision::Rejected { reason: Reason::SharedUnpaid };
            settle_credit(&mut self.plan, &Credit { decision, ..credit.clone() })?;
        } else {
            settle_credit(&mut self.plan, credit)?;
        }
        let outcome = self.plan.outcomes.last();
        let Some((sold, key)) = outcome.and_then(Outcome::sold).zip(credit.order) else { return Ok(()) };
        let Some(order) = self.orders.get_mut(&key) else { return Ok(()) };
        order.sold.push(sold);
        if order.is_settled() {
            let refunds = self.waiting.remove(&key).unwrap_or_default();
            self.plan.resolved.extend(refunds.into_iter().map(|refund| order.clawback(refund)));
        }
        Ok(())
    }

    /// Takes back what was paid for a refunded order.
    fn claw_back(&mut self, clawback: &Clawback) -> Result<(), &'static str> {
        let Clawback { refund, campaign } = clawback;
        let order = self.orders.entry(refund.order).or_default();
        let taken = match order.take_back(refund, *campaign) {
            Ok(taken) => taken,
            Err(reason) => {
                self.plan.outcomes.push(Outcome::of_unpaid(refund, *campaign, reason));
                return Ok(());
            }
        };
        let legs = u16::try_from(taken.len()).unwrap_or(u16::MAX);
        for (taken, leg) in taken.into_iter().zip(0_u16..) {
            let payout = self.plan.take_back(refund, leg, &taken).map_err(|_error| OUT_OF_RANGE)?;
            let value = taken
                .of
                .value
                .map(|value| Money { amount_minor: taken.value_minor.saturating_neg(), ..value });
            let nothing = Outcome::of_unpaid(refund, *campaign, Reason::ShareTooSmall);
            self.plan.outcomes.push(Outcome {
                leg,
                legs,
                status: if payout.is_some() { Status::Posted } else { Status::Nonpayable },
                reason: if payout.is_some() { None } else { nothing.reason },
                original: Some((taken.of.event, taken.of.leg)),
                creator: taken.of.creator,
                link: taken.of.link,
                click: taken.of.click,
                value,
                payout,
                ..nothing
            });
        }
        Ok(())
    }
}

/// A payout that attribution must never have written.
const OUT_OF_RANGE: &str = "amount out of range";

fn settle_credit(plan: &mut Plan, credit: &Credit) -> Result<(), &'static str> {
    let (status, reason, payout) = match credit.decision {
        Decision::Payable { payout, fee_bps, other_minor } => {
            let split = split(payout.amount_minor, fee_bps, other_minor).map_err(|_error| OUT_OF_RANGE)?;
            pay(plan, credit, Paid { split, currency: payout.currency, fee_bps })?
        }
        Decision::Nonpayable { reason } => (Status::Nonpayable, Some(reason), None),
        Decision::Rejected { reason } => (Status::RejectedRule, Some(reason), None),
        Decision::Quarantined => return Err(CLASH),
    };
    plan.outcomes.push(Outcome {
        event: credit.event,
        leg: credit.leg,
        legs: credit.legs,
        order: credit.order,
        refund_id: None,
        original: None,
        workspace: credit.workspace,
        kind: OutcomeKind::Credit(credit.kind),
        status,
        reason,
        campaign: credit.campaign,
        creator: credit.creator,
        link: credit.link,
        click: credit.click,
        visitor: credit.visitor,
        at_ms: credit.at_ms,
        value: credit.value,
        payout,
        payload_hash: credit.payload_hash.clone(),
        basis: credit.basis.clone(),
    });
    Ok(())
}

/// Posts a payout, out of the budget or of what somebody paid, or says why not.
fn pay(
    plan: &mut Plan,
    credit: &Credit,
    paid: Paid,
) -> Result<(Status, Option<Reason>, Option<Payout>), &'static str> {
    let rejected = |status, reason| Ok((status, Some(reason), None));
    let Paid { split, currency, .. } = paid;
    let posting = match (credit.kind, credit.campaign, credit.creator) {
        (CreditKind::Payment(_), _, Some(creator)) => {
            payment(credit, WalletKey { workspace: credit.workspace, creator, currency }, split)
        }
        (CreditKind::Action(_), Some(campaign), Some(creator)) => {
            campaign_payout(credit, campaign, creator, currency, split)
        }
        _ => return rejected(Status::RejectedRule, Reason::UnknownCampaign),
    };
    let posting = posting.map_err(|_error| OUT_OF_RANGE)?;
    if let (CreditKind::Action(_), Some(campaign), Some(creator)) =
        (credit.kind, credit.campaign, credit.creator)
    {
        let day = plan.spending.day(credit.workspace, credit.at_ms);
        let spend = Spend { campaign, creator, day, gross_minor: split.gross_minor };
        if let Err((status, reason)) = spend_of_budget(plan, credit, spend, currency) {
            return rejected(status, reason);
        }
    }
    let payout = Payout { paid, transaction: posting.id() };
    plan.transactions.push(posting);
    Ok((Status::Posted, None, Some(payout)))
}

/// Takes a payout out of a campaign's budget, within its limits; else gives why
/// not.
fn spend_of_budget(
    plan: &mut Plan,
    credit: &Credit,
    spend: Spend,
    currency: Currency,
) -> Result<(), (Status, Reason)> {
    // A campaign that was never funded has no budget to take from.
    let Some(budget) = plan.budgets.get_mut(&spend.campaign) else {
        return Err((Status::RejectedBudget, Reason::BudgetExhausted));
    };
    if budget.currency != currency {
        return Err((Status::RejectedRule, Reason::CurrencyMismatch));
    }
    if let Some(under) = credit.limits {
        plan.spending.admit(under, spend, credit.event).map_err(|reason| match reason {
            Reason::AlreadyRewarded => (Status::RejectedRule, reason),
            _ => (Status::RejectedBudget, reason),
        })?;
    }
    if !budget.admit(spend.gross_minor, credit.at_ms) {
        return Err((Status::RejectedBudget, Reason::BudgetExhausted));
    }
    plan.spending.count(spend);
    if let Some(under) = credit.limits {
        plan.spending.reward(under, spend.campaign, credit.event);
    }
    Ok(())
}

fn settle_funding(plan: &mut Plan, funding: &Funding) -> Result<(), &'static str> {
    let Money { amount_minor, currency } = funding.money;
    if amount_minor <= 0 {
        return Err("amount not above zero");
    }
    if funding.boost.is_some_and(|boost| boost.reward_minor < 0 || boost.reward_minor >= amount_minor) {
        return Err("the reward is not less than what was given");
    }
    let posting = campaign_funding(funding).map_err(|_out_of_range| OUT_OF_RANGE)?;
    let Some(budget) = plan.budgets.get_mut(&funding.campaign) else { return Err("no budget") };
    if budget.currency != currency {
        return Err("currency is not the budget's");
    }
    if budget.workspace != funding.workspace {
        return Err("campaign of another workspace");
    }
    if budget.closed_at_ms.is_some() {
        return Err("the campaign is closed");
    }
    budget.fund(funding.escrow_minor()).map_err(|_too_large| "budget beyond the limit")?;
    plan.transactions.push(posting);
    plan.fundings.push(funding.clone());
    Ok(())
}

/// Closes a campaign, funded or not, and returns what is left.
fn settle_closing(plan: &mut Plan, closing: &Closing) -> Result<(), &'static str> {
    let Closing { workspace, campaign, currency, at_ms } = *closing;
    let Some(budget) = plan.budgets.get_mut(&campaign) else { return Err("no budget") };
    if budget.currency != currency || budget.workspace != workspace {
        return Err("campaign of another workspace or currency");
    }
    let amount_minor = budget.close(at_ms);
    if amount_minor > 0 {
        let source = Source { id: closing.id(), leg: 0, at_ms };
        let posting = campaign_return(workspace, campaign, Money { amount_minor, currency }, source);
        plan.transactions.push(posting.map_err(|_out_of_range| OUT_OF_RANGE)?);
    }
    plan.closings.push((closing.clone(), amount_minor));
    Ok(())
}

#[cfg(test)]
mod tests;
