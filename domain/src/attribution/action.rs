//! A conversion or sale: the clicks that earned it, or where else to look for
//! them.

use super::credit::{Leg, credit_of, credited, limited};
use super::memory::{MAX_PARKED, Memory, Parked, Touch, VisitorState};
use super::model::Step;
use super::{Emitted, MAX_WINDOW_MS, Work};
use crate::command::{Basis, BasisTouch, Credit, Decision, MatchedBy, Reason};
use crate::dedupe::{CLICK_WINDOW_MS, is_duplicate_click};
use crate::event::{Action, Body, Event, Sought};
use crate::ids::{EventId, VisitorKey, hash_uuid};
use crate::money::{Money, apportion};
use crate::rules::{Campaign, CampaignStatus, Coupon, Rules, Terms};

/// What an action's clicks say.
enum Look<'a> {
    /// The deciding click, of a campaign that pays for such an action.
    Found(&'a Touch, &'a Campaign, &'a Terms),
    /// There is a click, but it earns nothing, for this reason.
    Unfit(&'a Touch, Decision),
    /// There is none.
    Nothing,
}

impl<M: Memory> Work<'_, M> {
    /// Takes an action that was not seen before.
    pub(super) fn first_seen(&mut self, action: Action) -> Result<(), M::Error> {
        if let Some(transaction) = action.transaction {
            let event = *action.event.0.as_bytes();
            match self.view.seen(transaction)? {
                Some(first) if first != event => {
                    let decision = Decision::Nonpayable { reason: Reason::DuplicateTransaction };
                    self.emit(credit_of(&action, decision, Basis::none()));
                    return Ok(());
                }
                Some(_) => {}
                None => self.view.set_seen(transaction, event),
            }
        }
        self.seek(action.visitor, action)
    }

    /// Decides an action by the clicks under `key`; where there are none, hands
    /// it on to where there may be some, or parks it.
    pub(super) fn seek(&mut self, key: VisitorKey, action: Action) -> Result<(), M::Error> {
        let state = self.view.visitor(key)?;
        if self.decide(key, &action, &state.touches, action.waited_ms) {
            return Ok(());
        }
        match next_stop(key, &action, &state) {
            Some((next, sought)) => self.hand_on(Action { sought, ..action }, next),
            None => self.by_coupon_or_park(key, action)?,
        }
        Ok(())
    }

    /// Emits what the clicks earn; `false` if there is none to decide by.
    pub(super) fn decide(
        &mut self,
        key: VisitorKey,
        action: &Action,
        touches: &[Touch],
        waited_ms: Option<i64>,
    ) -> bool {
        let rules = self.rules;
        let before: Vec<&Touch> = touches.iter().filter(|touch| touch.at_ms <= action.at_ms).collect();
        let by_token = touches.iter().find(|touch| Some(touch.click) == action.click);
        let matched_by = match by_token {
            Some(_) => MatchedBy::ClickToken,
            None if key == action.visitor => MatchedBy::Visitor,
            None => MatchedBy::User,
        };
        let basis = |terms: Option<&Terms>, weights: &[(EventId, u64)], chosen: EventId| Basis {
            matched_by: Some(matched_by),
            waited_ms,
            touches: before.iter().map(|touch| basis_touch(touch, weights, chosen)).collect(),
            ..Basis::of_terms(terms)
        };
        let (touch, decision, terms) = match look(action, &before, by_token, rules) {
            Look::Nothing => return false,
            Look::Unfit(..) if coupon_of(action, rules).is_some() => return false,
            Look::Unfit(touch, decision) => {
                let campaign = rules.campaign(touch.campaign);
                (touch, decision, campaign.and_then(|campaign| campaign.terms_at(action.at_ms)))
            }
            Look::Found(touch, campaign, terms) => (touch, terms_decision(campaign, action), Some(terms)),
        };
        let (Decision::Payable { payout, .. }, Some(terms)) = (decision, terms) else {
            let basis = basis(terms, &[], touch.click);
            self.emit(credited(touch, credit_of(action, decision, basis)));
            return true;
        };
        let journey = journey(touch, &before, terms, action.at_ms);
        let Shares { weights, shares } = share(&journey, terms, payout, action);
        let legs = shares.into_iter().map(|(touch, payout, value)| Leg::of_creator(touch, payout, value));
        let basis = |leg: &Leg<'_>| basis(Some(terms), &weights, leg.touch.click);
        self.pay(action, terms, legs.collect(), basis);
        true
    }

    /// Sends an action to the partition of `key`.
    pub(super) fn hand_on(&mut self, action: Action, key: VisitorKey) {
        let action = Action { hops: action.hops.saturating_add(1), ..action };
        let parts = [&action.event.0.as_bytes()[..], &key.0, &action.hops.to_be_bytes()];
        let id = hash_uuid("handed", &parts);
        let (workspace, at_ms) = (action.workspace, action.at_ms);
        let payload_hash = action.payload_hash.clone();
        let body = Body::Handed { action: Box::new(action) };
        self.emitted.push(Emitted::Event(Event::internal(id, workspace, key, at_ms, payload_hash, body)));
    }

    fn by_coupon_or_park(&mut self, key: VisitorKey, action: Action) -> Result<(), M::Error> {
        if let Some(coupon) = coupon_of(&action, self.rules) {
            let (decision, basis) = by_coupon(&action, coupon, self.rules);
            let basis = Basis { waited_ms: action.waited_ms, ..basis };
            let (campaign, creator) = (Some(coupon.campaign), Some(coupon.creator));
            let terms = self.rules.campaign(coupon.campaign).and_then(|c| c.terms_at(action.at_ms));
            let credit = limited(terms, &action, credit_of(&action, decision, basis));
            self.emit(Credit { campaign, creator, ..credit });
            return Ok(());
        }
        let mut state = self.view.take_visitor(key)?;
        if state.parked.len() >= MAX_PARKED {
            let oldest = state.parked.remove(0);
            self.no_touch(&oldest);
        }
        let since_ms = self.view.clock_ms;
        // Wherever it waits, it waits no longer in all.
        let left_ms = self.view.policy.parking_ms.saturating_sub(action.waited_ms.unwrap_or_default());
        let until_ms = since_ms.saturating_add(left_ms.max(0));
        state.parked.push(Parked { action, since_ms, until_ms });
        self.view.set_wait(until_ms, key);
        self.view.set_visitor(key, state);
        Ok(())
    }
}

