//! What the database must be asked before a batch can be settled, and what it
//! answers.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use crate::budget::Budget;
use crate::command::{Command, Credit, Decision};
use crate::ids::{CampaignId, UserId, WorkspaceId};
use crate::limits::Spending;
use crate::refund::{Order, Refund};

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
    /// What limited campaigns of the batch have spent.
    pub spending: Spending,
    /// Those of [`shared_legs_of`] the batch that were paid.
    pub paid: HashSet<(Uuid, u16)>,
}

/// The ids that a batch will ask about: (event or funding, leg).
#[must_use]
pub fn ids_of(commands: &[Command]) -> Vec<(Uuid, u16)> {
    commands.iter().map(Command::id).collect()
}

/// The legs, (event, leg), that rewards for sharing are for: each goes before its
/// reward, but perhaps in an earlier batch.
#[must_use]
pub fn shared_legs_of(commands: &[Command]) -> Vec<(Uuid, u16)> {
    let shared = |command: &Command| match command {
        Command::Credit(credit) => credit.shared_leg().map(|leg| (credit.event.0, leg)),
        _ => None,
    };
    commands.iter().filter_map(shared).collect()
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

/// The campaigns that a batch says have limits.
#[must_use]
pub fn limited_campaigns_of(commands: &[Command]) -> Vec<CampaignId> {
    let mut campaigns: Vec<CampaignId> = commands
        .iter()
        .filter_map(|command| match command {
            Command::Credit(credit) => credit.limits.and(credit.campaign),
            _ => None,
        })
        .collect();
    campaigns.sort_unstable();
    campaigns.dedup();
    campaigns
}

/// A payout of a limited campaign that a batch may make, or take back: whose,
/// when, of which campaign and creator.
pub type Moment = (WorkspaceId, i64, CampaignId, UserId);

/// The payouts of `limited` campaigns that a batch may make, or, of `orders`,
/// take back.
#[must_use]
pub fn moments_of(
    commands: &[Command],
    orders: &HashMap<Uuid, Order>,
    limited: &HashSet<CampaignId>,
) -> Vec<Moment> {
    let mut moments = Vec::new();
    for command in commands {
        match command {
            Command::Credit(credit) if matches!(credit.decision, Decision::Payable { .. }) => {
                let paid = credit.campaign.zip(credit.creator);
                moments.extend(
                    paid.map(|(campaign, creator)| (credit.workspace, credit.at_ms, campaign, creator)),
                );
            }
            Command::Clawback(clawback) => {
                let sold = orders.get(&clawback.refund.order).into_iter().flat_map(|order| &order.sold);
                moments.extend(sold.filter_map(|sold| {
                    Some((clawback.refund.workspace, sold.at_ms, sold.campaign?, sold.creator?))
                }));
            }
            _ => {}
        }
    }
    moments.retain(|(_, _, campaign, _)| limited.contains(campaign));
    moments
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
