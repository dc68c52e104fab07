//! Which click earned an action, and why: a pure fold over one visitor's
//! events. The caller loads the visitor's state, applies the event, and stores
//! what comes back.

use serde::{Deserialize, Serialize};

use crate::command::{Basis, BasisTouch, Credit, Decision, MatchedBy, Reason};
use crate::dedupe::{Arrival, arrival, is_duplicate_click};
use crate::event::{Body, Event};
use crate::ids::{CampaignId, EventId, LinkId, UserId};
use crate::money::Money;
use crate::rules::{Campaign, CampaignStatus, Objective, Rules, Terms};

/// The name of the only model so far.
pub const LAST_TOUCH: &str = "last_touch";
/// A visitor's clicks beyond this many are forgotten, oldest first.
pub const MAX_TOUCHES: usize = 64;
/// No attribution window may be longer; older clicks are forgotten: 90 days.
pub const MAX_WINDOW_MS: i64 = 90 * 24 * 60 * 60 * 1_000;

/// A click that can earn something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touch {
    /// The click.
    pub click: EventId,
    /// Its link.
    pub link: LinkId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// Its creator.
    pub creator: UserId,
    /// When.
    pub at_ms: i64,
}

/// What is remembered of a visitor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisitorState {
    /// Clicks, in the order of (time, id).
    pub touches: Vec<Touch>,
}

impl VisitorState {
    fn add(&mut self, touch: Touch) {
        let key = |t: &Touch| (t.at_ms, t.click);
        let at = self.touches.partition_point(|t| key(t) < key(&touch));
        self.touches.insert(at, touch);
        let newest_ms = self.touches.last().map_or(0, |t| t.at_ms);
        let oldest_kept_ms = newest_ms.saturating_sub(MAX_WINDOW_MS);
        self.touches.retain(|t| t.at_ms >= oldest_kept_ms);
        let surplus = self.touches.len().saturating_sub(MAX_TOUCHES);
        self.touches.drain(..surplus);
    }
}

/// What an event leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The visitor's new state; `None` where it stays.
    pub visitor: Option<VisitorState>,
    /// The decision, for the kinds of event that need one.
    pub credit: Option<Credit>,
    /// What the event's id was before: first seen, a repeat, or a clash.
    pub arrival: Arrival,
}

/// Applies `event`. `remembered` is the payload hash kept under its id, if
/// any; `visitor` is the state of the event's visitor; `rules` must
/// [cover](Rules::cover) the event.
#[must_use]
pub fn apply(event: &Event, remembered: Option<&str>, visitor: &VisitorState, rules: &Rules) -> Step {
    let arrival = arrival(remembered, &event.payload_hash);
    let mut step = Step { visitor: None, credit: None, arrival };
    match (arrival, &event.body) {
        (Arrival::Repeat, _) => {}
        (Arrival::Clash, body) => {
            step.credit = action_kind(body).map(|kind| {
                let basis = no_basis();
                credit(event, kind, None, None, Decision::Quarantined, basis)
            });
        }
        (Arrival::First, Body::Click { link, campaign, creator, .. }) => {
            let touch = Touch {
                click: event.id,
                link: *link,
                campaign: *campaign,
                creator: *creator,
                at_ms: event.at_ms,
            };
            apply_click(event, touch, visitor, rules, &mut step);
        }
        (Arrival::First, Body::Conversion { value, click, .. }) => {
            step.credit = Some(decide_action(event, Objective::Conversion, *value, *click, visitor, rules));
        }
        (Arrival::First, Body::Sale { value, click, .. }) => {
            step.credit = Some(decide_action(event, Objective::Sale, Some(*value), *click, visitor, rules));
        }
        (Arrival::First, Body::Erase {}) => step.visitor = Some(VisitorState::default()),
        (
            Arrival::First,
            Body::Page { .. } | Body::Track { .. } | Body::Identify { .. } | Body::Refund { .. },
        ) => {}
    }
    step
}

fn action_kind(body: &Body) -> Option<Objective> {
    match body {
        Body::Click { .. } => Some(Objective::Click),
        Body::Conversion { .. } => Some(Objective::Conversion),
        Body::Sale { .. } => Some(Objective::Sale),
        Body::Page { .. }
        | Body::Track { .. }
        | Body::Identify { .. }
        | Body::Refund { .. }
        | Body::Erase {} => None,
    }
}

