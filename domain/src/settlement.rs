//! Commands, in the order of the log, to outcomes and postings. Pure: the
//! caller gathers what is known, and writes the plan down in one transaction.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::budget::Budget;
use crate::command::{Basis, Command, Credit, Decision, Funding, Reason};
use crate::dedupe::{Arrival, arrival};
use crate::ids::{CampaignId, EventId, LinkId, TransactionId, UserId, VisitorKey, WorkspaceId};
use crate::ledger::{AccountKey, Split, Transaction, campaign_funding, campaign_payout, split};
use crate::money::Money;
use crate::rules::Objective;

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

/// The one final answer to a leg of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The action's event.
    pub event: EventId,
    /// Its leg.
    pub leg: u16,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// What kind of action it is.
    pub kind: Objective,
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

/// All that a batch changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// New outcomes, in log order.
    pub outcomes: Vec<Outcome>,
    /// New fundings, in log order.
    pub fundings: Vec<Funding>,
    /// New ledger transactions, in log order.
    pub transactions: Vec<Transaction>,
    /// The budgets that were touched, as they are afterwards.
    pub budgets: BTreeMap<CampaignId, Budget>,
    /// Clashing messages.
    pub quarantined: Vec<Quarantined>,
    /// Messages that had been settled before.
    pub repeats: u64,
}

impl Plan {
    /// What each account gains or loses, in lock order: fee accounts last.
    ///
    /// # Panics
    /// Never: sums of at most a batch of capped amounts fit an `i64`.
    #[must_use]
    pub fn account_changes(&self) -> BTreeMap<AccountKey, i64> {
        let mut changes: BTreeMap<AccountKey, i64> = BTreeMap::new();
        for line in self.transactions.iter().flat_map(Transaction::lines) {
            let change = changes.entry(line.account).or_default();
            *change = change.checked_add(line.amount_minor).expect("capped amounts, small batches");
        }
        changes
    }
}

/// The ids that a batch will ask about: (event or funding, leg).
#[must_use]
pub fn ids_of(commands: &[Command]) -> Vec<(Uuid, u16)> {
    commands.iter().map(id_of).collect()
}

fn id_of(command: &Command) -> (Uuid, u16) {
    match command {
        Command::Credit(credit) => (credit.event.0, credit.leg),
        Command::Fund(funding) => (funding.id(), 0),
    }
}

fn payload_hash_of(command: &Command) -> String {
    match command {
        Command::Credit(credit) => credit.payload_hash.clone(),
        Command::Fund(funding) => funding.payload_hash(),
    }
}

/// The campaigns whose budgets a batch may touch.
#[must_use]
pub fn campaigns_of(commands: &[Command]) -> Vec<CampaignId> {
    let mut campaigns: Vec<CampaignId> = commands
        .iter()
        .filter_map(|command| match command {
            Command::Credit(Credit { decision: Decision::Payable { .. }, campaign, .. }) => *campaign,
            Command::Credit(_) => None,
            Command::Fund(funding) => Some(funding.campaign),
        })
        .collect();
    campaigns.sort_unstable();
    campaigns.dedup();
    campaigns
}

/// Settles `commands`, which come in the order of the log. `known` is what the
/// database holds of their ids; `budgets` are those of [`campaigns_of`] that
/// exist, locked.
///
/// A payout that cannot be posted because its amounts are out of range, which
/// attribution must never write, is quarantined.
#[must_use]
pub fn settle(commands: &[Command], mut known: Known, budgets: BTreeMap<CampaignId, Budget>) -> Plan {
    let mut plan = Plan { budgets, ..Plan::default() };
    for command in commands {
        let id = id_of(command);
        let payload_hash = payload_hash_of(command);
        match arrival(known.get(&id).map(String::as_str), &payload_hash) {
            Arrival::Repeat => {
                plan.repeats = plan.repeats.saturating_add(1);
                continue;
            }
            Arrival::Clash => {
                quarantine(&mut plan, command, id, payload_hash, CLASH);
                continue;
            }
            Arrival::First => {}
        }
        let settled = match command {
            Command::Credit(credit) => settle_credit(&mut plan, credit),
            Command::Fund(funding) => settle_funding(&mut plan, funding),
        };
        match settled {
            Ok(()) => {
                known.insert(id, payload_hash);
            }
            Err(reason) => quarantine(&mut plan, command, id, payload_hash, reason),
        }
    }
    plan
}

