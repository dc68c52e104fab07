//! Commands, in the order of the log, to outcomes and postings. Pure: the
//! caller gathers what is known, and writes the plan down in one transaction.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::budget::Budget;
use crate::command::{Basis, Closing, Command, Credit, Decision, Funding, Reason};
use crate::dedupe::{Arrival, arrival};
use crate::ids::{CampaignId, EventId, LinkId, TransactionId, UserId, VisitorKey, WorkspaceId};
use crate::ledger::postings::{
    Source, Split, WalletKey, campaign_funding, campaign_payout, campaign_return, clawback, split,
};
use crate::ledger::{AccountKey, PostingError, Transaction, changes_of};
use crate::money::Money;
use crate::refund::{Clawback, Order, Paid, Refund, Sold, Taken};
use crate::rules::Objective;
use crate::wallet::{Wallet, quarter_of};

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Paid: there is one ledger transaction for it.
    Posted,
    /// The budget did not cover it.
    RejectedBudget,
    /// A rule of the campaign forbade it.
    RejectedRule,
    /// It counts, but earns nothing.
    Nonpayable,
}

impl Status {
    /// The name, as in SQL and JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::RejectedBudget => "rejected_budget",
            Self::RejectedRule => "rejected_rule",
            Self::Nonpayable => "nonpayable",
        }
    }
}

/// What an outcome is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutcomeKind {
    /// An action that a campaign may pay for.
    Action(Objective),
    /// A refund; its amounts are below 0.
    Refund,
}

impl OutcomeKind {
    /// The name, as in SQL and JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Action(objective) => objective.code(),
            Self::Refund => "refund",
        }
    }
}

/// The one final answer to a leg of an action, or of a refund.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The action's event.
    pub event: EventId,
    /// Its leg.
    pub leg: u16,
    /// How many legs there are.
    pub legs: u16,
    /// Of a sale or refund, the order.
    pub order: Option<Uuid>,
    /// Of a refund, its own number.
    pub refund_id: Option<String>,
    /// Of a refund, the leg of the sale that it takes from.
    pub original: Option<(EventId, u16)>,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// What it is about.
    pub kind: OutcomeKind,
    /// What became of it.
    pub status: Status,
    /// Why it was not paid.
    pub reason: Option<Reason>,
    /// The campaign it is attributed to.
    pub campaign: Option<CampaignId>,
    /// The creator it is attributed to.
    pub creator: Option<UserId>,
    /// The link of the deciding click.
    pub link: Option<LinkId>,
    /// The deciding click.
    pub click: Option<EventId>,
    /// Who acted.
    pub visitor: VisitorKey,
    /// The event's own time.
    pub at_ms: i64,
    /// What the action is worth to the business.
    pub value: Option<Money>,
    /// What was paid; `None` unless posted.
    pub payout: Option<Payout>,
    /// The event's payload hash.
    pub payload_hash: String,
    /// How attribution came to its decision.
    pub basis: Basis,
}

/// What was paid for an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payout {
    /// The gross amount, with its currency.
    pub gross: Money,
    /// How it was divided.
    pub split: Split,
    /// The platform's share in force at the event's time.
    pub fee_bps: u16,
    /// The ledger transaction.
    pub transaction: TransactionId,
}

/// A message whose id belongs to another payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantined {
    /// The event or funding.
    pub id: Uuid,
    /// The leg.
    pub leg: u16,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The payload that came second.
    pub payload_hash: String,
    /// What went wrong.
    pub reason: &'static str,
    /// The whole message.
    pub command: Command,
}

/// The reason of a message whose id came with another payload before.
const CLASH: &str = "same id, other payload";

/// What the database already holds of a batch's ids: (event or funding, leg)
/// to payload hash.
pub type Known = HashMap<(Uuid, u16), String>;

