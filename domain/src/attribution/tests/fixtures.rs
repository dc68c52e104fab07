//! Campaigns, people and what they do; and a fold to hand it to.

use std::convert::Infallible;
use std::sync::Arc;

use uuid::Uuid;

use super::super::memory::{Due, Note, Rate, RateKey};
use super::super::model::Model;
use super::super::*;
use crate::event::{BotReason, Client};
use crate::ids::{CampaignId, LinkId, UserId, WorkspaceId};
use crate::limits::Limits;
use crate::money::{Currency, Money};
use crate::pay::Pay;
use crate::payment::{Frequency, Payment, PaymentRates, PaymentTerms, ProcessorRate, Purpose};
use crate::rules::{Campaign, CampaignStatus, Coupon, DEFAULT_WINDOW_MS, Objective, Payees, Terms};

pub(super) const WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));
/// A day in 2027.
pub(super) const T0: i64 = 1_800_000_000_000;
pub(super) const HOLD: i64 = 1_000;
pub(super) const POLICY: Policy =
    Policy { hold_ms: HOLD, lateness_ms: 40 * 24 * HOUR_MS, parking_ms: 72 * HOUR_MS, flood_clicks: 2 };
pub(super) const ANNA: VisitorKey = VisitorKey([1; 16]);
pub(super) const PHONE: VisitorKey = VisitorKey([2; 16]);
pub(super) const USER: VisitorKey = VisitorKey([9; 16]);

/// Nothing was committed; all is in the changes.
pub(super) struct Nothing;

impl Memory for Nothing {
    type Error = Infallible;

    fn visitor(&self, _: VisitorKey) -> Result<Option<Arc<VisitorState>>, Infallible> {
        Ok(None)
    }

    fn seen(&self, _: i64, _: Uuid) -> Result<Option<Note>, Infallible> {
        Ok(None)
    }

    fn rate(&self, _: &RateKey) -> Result<Option<Rate>, Infallible> {
        Ok(None)
    }

    fn due(&self, _: i64) -> Result<Due, Infallible> {
        Ok(Due::default())
    }
}

pub(super) fn campaign(number: u128, objective: Objective) -> Campaign {
    Campaign {
        id: CampaignId(Uuid::from_u128(number)),
        workspace: WORKSPACE,
        objective,
        currency: Currency::new("USD").unwrap(),
        terms: vec![Terms {
            version: 1,
            valid_from_ms: 0,
            status: CampaignStatus::Active,
            pay: Pay::Fixed { amount_minor: 250 },
            fee_bps: 1_000,
            window_ms: DEFAULT_WINDOW_MS,
            min_delay_ms: 0,
            model: Model::LastTouch,
            limits: Limits::default(),
            share_bps: 3_333,
            starts_at_ms: None,
            ends_at_ms: None,
        }],
    }
}

/// Campaigns: 10 pays clicks, 11 conversions, 12 sales; 13 has a start and an
/// end, 14 is paused, 15 shares evenly, 16 wants a minute between click and
/// sale.
pub(super) fn rules() -> Rules {
    let mut ended = campaign(13, Objective::Sale);
    ended.terms[0].ends_at_ms = Some(T0 + 100);
    ended.terms[0].starts_at_ms = Some(T0 + 50);
    let mut paused = campaign(14, Objective::Sale);
    paused.terms.push(Terms {
        version: 2,
        valid_from_ms: T0 + 50,
        status: CampaignStatus::Paused,
        ..paused.terms[0].clone()
    });
    let mut linear = campaign(15, Objective::Sale);
    linear.terms[0].model = Model::Linear;
    let mut slow = campaign(16, Objective::Sale);
    slow.terms[0].min_delay_ms = 60_000;
    let plain =
        [campaign(10, Objective::Click), campaign(11, Objective::Conversion), campaign(12, Objective::Sale)];
    let coupon = Coupon {
        workspace: WORKSPACE,
        code: "ANNA10".to_owned(),
        campaign: CampaignId(Uuid::from_u128(12)),
        creator: UserId(Uuid::from_u128(77)),
        valid_from_ms: 0,
    };
    Rules::new(plain.into_iter().chain([ended, paused, linear, slow]), i64::MAX)
        .with_coupons([coupon])
        .with_payment_terms([payment_terms()])
        .with_payees(Payees::new([(WORKSPACE, UserId(Uuid::from_u128(7)))], i64::MAX))
}

fn payment_terms() -> PaymentTerms {
    let usd = Currency::new("USD").unwrap();
    let stripe = ProcessorRate { bps: 290, fixed_minor: BTreeMap::from([(usd, 30)]) };
    let rates = PaymentRates {
        tip_fee_bps: 1_000,
        live_sale_fee_bps: 0,
        commission_bps: BTreeMap::from([("basic".to_owned(), 0)]),
        default_tier: "basic".to_owned(),
        processors: BTreeMap::from([("stripe".to_owned(), stripe)]),
        boost_reward_bps: 0,
    };
    PaymentTerms { workspace: WORKSPACE, version: 1, valid_from_ms: 0, rates }
}

pub(super) fn tip(amount_minor: i64) -> Payment {
    Payment {
        payment_id: "tip".to_owned(),
        purpose: Purpose::Tip,
        payee: UserId(Uuid::from_u128(7)),
        payer: None,
        value: Money { amount_minor, currency: Currency::new("USD").unwrap() },
        processor: "stripe".to_owned(),
        frequency: Frequency::OneTime,
        live_event: None,
        unlock: None,
    }
}

