//! Campaign terms, versioned by time: an event uses the terms in force at its
//! own time, so a replay decides as the first run did.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::attribution::model::Model;
use crate::ids::{CampaignId, UserId, WorkspaceId};
use crate::limits::Limits;
use crate::money::Currency;
use crate::pay::Pay;
use crate::payment::{PaymentTerms, SellerTier};

/// New terms take effect this long after they are written.
pub const TERMS_LEAD_MS: i64 = 4_000;
/// Rules read at time `t` are good for events up to `t` plus this. What is left
/// of the lead covers a transaction that was still open at `t`: whatever it
/// writes comes into force later.
pub const RULES_GOOD_FOR_MS: i64 = 2_000;
/// The attribution window of a campaign that sets none: 30 days.
pub const DEFAULT_WINDOW_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

/// What a campaign pays for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Each first click of a person.
    Click,
    /// Each goal reached after a click.
    Conversion,
    /// Each order placed after a click.
    Sale,
}

impl Objective {
    /// The name, as in JSON and SQL.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Click => "click",
            Self::Conversion => "conversion",
            Self::Sale => "sale",
        }
    }

    /// The objective of that name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Click, Self::Conversion, Self::Sale].into_iter().find(|o| o.code() == code)
    }
}

/// Whether a campaign takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignStatus {
    /// Not begun.
    Draft,
    /// Pays.
    Active,
    /// Stopped for now.
    Paused,
    /// Over.
    Completed,
}

impl CampaignStatus {
    /// The name, as in JSON and SQL.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Completed => "completed",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Draft, Self::Active, Self::Paused, Self::Completed].into_iter().find(|s| s.code() == code)
    }
}

/// One version of a campaign's terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// From 1.
    pub version: u32,
    /// In force from here (milliseconds since 1970) until the next version.
    pub valid_from_ms: i64,
    /// Whether it takes part.
    pub status: CampaignStatus,
    /// What one action pays.
    pub pay: Pay,
    /// The platform's share of it.
    pub fee_bps: u16,
    /// How long after a click an action may come; the end is included.
    pub window_ms: i64,
    /// An action sooner than this after its click is none that a person made.
    pub min_delay_ms: i64,
    /// How a payout is shared among clicks.
    pub model: Model,
    /// What it may spend.
    pub limits: Limits,
    /// What a supporter who shared the link gets on top: this share of what an
    /// action pays.
    pub share_bps: u16,
    /// No action before this counts.
    pub starts_at_ms: Option<i64>,
    /// No action at or after this counts.
    pub ends_at_ms: Option<i64>,
}

/// A campaign, with all its terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// Its id.
    pub id: CampaignId,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// What it pays for; fixed for its life.
    pub objective: Objective,
    /// What it pays in; fixed for its life.
    pub currency: Currency,
    /// All versions, oldest first; never empty.
    pub terms: Vec<Terms>,
}

impl Campaign {
    /// The terms in force at `at_ms`. The first version also covers what came
    /// before it: no click can be older than the campaign, but clocks differ.
    #[must_use]
    pub fn terms_at(&self, at_ms: i64) -> Option<&Terms> {
        self.terms.iter().rev().find(|terms| terms.valid_from_ms <= at_ms).or_else(|| self.terms.first())
    }
}

/// A code that names its campaign and creator: who sells by it needs no click.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coupon {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// The code, as [`coupon_code`] writes it.
    pub code: String,
    /// Its campaign.
    pub campaign: CampaignId,
    /// Its creator.
    pub creator: UserId,
    /// In force from here on, until a later one of the same code.
    pub valid_from_ms: i64,
}

/// A coupon's code in the one form that is compared: capitals, without blanks
/// around.
#[must_use]
pub fn coupon_code(text: &str) -> String {
    text.trim().to_uppercase()
}

/// All campaigns and coupons, as read at one moment.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    campaigns: BTreeMap<CampaignId, Campaign>,
    coupons: BTreeMap<(WorkspaceId, String), Vec<Coupon>>,
    payment_terms: BTreeMap<WorkspaceId, Vec<PaymentTerms>>,
    seller_tiers: BTreeMap<(WorkspaceId, UserId), Vec<SellerTier>>,
    payees: Payees,
    read_at_ms: i64,
}

/// Who may be paid: workspaces' creators, as read at one moment. They only ever
/// become more, so an earlier reading does for whoever is in it.
#[derive(Clone, Debug, Default)]
pub struct Payees {
    creators: Arc<HashSet<(WorkspaceId, UserId)>>,
    read_at_ms: Option<i64>,
}