/// What the database holds that a batch is decided by.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// What is settled of the batch's ids.
    pub known: Known,
    /// The budgets of [`campaigns_of`] the batch that exist, locked.
    pub budgets: BTreeMap<CampaignId, Budget>,
    /// The orders that refunds of the batch, or of `waiting`, are about; none
    /// of them missing.
    pub orders: HashMap<Uuid, Order>,
    /// Refunds that wait for the sales of the batch's orders.
    pub waiting: HashMap<Uuid, Vec<Refund>>,
}

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
        for outcome in self.outcomes.iter().filter(|outcome| outcome.kind != OutcomeKind::Refund) {
            let Some((payout, creator)) = outcome.payout.zip(outcome.creator) else { continue };
            let wallet = WalletKey { workspace: outcome.workspace, creator, currency: payout.gross.currency };
            if payout.split.creator_minor > 0 {
                let sum = earned.entry((wallet, quarter_of(outcome.at_ms))).or_default();
                *sum = sum.saturating_add(payout.split.creator_minor);
            }
        }
        earned
    }

    /// Puts what a refund takes of one leg back into the campaign's budget;
    /// `None` if that is nothing.
    fn take_back(
        &mut self,
        refund: &Refund,
        leg: u16,
        taken: &Taken,
    ) -> Result<Option<Payout>, PostingError> {
        let Taken { of, split, currency, fee_bps, .. } = taken;
        let Some((campaign, creator)) = of.campaign.zip(of.creator) else { return Ok(None) };
        let (Some(budget), 1..) = (self.budgets.get_mut(&campaign), split.gross_minor) else {
            return Ok(None);
        };
        let wallet = WalletKey { workspace: refund.workspace, creator, currency: *currency };
        let posting = clawback(refund, leg, campaign, wallet, *split)?;
        let returned_minor = budget.restore(split.gross_minor);
        if split.creator_minor > 0 {
            let source = Source { id: refund.event.0, leg, at_ms: refund.at_ms };
            let (amount_minor, earned_at_ms) = (split.creator_minor, quarter_of(of.at_ms));
            self.clawed.push(Clawed { wallet, source, amount_minor, earned_at_ms });
        }
        let back = split.negated();
        let gross = Money { amount_minor: back.gross_minor, currency: *currency };
        let payout = Payout { gross, split: back, fee_bps: *fee_bps, transaction: posting.id() };
        self.transactions.push(posting);
        if returned_minor > 0 {
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

impl Outcome {
    /// The leg of a sale that this is, if it is one.
    #[must_use]
    pub fn sold(&self) -> Option<Sold> {
        let paid = |payout: Payout| Paid {
            split: payout.split,
            currency: payout.gross.currency,
            fee_bps: payout.fee_bps,
        };
        // Another report of the order is no sale: the first has its own outcome.
        let is_again = self.reason == Some(Reason::DuplicateTransaction);
        (self.kind == OutcomeKind::Action(Objective::Sale) && !is_again).then(|| Sold {
            event: self.event,
            leg: self.leg,
            legs: self.legs,
            at_ms: self.at_ms,
            campaign: self.campaign,
            creator: self.creator,
            link: self.link,
            click: self.click,
            value: self.value,
            paid: self.payout.map(paid),
            taken: Split::default(),
        })
    }
}

/// The ids that a batch will ask about: (event or funding, leg).
#[must_use]
pub fn ids_of(commands: &[Command]) -> Vec<(Uuid, u16)> {
    commands.iter().map(Command::id).collect()
}

/// The orders that a batch is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Those of its sales.
    pub sold: Vec<Uuid>,
    /// Those of refunds that look for their sale.
    pub sought: Vec<Uuid>,
    /// Those of refunds that found it.
    pub found: Vec<Uuid>,
}

/// The orders that a batch is about.
#[must_use]
pub fn orders_of(commands: &[Command]) -> Orders {
    let mut orders = Orders::default();
    for command in commands {
        match command {
            Command::Credit(credit) => orders.sold.extend(credit.order),
            Command::Refund(refund) => orders.sought.push(refund.order),
            Command::Clawback(clawback) => orders.found.push(clawback.refund.order),
            Command::Fund(_) | Command::Close(_) => {}
        }
    }
    orders
}

/// The campaigns whose budgets a batch may touch.
#[must_use]
pub fn campaigns_of(commands: &[Command]) -> Vec<CampaignId> {
    let mut campaigns: Vec<CampaignId> = commands
        .iter()
        .filter_map(|command| match command {
            Command::Credit(Credit { decision: Decision::Payable { .. }, campaign, .. }) => *campaign,
            Command::Clawback(clawback) => clawback.campaign,
            Command::Credit(_) | Command::Refund(_) => None,
            Command::Fund(funding) => Some(funding.campaign),
            Command::Close(closing) => Some(closing.campaign),
        })
        .collect();
    campaigns.sort_unstable();
    campaigns.dedup();
    campaigns
}

/// The budgets, empty, that a batch may be the first to put money in, or to
/// close: of each campaign one.
#[must_use]
pub fn new_budgets(commands: &[Command]) -> Vec<Budget> {
    let mut budgets: BTreeMap<CampaignId, Budget> = BTreeMap::new();
    for command in commands {
        let (campaign, workspace, currency) = match command {
            Command::Fund(funding) if funding.money.amount_minor > 0 => {
                (funding.campaign, funding.workspace, funding.money.currency)
            }
            Command::Close(closing) => (closing.campaign, closing.workspace, closing.currency),
            _ => continue,
        };
        budgets.entry(campaign).or_insert_with(|| Budget::new(campaign, workspace, currency));
    }
    budgets.into_values().collect()
}

/// Settles `commands`, which come in the order of the log.
///
/// A payout that cannot be posted because its amounts are out of range, which
/// attribution must never write, is quarantined.
#[must_use]
pub fn settle(commands: &[Command], books: Books) -> Plan {
    let Books { mut known, budgets, orders, waiting } = books;
    let plan = Plan { budgets, ..Plan::default() };
    let mut work = Work { plan, orders, waiting };
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
    let Work { mut plan, .. } = work;
    let resolved = &plan.resolved;
    plan.parked.retain(|parked| !resolved.iter().any(|clawback| clawback.refund == *parked));
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
}

impl Work {
    /// Sends a refund to its sale's campaign, or parks it.
    fn route(&mut self, refund: &Refund) {
        match self.orders.get(&refund.order) {
            Some(order) if order.is_settled() => {
                let campaign = order.campaign();
                self.plan.resolved.push(Clawback { refund: refund.clone(), campaign });
            }
            _ => {
                self.waiting.entry(refund.order).or_default().push(refund.clone());
                self.plan.parked.push(refund.clone());
            }
        }
    }

    fn credit(&mut self, credit: &Credit) -> Result<(), &'static str> {
        settle_credit(&mut self.plan, credit)?;
        let outcome = self.plan.outcomes.last();
        let Some((sold, key)) = outcome.and_then(Outcome::sold).zip(credit.order) else { return Ok(()) };
        let Some(order) = self.orders.get_mut(&key) else { return Ok(()) };
        order.sold.push(sold);
        if order.is_settled() {
            let campaign = order.campaign();
            let refunds = self.waiting.remove(&key).unwrap_or_default();
            self.plan.resolved.extend(refunds.into_iter().map(|refund| Clawback { refund, campaign }));
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
                self.plan.outcomes.push(unpaid_refund(refund, *campaign, reason));
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
            let nothing = unpaid_refund(refund, *campaign, Reason::ShareTooSmall);
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

/// The outcome of a refund that takes nothing back.
fn unpaid_refund(refund: &Refund, campaign: Option<CampaignId>, reason: Reason) -> Outcome {
    let is_against_a_rule = reason == Reason::CurrencyMismatch;
    Outcome {
        event: refund.event,
        leg: 0,
        legs: 1,
        order: Some(refund.order),
        refund_id: Some(refund.refund_id.clone()),
        original: None,
        workspace: refund.workspace,
        kind: OutcomeKind::Refund,
        status: if is_against_a_rule { Status::RejectedRule } else { Status::Nonpayable },
        reason: Some(reason),
        campaign,
        creator: None,
        link: None,
        click: None,
        visitor: refund.visitor,
        at_ms: refund.at_ms,
        value: refund.value.map(|value| Money { amount_minor: value.amount_minor.saturating_neg(), ..value }),
        payout: None,
        payload_hash: refund.payload_hash.clone(),
        basis: Basis::none(),
    }
}

fn settle_credit(plan: &mut Plan, credit: &Credit) -> Result<(), &'static str> {
    let (status, reason, payout) = match credit.decision {
        Decision::Payable { payout, fee_bps } => pay(plan, credit, payout, fee_bps)?,
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
        kind: OutcomeKind::Action(credit.kind),
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

/// Takes the payout out of the budget and posts it, or says why not.
fn pay(
    plan: &mut Plan,
    credit: &Credit,
    gross: Money,
    fee_bps: u16,
) -> Result<(Status, Option<Reason>, Option<Payout>), &'static str> {
    let rejected = |status, reason| Ok((status, Some(reason), None));
    let Some((campaign, creator)) = credit.campaign.zip(credit.creator) else {
        return rejected(Status::RejectedRule, Reason::UnknownCampaign);
    };
    let split = split(gross.amount_minor, fee_bps).map_err(|_error| OUT_OF_RANGE)?;
    let posting =
        campaign_payout(credit, campaign, creator, gross.currency, split).map_err(|_error| OUT_OF_RANGE)?;
    // A campaign that was never funded has no budget to take from.
    let Some(budget) = plan.budgets.get_mut(&campaign) else {
        return rejected(Status::RejectedBudget, Reason::BudgetExhausted);
    };
    if budget.currency != gross.currency {
        return rejected(Status::RejectedRule, Reason::CurrencyMismatch);
    }
    if !budget.admit(gross.amount_minor, credit.at_ms) {
        return rejected(Status::RejectedBudget, Reason::BudgetExhausted);
    }
    let payout = Payout { gross, split, fee_bps, transaction: posting.id() };
    plan.transactions.push(posting);
    Ok((Status::Posted, None, Some(payout)))
}

fn settle_funding(plan: &mut Plan, funding: &Funding) -> Result<(), &'static str> {
    let Money { amount_minor, currency } = funding.money;
    if amount_minor <= 0 {
        return Err("amount not above zero");
    }
    let posting = campaign_funding(funding).map_err(|_out_of_range| OUT_OF_RANGE)?;
    let mut budget = plan
        .budgets
        .get(&funding.campaign)
        .cloned()
        .unwrap_or_else(|| Budget::new(funding.campaign, funding.workspace, currency));
    if budget.currency != currency {
        return Err("currency is not the budget's");
    }
    if budget.workspace != funding.workspace {
        return Err("campaign of another workspace");
    }
    if budget.closed_at_ms.is_some() {
        return Err("the campaign is closed");
    }
    budget.fund(amount_minor).map_err(|_too_large| "budget beyond the limit")?;
    plan.budgets.insert(funding.campaign, budget);
    plan.transactions.push(posting);
    plan.fundings.push(funding.clone());
    Ok(())
}

/// Closes a campaign, funded or not, and returns what is left.
fn settle_closing(plan: &mut Plan, closing: &Closing) -> Result<(), &'static str> {
    let Closing { workspace, campaign, currency, at_ms } = *closing;
    let budget = plan.budgets.entry(campaign).or_insert_with(|| Budget::new(campaign, workspace, currency));
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