/// Where an action without a click under `key` goes next; nowhere, if it stays.
///
/// Where its user is known, it asks there, goes round the user's other
/// visitors, the latest first, and comes back to wait for one more; else it
/// waits under its visitor.
fn next_stop(key: VisitorKey, action: &Action, state: &VisitorState) -> Option<(VisitorKey, Sought)> {
    let round = || {
        let visitors = state.identities.iter().rev().copied().filter(|known| *known != action.visitor);
        let mut stops: Vec<VisitorKey> = visitors.collect();
        let first = (!stops.is_empty()).then(|| stops.remove(0))?;
        stops.push(key);
        Some((first, Sought::Among(stops)))
    };
    match &action.sought {
        Sought::Here if action.user == Some(key) => round(),
        Sought::Here => {
            let user = action.user.or_else(|| state.identities.last().copied())?;
            Some((user, Sought::AskUser))
        }
        Sought::AskUser => round(),
        Sought::Among(rest) => {
            let (next, rest) = rest.split_first()?;
            Some((*next, Sought::Among(rest.to_vec())))
        }
    }
}

/// Finds the deciding click: the token's, else the last one of a campaign that
/// pays for such an action, else the last at all; each within its window.
fn look<'a>(
    action: &Action,
    before: &[&'a Touch],
    by_token: Option<&'a Touch>,
    rules: &'a Rules,
) -> Look<'a> {
    if let Some(touch) = by_token.filter(|touch| touch.at_ms > action.at_ms) {
        return Look::Unfit(touch, Decision::Rejected { reason: Reason::BeforeClick });
    }
    let terms = |touch: &Touch| {
        let campaign = rules.campaign(touch.campaign)?;
        Some((campaign, campaign.terms_at(action.at_ms)?))
    };
    let in_window = |touch: &&&Touch| {
        let window_ms = terms(touch).map_or(0, |(_, terms)| terms.window_ms.min(MAX_WINDOW_MS));
        action.at_ms.saturating_sub(touch.at_ms) <= window_ms
    };
    let pays_for_it =
        |touch: &&&Touch| rules.campaign(touch.campaign).is_some_and(|c| c.objective == action.kind);
    let latest = || before.iter().rev();
    let chosen = by_token
        .or_else(|| latest().filter(in_window).find(pays_for_it).copied())
        .or_else(|| latest().find(in_window).copied())
        .or_else(|| before.last().copied());
    let Some(touch) = chosen else { return Look::Nothing };
    let rejected = |reason| Look::Unfit(touch, Decision::Rejected { reason });
    let nonpayable = |reason| Look::Unfit(touch, Decision::Nonpayable { reason });
    match terms(touch) {
        _ if !in_window(&&touch) => rejected(Reason::WindowExpired),
        None => nonpayable(Reason::UnknownCampaign),
        Some((campaign, _)) if campaign.objective != action.kind => nonpayable(Reason::ObjectiveMismatch),
        Some((_, terms)) if action.at_ms.saturating_sub(touch.at_ms) < terms.min_delay_ms => {
            rejected(Reason::TooSoon)
        }
        Some((campaign, terms)) => Look::Found(touch, campaign, terms),
    }
}