impl Payees {
    /// The creators there were at `read_at_ms` by the database's clock.
    #[must_use]
    pub fn new(creators: impl IntoIterator<Item = (WorkspaceId, UserId)>, read_at_ms: i64) -> Self {
        Self { creators: Arc::new(creators.into_iter().collect()), read_at_ms: Some(read_at_ms) }
    }

    /// Whether they were read at all, and whoever an event names is among them.
    #[must_use]
    pub fn has(&self, named: Option<Named>) -> bool {
        match named {
            Some(Named::Payee(workspace, user)) => self.creators.contains(&(workspace, user)),
            _ => self.read_at_ms.is_some(),
        }
    }
}

/// What an event names whose first terms hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A campaign.
    Campaign(CampaignId),
    /// A workspace that takes a payment, and who is paid.
    Payee(WorkspaceId, UserId),
}

impl Rules {
    /// The rules read at `read_at_ms` by the database's clock.
    #[must_use]
    pub fn new(campaigns: impl IntoIterator<Item = Campaign>, read_at_ms: i64) -> Self {
        let campaigns = campaigns.into_iter().map(|campaign| (campaign.id, campaign)).collect();
        Self { campaigns, read_at_ms, ..Self::default() }
    }

    /// The same with `coupons`, which were read after that moment.
    #[must_use]
    pub fn with_coupons(mut self, coupons: impl IntoIterator<Item = Coupon>) -> Self {
        for coupon in coupons {
            self.coupons.entry((coupon.workspace, coupon.code.clone())).or_default().push(coupon);
        }
        for versions in self.coupons.values_mut() {
            versions.sort_by_key(|coupon| coupon.valid_from_ms);
        }
        self
    }

    /// The same with what workspaces keep of payments.
    #[must_use]
    pub fn with_payment_terms(mut self, terms: impl IntoIterator<Item = PaymentTerms>) -> Self {
        for terms in terms {
            self.payment_terms.entry(terms.workspace).or_default().push(terms);
        }
        for versions in self.payment_terms.values_mut() {
            versions.sort_by_key(|terms| terms.valid_from_ms);
        }
        self
    }

    /// The same with sellers' tiers.
    #[must_use]
    pub fn with_seller_tiers(mut self, tiers: impl IntoIterator<Item = SellerTier>) -> Self {
        for tier in tiers {
            self.seller_tiers.entry((tier.workspace, tier.seller)).or_default().push(tier);
        }
        for versions in self.seller_tiers.values_mut() {
            versions.sort_by_key(|tier| tier.valid_from_ms);
        }
        self
    }

    /// The same with those who may be paid.
    #[must_use]
    pub fn with_payees(self, payees: Payees) -> Self {
        Self { payees, ..self }
    }

    /// Those who may be paid.
    #[must_use]
    pub fn payees(&self) -> &Payees {
        &self.payees
    }

    /// When they were read.
    #[must_use]
    pub fn read_at_ms(&self) -> i64 {
        self.read_at_ms
    }

    /// Whether a user is one of a workspace's creators.
    #[must_use]
    pub fn is_payee(&self, workspace: WorkspaceId, user: UserId) -> bool {
        self.payees.creators.contains(&(workspace, user))
    }

    /// What a workspace keeps of payments at `at_ms`. The first version also
    /// covers what came before it.
    #[must_use]
    pub fn payment_terms(&self, workspace: WorkspaceId, at_ms: i64) -> Option<&PaymentTerms> {
        let versions = self.payment_terms.get(&workspace)?;
        versions.iter().rev().find(|terms| terms.valid_from_ms <= at_ms).or_else(|| versions.first())
    }

    /// A seller's tier at `at_ms`.
    #[must_use]
    pub fn seller_tier(&self, workspace: WorkspaceId, seller: UserId, at_ms: i64) -> Option<&str> {
        let versions = self.seller_tiers.get(&(workspace, seller))?;
        versions.iter().rev().find(|tier| tier.valid_from_ms <= at_ms).map(|tier| tier.tier.as_str())
    }

    /// The coupon of that code in force at `at_ms`.
    #[must_use]
    pub fn coupon(&self, workspace: WorkspaceId, code: &str, at_ms: i64) -> Option<&Coupon> {
        let versions = self.coupons.get(&(workspace, coupon_code(code)))?;
        versions.iter().rev().find(|coupon| coupon.valid_from_ms <= at_ms)
    }

    /// A campaign by its id.
    #[must_use]
    pub fn campaign(&self, id: CampaignId) -> Option<&Campaign> {
        self.campaigns.get(&id)
    }