fn quarantine(
    plan: &mut Plan,
    command: &Command,
    id: (Uuid, u16),
    payload_hash: String,
    reason: &'static str,
) {
    let workspace = match command {
        Command::Credit(credit) => credit.workspace,
        Command::Fund(funding) => funding.workspace,
    };
    plan.quarantined.push(Quarantined {
        id: id.0,
        leg: id.1,
        workspace,
        payload_hash,
        reason,
        command: command.clone(),
    });
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
        workspace: credit.workspace,
        kind: credit.kind,
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
    let out_of_range = "amount out of range";
    let rejected = |status, reason| Ok((status, Some(reason), None));
    let Some((campaign, creator)) = credit.campaign.zip(credit.creator) else {
        return rejected(Status::RejectedRule, Reason::UnknownCampaign);
    };
    let split = split(gross.amount_minor, fee_bps).map_err(|_error| out_of_range)?;
    let posting =
        campaign_payout(credit, campaign, creator, gross.currency, split).map_err(|_error| out_of_range)?;
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
    let posting = campaign_funding(funding).map_err(|_out_of_range| "amount out of range")?;
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
    budget.fund(amount_minor).map_err(|_too_large| "budget beyond the limit")?;
    plan.budgets.insert(funding.campaign, budget);
    plan.transactions.push(posting);
    plan.fundings.push(funding.clone());
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::money::Currency;

    const WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));

    fn usd(amount_minor: i64) -> Money {
        Money { amount_minor, currency: Currency::new("USD").unwrap() }
    }

    fn fund(number: u32, campaign: u128, money: Money) -> Command {
        Command::Fund(Funding {
            external_id: format!("pay-{number}"),
            workspace: WORKSPACE,
            campaign: CampaignId(Uuid::from_u128(campaign)),
            money,
            at_ms: 1,
        })
    }

    fn payable(event: u128, campaign: u128, payout: Money) -> Command {
        Command::Credit(Credit {
            event: EventId(Uuid::from_u128(event)),
            leg: 0,
            kind: Objective::Click,
            workspace: WORKSPACE,
            at_ms: 10,
            visitor: VisitorKey([0; 16]),
            payload_hash: format!("hash-{event}"),
            campaign: Some(CampaignId(Uuid::from_u128(campaign))),
            creator: Some(UserId(Uuid::from_u128(77))),
            link: None,
            click: None,
            value: None,
            decision: Decision::Payable { payout, fee_bps: 1_000 },
            basis: Basis::none(),
        })
    }

    fn changed(command: &Command, change: impl FnOnce(&mut Credit)) -> Command {
        let Command::Credit(mut credit) = command.clone() else { panic!("a credit") };
        change(&mut credit);
        Command::Credit(credit)
    }

    /// One line a command: what became of it, and the budget left.
    fn run(commands: &[Command]) -> Vec<String> {
        let mut known = Known::new();
        let mut budgets = BTreeMap::new();
        let mut lines = Vec::new();
        for command in commands {
            let plan = settle(std::slice::from_ref(command), known.clone(), budgets);
            let what = match (&plan.outcomes[..], &plan.fundings[..], &plan.quarantined[..]) {
                ([outcome], _, _) => {
                    known.insert((outcome.event.0, outcome.leg), outcome.payload_hash.clone());
                    outcome.reason.map_or(outcome.status.code(), Reason::code)
                }
                (_, [funding], _) => {
                    known.insert((funding.id(), 0), funding.payload_hash());
                    "funded"
                }
                (_, _, [quarantined]) => quarantined.reason,
                _ => "repeat",
            };
            budgets = plan.budgets;
            let left: i64 = budgets.values().map(|budget| budget.available_minor).sum();
            lines.push(format!("{what} {left}"));
        }
        lines
    }

    #[test]
    fn what_becomes_of_commands() {
        let eur = |amount_minor| Money { amount_minor, currency: Currency::new("EUR").unwrap() };
        let one = payable(1, 5, usd(40));
        let commands = [
            (one.clone(), "budget_exhausted 0"),
            (fund(1, 5, usd(100)), "funded 100"),
            (fund(1, 5, usd(100)), "repeat 100"),
            (fund(1, 5, usd(200)), "same id, other payload 100"),
            (fund(2, 5, eur(5)), "currency is not the budget's 100"),
            (fund(3, 5, usd(0)), "amount not above zero 100"),
            (one.clone(), "repeat 100"),
            (payable(2, 5, usd(40)), "posted 60"),
            (payable(2, 5, usd(40)), "repeat 60"),
            (changed(&payable(2, 5, usd(40)), |c| c.payload_hash = "x".into()), "same id, other payload 60"),
            (
                changed(&payable(9, 5, usd(40)), |c| c.decision = Decision::Quarantined),
                "same id, other payload 60",
            ),
            (payable(3, 5, eur(40)), "currency_mismatch 60"),
            (payable(4, 5, usd(40)), "posted 20"),
            (payable(5, 5, usd(40)), "budget_exhausted 20"),
            (payable(6, 5, usd(20)), "posted 0"),
            (payable(7, 6, usd(1)), "budget_exhausted 0"),
            (
                changed(&payable(8, 5, usd(1)), |c| {
                    c.decision = Decision::Nonpayable { reason: Reason::Bot }
                }),
                "bot 0",
            ),
        ];
        let (commands, expected): (Vec<_>, Vec<_>) = commands.into_iter().unzip();
        assert_eq!(run(&commands), expected);
    }

    #[test]
    fn a_payout_is_three_lines() {
        let plan = settle(&[fund(1, 5, usd(1_000)), payable(2, 5, usd(250))], Known::new(), BTreeMap::new());
        let changes: Vec<_> =
            plan.account_changes().into_iter().map(|(key, change)| (key.kind.code(), change)).collect();
        assert_eq!(
            changes,
            [("cash", -1_000), ("campaign_escrow", 750), ("creator_pending", 225), ("platform_fee", 25)]
        );
    }

    proptest! {
        /// The same log, cut into any batches and with any repeats, leaves the
        /// same outcomes, postings and budgets.
        #[test]
        fn batches_and_repeats_do_not_matter(
            events in prop::collection::vec((0_u128..40, 1_u128..4, 1_i64..50), 1..80),
            batch in 1_usize..20,
            again in 0_usize..80,
        ) {
            let mut log: Vec<Command> = (1..4).map(|c| fund(c, u128::from(c), usd(300))).collect();
            log.extend(events.into_iter().map(|(e, c, amount)| payable(e * 10 + c, c, usd(amount))));
            let whole = settle(&log, Known::new(), BTreeMap::new());
            let mut repeated = log.clone();
            repeated.extend(log.iter().take(again).cloned());
            let mut known = Known::new();
            let mut budgets = BTreeMap::new();
            let (mut outcomes, mut transactions) = (Vec::new(), Vec::new());
            for commands in repeated.chunks(batch) {
                let plan = settle(commands, known.clone(), budgets);
                for o in &plan.outcomes {
                    known.insert((o.event.0, o.leg), o.payload_hash.clone());
                }
                for f in &plan.fundings {
                    known.insert((f.id(), 0), f.payload_hash());
                }
                outcomes.extend(plan.outcomes);
                transactions.extend(plan.transactions);
                budgets = plan.budgets;
            }
            prop_assert_eq!(outcomes, whole.outcomes);
            prop_assert_eq!(transactions, whole.transactions);
            prop_assert_eq!(budgets, whole.budgets);
        }
    }
}