/// The clicks that share in an action: those of the deciding click's campaign
/// within the window, the deciding one last. Of clicks that repeat each other
/// only the last counts: nobody earns more by clicking again.
fn journey<'a>(deciding: &'a Touch, before: &[&'a Touch], terms: &Terms, at_ms: i64) -> Vec<&'a Touch> {
    let window_ms = terms.window_ms.min(MAX_WINDOW_MS);
    let all: Vec<&Touch> = before
        .iter()
        .copied()
        .filter(|touch| touch.campaign == deciding.campaign && touch.click != deciding.click)
        .filter(|touch| at_ms.saturating_sub(touch.at_ms) <= window_ms)
        .chain([deciding])
        .collect();
    let repeats =
        |a: &Touch, b: &Touch| a.link == b.link && is_duplicate_click(a.at_ms, b.at_ms, CLICK_WINDOW_MS);
    let later = |place: usize| all.iter().skip(place.saturating_add(1));
    let counts = |(place, touch): &(usize, &&Touch)| !later(*place).any(|later| repeats(touch, later));
    all.iter().enumerate().filter(counts).map(|(_, touch)| *touch).collect()
}

/// What the clicks of a journey share.
struct Shares<'a> {
    /// Every click's weight.
    weights: Vec<(EventId, u64)>,
    /// Those that weigh anything: of the payout, and of the action's value.
    shares: Vec<(&'a Touch, Money, Option<Money>)>,
}

fn share<'a>(journey: &[&'a Touch], terms: &Terms, payout: Money, action: &Action) -> Shares<'a> {
    let step = |touch: &&Touch| Step {
        age_ms: action.at_ms.saturating_sub(touch.at_ms),
        is_direct: touch.is_direct,
    };
    let steps: Vec<Step> = journey.iter().map(step).collect();
    let weights = terms.model.weights(&steps);
    let parts = |money: Money| -> Vec<Money> {
        let parts = apportion(money.amount_minor, &weights).into_iter();
        parts.map(|amount_minor| Money { amount_minor, ..money }).collect()
    };
    let (payouts, values) = (parts(payout), action.value.map(parts));
    let shares = journey
        .iter()
        .enumerate()
        .filter(|(place, _)| weights[*place] > 0)
        .map(|(place, touch)| (*touch, payouts[place], values.as_ref().map(|values| values[place])))
        .collect();
    let weights = journey.iter().map(|touch| touch.click).zip(weights.iter().copied()).collect();
    Shares { weights, shares }
}

/// What the campaign's terms say of an action of its kind.
pub(super) fn terms_decision(campaign: &Campaign, action: &Action) -> Decision {
    let at_ms = action.at_ms;
    let rejected = |reason| Decision::Rejected { reason };
    let Some(terms) = campaign.terms_at(at_ms) else {
        return Decision::Nonpayable { reason: Reason::UnknownCampaign };
    };
    if terms.status != CampaignStatus::Active {
        rejected(Reason::CampaignNotActive)
    } else if terms.starts_at_ms.is_some_and(|start| at_ms < start) {
        rejected(Reason::BeforeStart)
    } else if terms.ends_at_ms.is_some_and(|end| at_ms >= end) {
        rejected(Reason::AfterEnd)
    } else {
        match terms.pay.of(action.value, &action.items, campaign.currency) {
            Ok(payout) if payout.amount_minor == 0 => Decision::Nonpayable { reason: Reason::ShareTooSmall },
            Ok(payout) => Decision::Payable { payout, fee_bps: terms.fee_bps, other_minor: 0 },
            Err(reason) => Decision::Nonpayable { reason },
        }
    }
}

fn coupon_of<'a>(action: &Action, rules: &'a Rules) -> Option<&'a Coupon> {
    rules.coupon(action.workspace, action.coupon.as_deref()?, action.at_ms)
}

/// What a coupon's campaign says of an action.
fn by_coupon(action: &Action, coupon: &Coupon, rules: &Rules) -> (Decision, Basis) {
    let campaign = rules.campaign(coupon.campaign);
    let decision = match campaign {
        None => Decision::Nonpayable { reason: Reason::UnknownCampaign },
        Some(campaign) if campaign.objective != action.kind => {
            Decision::Nonpayable { reason: Reason::ObjectiveMismatch }
        }
        Some(campaign) => terms_decision(campaign, action),
    };
    let terms = campaign.and_then(|campaign| campaign.terms_at(action.at_ms));
    (decision, Basis { matched_by: Some(MatchedBy::Coupon), ..Basis::of_terms(terms) })
}

fn basis_touch(touch: &Touch, weights: &[(EventId, u64)], chosen: EventId) -> BasisTouch {
    let weight = weights.iter().find(|(click, _)| *click == touch.click).map_or(0, |(_, weight)| *weight);
    BasisTouch {
        click: touch.click,
        link: touch.link,
        campaign: touch.campaign,
        creator: touch.creator,
        at_ms: touch.at_ms,
        chosen: touch.click == chosen,
        weight,
    }
}