    /// Whether all that an event at `at_ms` may depend on is known. First terms
    /// hold at once: what it `names`, and is not among these, may have been made
    /// since they were read.
    #[must_use]
    pub fn cover(&self, at_ms: i64, names: Option<Named>) -> bool {
        let (is_known, read_at_ms) = match names {
            None => (true, self.read_at_ms),
            Some(Named::Campaign(id)) => (self.campaigns.contains_key(&id), self.read_at_ms),
            Some(Named::Payee(workspace, payee)) if self.is_payee(workspace, payee) => {
                (self.payment_terms.contains_key(&workspace), self.read_at_ms)
            }
            // Whoever was not there when the creators were read may have been made
            // since: with these rules they must have been read again.
            Some(Named::Payee(..)) if self.payees.read_at_ms == Some(self.read_at_ms) => {
                (false, self.read_at_ms)
            }
            Some(Named::Payee(..)) => (false, i64::MIN),
        };
        let good_for_ms = if is_known { RULES_GOOD_FOR_MS } else { 0 };
        at_ms <= read_at_ms.saturating_add(good_for_ms)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::payment::PaymentRates;

    fn terms(version: u32, valid_from_ms: i64) -> Terms {
        Terms {
            version,
            valid_from_ms,
            status: CampaignStatus::Active,
            pay: Pay::Fixed { amount_minor: 100 },
            fee_bps: 1_000,
            window_ms: DEFAULT_WINDOW_MS,
            min_delay_ms: 0,
            model: Model::LastTouch,
            limits: Limits::default(),
            share_bps: 0,
            starts_at_ms: None,
            ends_at_ms: None,
        }
    }

    #[test]
    fn terms_follow_the_events_own_time() {
        let campaign = Campaign {
            id: CampaignId(Uuid::from_u128(1)),
            workspace: WorkspaceId(Uuid::from_u128(2)),
            objective: Objective::Sale,
            currency: Currency::new("USD").unwrap(),
            terms: vec![terms(1, 1_000), terms(2, 2_000)],
        };
        for (at_ms, version) in [(0, 1), (1_000, 1), (1_999, 1), (2_000, 2), (9_999, 2)] {
            assert_eq!(campaign.terms_at(at_ms).unwrap().version, version, "{at_ms}");
        }
        let rules = Rules::new([campaign], 5_000);
        let campaign = |number| Named::Campaign(CampaignId(Uuid::from_u128(number)));
        let (known, unheard_of) = (campaign(1), campaign(9));
        for (at_ms, names, is_covered) in [
            (7_000, None, true),
            (7_001, None, false),
            (7_000, Some(known), true),
            (7_001, Some(known), false),
            // It was not there when the rules were read: nor was it at 5,000.
            (5_000, Some(unheard_of), true),
            (5_001, Some(unheard_of), false),
        ] {
            assert_eq!(rules.cover(at_ms, names), is_covered, "{at_ms} {names:?}");
        }
        let workspace = WorkspaceId(Uuid::from_u128(2));
        let payee = |number| Some(Named::Payee(workspace, UserId(Uuid::from_u128(number))));
        assert!(!rules.cover(0, payee(7)), "nobody looked who the creators are");
        let rates = PaymentRates {
            tip_fee_bps: 0,
            live_sale_fee_bps: 0,
            commission_bps: BTreeMap::new(),
            default_tier: String::new(),
            processors: BTreeMap::new(),
            boost_reward_bps: 0,
        };
        let terms = PaymentTerms { workspace, version: 1, valid_from_ms: 0, rates };
        let rules = rules.with_payment_terms([terms]);
        for (creators_read_at_ms, at_ms, names, is_covered) in [
            (3_000, 7_000, payee(7), true),
            (3_000, 7_001, payee(7), false),
            // The rules were read since then, the creators were not.
            (3_000, 0, payee(8), false),
            (5_000, 5_000, payee(8), true),
            (5_000, 5_001, payee(8), false),
        ] {
            let creators = Payees::new([(workspace, UserId(Uuid::from_u128(7)))], creators_read_at_ms);
            let rules = rules.clone().with_payees(creators);
            assert_eq!(rules.cover(at_ms, names), is_covered, "{at_ms} {names:?}");
        }
        let coupon = |creator, valid_from_ms| Coupon {
            workspace,
            code: coupon_code(" anna10"),
            campaign: CampaignId(Uuid::from_u128(1)),
            creator: UserId(Uuid::from_u128(creator)),
            valid_from_ms,
        };
        let rules = rules.with_coupons([coupon(8, 2_000), coupon(7, 1_000)]);
        for (at_ms, creator) in [(999, None), (1_000, Some(7)), (1_999, Some(7)), (2_000, Some(8))] {
            let found = rules.coupon(workspace, "Anna10", at_ms).map(|coupon| coupon.creator.0.as_u128());
            assert_eq!(found, creator, "{at_ms}");
        }
        const { assert!(RULES_GOOD_FOR_MS < TERMS_LEAD_MS) };
    }
}