fn apply_click(event: &Event, touch: Touch, visitor: &VisitorState, rules: &Rules, step: &mut Step) {
    let campaign = rules.campaign(touch.campaign);
    let repeats = |t: &&Touch| t.link == touch.link && is_duplicate_click(t.at_ms, touch.at_ms);
    let blocked = if event.bot.is_some() {
        Some(Reason::Bot)
    } else if visitor.touches.iter().any(|t| repeats(&t)) {
        Some(Reason::DuplicateClick)
    } else {
        None
    };
    if campaign.is_some_and(|campaign| campaign.objective == Objective::Click) {
        let decision = match (blocked, campaign) {
            (Some(reason), _) => Decision::Nonpayable { reason },
            (None, campaign) => terms_decision(campaign, event.at_ms),
        };
        let terms = campaign.and_then(|campaign| campaign.terms_at(event.at_ms));
        let basis = Basis { window_ms: None, ..basis(terms, &[], None) };
        step.credit = Some(credit(event, Objective::Click, None, Some(&touch), decision, basis));
    }
    // A robot's click earns nothing later either. A duplicate is kept: it may
    // be the click whose token comes back.
    if event.bot.is_none() {
        let mut state = visitor.clone();
        state.add(touch);
        step.visitor = Some(state);
    }
}

fn decide_action(
    event: &Event,
    kind: Objective,
    value: Option<Money>,
    token_click: Option<EventId>,
    visitor: &VisitorState,
    rules: &Rules,
) -> Credit {
    let before: Vec<&Touch> = visitor.touches.iter().filter(|t| t.at_ms <= event.at_ms).collect();
    let in_window = |t: &&&Touch| window_of(rules, t, event.at_ms) >= event.at_ms.saturating_sub(t.at_ms);
    let pays_for_it =
        |t: &&&Touch| rules.campaign(t.campaign).is_some_and(|campaign| campaign.objective == kind);
    // The token's click, else the last click of a campaign that pays for this,
    // else the last click at all; each within its window.
    let by_token = before.iter().find(|t| Some(t.click) == token_click);
    let chosen = by_token
        .or_else(|| before.iter().rev().filter(in_window).find(pays_for_it))
        .or_else(|| before.iter().rev().find(in_window))
        .or_else(|| before.last())
        .copied();
    let Some(touch) = chosen else {
        let decision = Decision::Nonpayable { reason: Reason::NoTouch };
        return credit(event, kind, value, None, decision, no_basis());
    };
    let campaign = rules.campaign(touch.campaign);
    let decision = if !in_window(&&touch) {
        Decision::Rejected { reason: Reason::WindowExpired }
    } else if campaign.is_some_and(|campaign| campaign.objective != kind) {
        Decision::Nonpayable { reason: Reason::ObjectiveMismatch }
    } else {
        terms_decision(campaign, event.at_ms)
    };
    let terms = campaign.and_then(|campaign| campaign.terms_at(event.at_ms));
    let matched_by = if by_token.is_some() { MatchedBy::ClickToken } else { MatchedBy::Visitor };
    let basis = Basis { matched_by: Some(matched_by), ..basis(terms, &before, Some(touch)) };
    credit(event, kind, value, Some(touch), decision, basis)
}

/// The window of a touch's campaign at `at_ms`; none without terms.
fn window_of(rules: &Rules, touch: &Touch, at_ms: i64) -> i64 {
    let terms = rules.campaign(touch.campaign).and_then(|campaign| campaign.terms_at(at_ms));
    terms.map_or(0, |terms| terms.window_ms.min(MAX_WINDOW_MS))
}

/// What the campaign's terms at `at_ms` say of an action of its kind.
fn terms_decision(campaign: Option<&Campaign>, at_ms: i64) -> Decision {
    let Some((campaign, terms)) = campaign.and_then(|c| Some((c, c.terms_at(at_ms)?))) else {
        return Decision::Nonpayable { reason: Reason::UnknownCampaign };
    };
    let rejected = |reason| Decision::Rejected { reason };
    if terms.status != CampaignStatus::Active {
        rejected(Reason::CampaignNotActive)
    } else if terms.starts_at_ms.is_some_and(|start| at_ms < start) {
        rejected(Reason::BeforeStart)
    } else if terms.ends_at_ms.is_some_and(|end| at_ms >= end) {
        rejected(Reason::AfterEnd)
    } else {
        let payout = Money { amount_minor: terms.payout_minor, currency: campaign.currency };
        Decision::Payable { payout, fee_bps: terms.fee_bps }
    }
}

fn no_basis() -> Basis {
    basis(None, &[], None)
}