pub(super) fn event(number: u128, at_ms: i64, visitor: VisitorKey, body: Body) -> Event {
    Event {
        id: EventId(Uuid::from_u128(number)),
        workspace: WORKSPACE,
        visitor,
        user: None,
        at_ms,
        received_at_ms: at_ms,
        payload_hash: format!("hash-{number}"),
        body,
        client: Client::default(),
        bot: None,
    }
}

pub(super) fn click(number: u128, at_ms: i64, campaign: u128) -> Event {
    let body = Body::Click {
        link: LinkId(Uuid::from_u128(campaign * 100)),
        campaign: CampaignId(Uuid::from_u128(campaign)),
        creator: UserId(Uuid::from_u128(campaign * 1_000)),
        supporter: None,
        variant: None,
        utm: BTreeMap::new(),
        cookieless: false,
    };
    event(number, at_ms, ANNA, body)
}

/// By a link that a supporter shares.
pub(super) fn shared(mut event: Event) -> Event {
    if let Body::Click { supporter, .. } = &mut event.body {
        *supporter = Some(UserId(Uuid::from_u128(77)));
    }
    event
}

pub(super) fn by_link(number: u128, mut event: Event) -> Event {
    if let Body::Click { link, .. } = &mut event.body {
        *link = LinkId(Uuid::from_u128(number));
    }
    event
}

pub(super) fn cookieless(mut event: Event) -> Event {
    if let Body::Click { cookieless, .. } = &mut event.body {
        *cookieless = true;
    }
    event
}

pub(super) fn bot(mut event: Event) -> Event {
    event.bot = Some(BotReason::UserAgent);
    event
}

pub(super) fn of(visitor: VisitorKey, mut event: Event) -> Event {
    event.visitor = visitor;
    event
}

pub(super) fn from(network: &str, mut event: Event) -> Event {
    event.client.network = Some(network.to_owned());
    event
}

pub(super) fn received(at_ms: i64, mut event: Event) -> Event {
    event.received_at_ms = at_ms;
    event
}

pub(super) fn sale(number: u128, at_ms: i64, token: Option<u128>) -> Event {
    sale_of(&number.to_string(), None, number, at_ms, token)
}

pub(super) fn sale_of(
    order: &str,
    coupon: Option<&str>,
    number: u128,
    at_ms: i64,
    token: Option<u128>,
) -> Event {
    let body = Body::Sale {
        order_id: order.to_owned(),
        value: Money { amount_minor: 9_900, currency: Currency::new("USD").unwrap() },
        items: Vec::new(),
        click: token.map(|n| EventId(Uuid::from_u128(n))),
        coupon: coupon.map(ToOwned::to_owned),
    };
    event(number, at_ms, ANNA, body)
}

pub(super) fn identify(number: u128, at_ms: i64, visitor: VisitorKey) -> Event {
    let body = Body::Identify { user_id: "anna".to_owned(), properties: BTreeMap::new() };
    Event { user: Some(USER), ..event(number, at_ms, visitor, body) }
}

pub(super) fn by_user(event: Event) -> Event {
    Event { visitor: USER, user: Some(USER), ..event }
}

/// Hands the fold its events, and what it sends itself.
pub(super) struct Run {
    pub(super) partition: Partition,
    pub(super) changes: Changes,
    pub(super) credits: Vec<Credit>,
    pub(super) refunds: Vec<String>,
    pub(super) offset: i64,
}

impl Run {
    pub(super) fn new() -> Self {
        Self {
            partition: Partition::new(&Place::default()),
            changes: Changes::default(),
            credits: Vec::new(),
            refunds: Vec::new(),
            offset: 0,
        }
    }

    pub(super) fn take(&mut self, event: Event) {
        let mut emitted = Vec::new();
        let mut context = Context {
            memory: &Nothing,
            changes: &mut self.changes,
            rules: &rules(),
            policy: &POLICY,
            emitted: &mut emitted,
        };
        let Ok(()) = self.partition.apply(self.offset, event, &mut context);
        self.offset += 1;
        for emitted in emitted {
            match emitted {
                Emitted::Credit(credit) => self.credits.push(credit),
                Emitted::Refund(refund) => self.refunds.push(refund.refund_id),
                Emitted::Event(event) => self.take(event),
            }
        }
    }

    /// Lets time pass.
    pub(super) fn until(&mut self, now_ms: i64) {
        self.take(Event::tick(now_ms));
    }
}

/// What became of the actions when all were decided, in the order of events.
pub(super) fn run(events: &[Event]) -> Vec<Credit> {
    let mut run = Run::new();
    for event in events {
        run.take(event.clone());
    }
    let last_ms = events.iter().map(|event| event.received_at_ms).max().unwrap();
    run.until(last_ms + HOLD);
    run.credits
}

pub(super) fn verdict(credit: &Credit) -> String {
    match credit.decision {
        Decision::Payable { payout, .. } => {
            let click = credit.click.map(|click| click.0.as_u128().to_string());
            let otherwise = if credit.campaign.is_some() { "coupon" } else { "itself" };
            let by = click.unwrap_or_else(|| otherwise.to_owned());
            format!("{} by {by}", payout.amount_minor)
        }
        Decision::Nonpayable { reason } | Decision::Rejected { reason } => reason.code().to_owned(),
        Decision::Quarantined => "quarantined".to_owned(),
    }
}

/// The verdict on the event with the largest number; `parked` if none yet.
pub(super) fn last_verdict(events: &[Event]) -> String {
    let last = events.iter().map(|event| event.id).max().unwrap();
    let credits = run(events);
    let verdicts: Vec<String> = credits.iter().filter(|credit| credit.event == last).map(verdict).collect();
    if verdicts.is_empty() { "parked".to_owned() } else { verdicts.join(", ") }
}