fn basis(terms: Option<&Terms>, touches: &[&Touch], chosen: Option<&Touch>) -> Basis {
    Basis {
        model: LAST_TOUCH.to_owned(),
        terms_version: terms.map(|terms| terms.version),
        window_ms: terms.map(|terms| terms.window_ms),
        matched_by: None,
        touches: touches
            .iter()
            .map(|touch| BasisTouch {
                click: touch.click,
                link: touch.link,
                campaign: touch.campaign,
                creator: touch.creator,
                at_ms: touch.at_ms,
                chosen: chosen.is_some_and(|chosen| chosen.click == touch.click),
            })
            .collect(),
    }
}

fn credit(
    event: &Event,
    kind: Objective,
    value: Option<Money>,
    touch: Option<&Touch>,
    decision: Decision,
    basis: Basis,
) -> Credit {
    Credit {
        event: event.id,
        leg: 0,
        kind,
        workspace: event.workspace,
        at_ms: event.at_ms,
        visitor: event.visitor,
        payload_hash: event.payload_hash.clone(),
        campaign: touch.map(|touch| touch.campaign),
        creator: touch.map(|touch| touch.creator),
        link: touch.map(|touch| touch.link),
        click: touch.map(|touch| touch.click),
        value,
        decision,
        basis,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::event::{BotReason, Client};
    use crate::ids::{VisitorKey, WorkspaceId};
    use crate::money::Currency;
    use crate::rules::DEFAULT_WINDOW_MS;

    const WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));
    /// A day in 2027.
    const T0: i64 = 1_800_000_000_000;

    fn campaign(number: u128, objective: Objective) -> Campaign {
        Campaign {
            id: CampaignId(Uuid::from_u128(number)),
            workspace: WORKSPACE,
            objective,
            currency: Currency::new("USD").unwrap(),
            terms: vec![Terms {
                version: 1,
                valid_from_ms: 0,
                status: CampaignStatus::Active,
                payout_minor: 250,
                fee_bps: 1_000,
                window_ms: DEFAULT_WINDOW_MS,
                starts_at_ms: None,
                ends_at_ms: None,
            }],
        }
    }

    fn rules() -> Rules {
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
        let plain = [
            campaign(10, Objective::Click),
            campaign(11, Objective::Conversion),
            campaign(12, Objective::Sale),
        ];
        Rules::new(plain.into_iter().chain([ended, paused]), i64::MAX)
    }

    fn event(number: u128, at_ms: i64, body: Body) -> Event {
        Event {
            id: EventId(Uuid::from_u128(number)),
            workspace: WORKSPACE,
            visitor: VisitorKey([1; 16]),
            at_ms,
            received_at_ms: at_ms,
            payload_hash: format!("hash-{number}"),
            body,
            client: Client::default(),
            bot: None,
        }
    }

    fn click(number: u128, at_ms: i64, campaign: u128) -> Event {
        let body = Body::Click {
            link: LinkId(Uuid::from_u128(campaign * 100)),
            campaign: CampaignId(Uuid::from_u128(campaign)),
            creator: UserId(Uuid::from_u128(campaign * 1_000)),
            supporter: None,
            variant: None,
            utm: std::collections::BTreeMap::new(),
        };
        event(number, at_ms, body)
    }

    fn sale(number: u128, at_ms: i64, token: Option<u128>) -> Event {
        let body = Body::Sale {
            order_id: number.to_string(),
            value: Money { amount_minor: 9_900, currency: Currency::new("USD").unwrap() },
            items: Vec::new(),
            click: token.map(|n| EventId(Uuid::from_u128(n))),
        };
        event(number, at_ms, body)
    }

    /// Runs a visitor's events; gives the decision on the last.
    fn last_credit(events: &[Event]) -> Option<Credit> {
        let mut state = VisitorState::default();
        let mut credit = None;
        for event in events {
            let step = apply(event, None, &state, &rules());
            if let Some(visitor) = step.visitor {
                state = visitor;
            }
            credit = step.credit;
        }
        credit
    }

    fn verdict(events: &[Event]) -> String {
        match last_credit(events).map(|credit| (credit.decision, credit.click)) {
            None => "none".to_owned(),
            Some((Decision::Payable { .. }, click)) => {
                click.map_or("paid".to_owned(), |click| format!("paid by {}", click.0.as_u128()))
            }
            Some((Decision::Nonpayable { reason } | Decision::Rejected { reason }, _)) => {
                reason.code().to_owned()
            }
            Some((Decision::Quarantined, _)) => "quarantined".to_owned(),
        }
    }

    fn bot(mut event: Event) -> Event {
        event.bot = Some(BotReason::UserAgent);
        event
    }

    #[test]
    fn decisions() {
        let window = DEFAULT_WINDOW_MS;
        let day = 24 * 60 * 60 * 1_000;
        for (events, expected) in [
            (vec![click(1, T0, 10)], "paid by 1"),
            (vec![click(1, T0, 12)], "none"),
            (vec![bot(click(1, T0, 10))], "bot"),
            (vec![click(1, T0, 10), click(2, T0 + 5, 10)], "duplicate_click"),
            (vec![click(1, T0, 10), click(2, T0 + day, 10)], "duplicate_click"),
            (vec![click(1, T0, 10), click(2, T0 + day + 1, 10)], "paid by 2"),
            (vec![sale(1, T0, None)], "no_touch"),
            (vec![click(1, T0, 12), sale(2, T0, None)], "paid by 1"),
            (vec![click(1, T0, 12), sale(2, T0 - 1, None)], "no_touch"),
            (vec![click(1, T0, 12), sale(2, T0 + window, None)], "paid by 1"),
            (vec![click(1, T0, 12), sale(2, T0 + window + 1, None)], "window_expired"),
            (vec![bot(click(1, T0, 12)), sale(2, T0 + 9, Some(1))], "no_touch"),
            (vec![click(1, T0, 12), click(2, T0 + 1, 12), sale(3, T0 + 9, None)], "paid by 2"),
            (vec![click(1, T0, 12), click(2, T0 + 1, 12), sale(3, T0 + 9, Some(1))], "paid by 1"),
            // Out of order: the later click came in first.
            (vec![click(2, T0 + 1, 12), click(1, T0, 12), sale(3, T0 + 9, None)], "paid by 2"),
            // The last click of a campaign that pays for sales, not of any.
            (vec![click(1, T0, 12), click(2, T0 + 1, 11), sale(3, T0 + 9, None)], "paid by 1"),
            (vec![click(1, T0, 11), sale(2, T0 + 9, None)], "objective_mismatch"),
            (vec![click(1, T0, 13), sale(2, T0 + 49, None)], "before_start"),
            (vec![click(1, T0, 13), sale(2, T0 + 50, None)], "paid by 1"),
            (vec![click(1, T0, 13), sale(2, T0 + 99, None)], "paid by 1"),
            (vec![click(1, T0, 13), sale(2, T0 + 100, None)], "after_end"),
            (vec![click(1, T0, 14), sale(2, T0 + 49, None)], "paid by 1"),
            (vec![click(1, T0, 14), sale(2, T0 + 50, None)], "campaign_not_active"),
        ] {
            assert_eq!(verdict(&events), expected, "{events:#?}");
        }
    }

    #[test]
    fn repeats_are_ignored_and_clashes_quarantined() {
        let (state, rules) = (VisitorState::default(), rules());
        let repeat = apply(&sale(1, T0, None), Some("hash-1"), &state, &rules);
        assert_eq!((repeat.arrival, repeat.credit), (Arrival::Repeat, None));
        let clash = apply(&sale(1, T0, None), Some("other"), &state, &rules);
        assert_eq!(clash.credit.unwrap().decision, Decision::Quarantined);
    }

    #[test]
    fn a_decision_tells_its_basis() {
        let credit = last_credit(&[click(1, T0, 12), click(2, T0 + 1, 11), sale(3, T0 + 9, None)]).unwrap();
        let basis = credit.basis;
        assert_eq!((basis.terms_version, basis.window_ms), (Some(1), Some(DEFAULT_WINDOW_MS)));
        let chosen: Vec<bool> = basis.touches.iter().map(|touch| touch.chosen).collect();
        assert_eq!(chosen, [true, false]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut state = VisitorState::default();
        for number in 0..200 {
            let at_ms = T0 + i64::try_from(number).unwrap();
            state = apply(&click(number, at_ms, 12), None, &state, &rules()).visitor.unwrap();
        }
        assert_eq!(state.touches.len(), MAX_TOUCHES);
        assert_eq!(state.touches[0].click.0.as_u128(), 136);
        let late = click(999, T0 + MAX_WINDOW_MS + 199, 12);
        state = apply(&late, None, &state, &rules()).visitor.unwrap();
        assert_eq!(state.touches.len(), 2);
    }

    proptest! {
        /// Clicks in any order of arrival leave the same memory.
        #[test]
        fn arrival_order_does_not_matter(order in Just((0..20_u128).collect::<Vec<_>>()).prop_shuffle()) {
            let run = |order: &[u128]| {
                let mut state = VisitorState::default();
                for number in order {
                    let at_ms = T0 + i64::try_from(number / 2).unwrap();
                    state = apply(&click(*number, at_ms, 12), None, &state, &rules()).visitor.unwrap();
                }
                state
            };
            let sorted: Vec<u128> = (0..20).collect();
            prop_assert_eq!(run(&order), run(&sorted));
        }
    }
}
