//! A click: a robot's, one of a flood, a duplicate, or a touch that may earn.

use super::credit::{Leg, credit_of, credited};
use super::memory::{Memory, Rate, Touch};
use super::{Sparse, Work};
use crate::command::{Basis, Decision, Reason};
use crate::dedupe::{CLICK_WINDOW_MS, COOKIELESS_CLICK_WINDOW_MS, is_duplicate_click};
use crate::event::{Action, Body};
use crate::ids::VisitorKey;
use crate::rules::{Campaign, Objective};

const MINUTE_MS: i64 = 60_000;

/// Whether a campaign pays for clicks.
pub(super) fn pays_clicks(campaign: &Campaign) -> bool {
    campaign.objective == Objective::Click
}

/// The touch that a click would be.
pub(super) fn touch_of(event: &Sparse) -> Option<Touch> {
    let Body::Click { link, campaign, creator, supporter, .. } = &event.body else { return None };
    Some(Touch {
        click: event.id,
        link: *link,
        campaign: *campaign,
        creator: *creator,
        supporter: *supporter,
        at_ms: event.at_ms,
        is_direct: !event.client.has_referrer,
    })
}

impl<M: Memory> Work<'_, M> {
    pub(super) fn click(&mut self, event: &Sparse) -> Result<(), M::Error> {
        let Some(touch) = touch_of(event) else { return Ok(()) };
        let blocked = if event.bot.is_some() {
            Some(Reason::Bot)
        } else if self.is_flood(event, &touch)? {
            Some(Reason::Flood)
        } else {
            None
        };
        // Robots' clicks and floods earn nothing later either. A duplicate is
        // kept: it may be the click whose token comes back.
        if blocked.is_some() {
            self.pay_click(event, &touch, blocked);
            return Ok(());
        }
        let state = self.view.visitor_mut(event.visitor)?;
        let is_duplicate = is_duplicate(event, &touch, &state.touches);
        state.touch(touch);
        let is_awaited = !state.parked.is_empty();
        self.pay_click(event, &touch, is_duplicate.then_some(Reason::DuplicateClick));
        if is_awaited {
            self.end_waits(event.visitor, &touch)?;
        }
        Ok(())
    }

    /// Decides on a click whose campaign pays for clicks.
    fn pay_click(&mut self, event: &Sparse, touch: &Touch, blocked: Option<Reason>) {
        if let Some(campaign) = self.rules.campaign(touch.campaign).filter(|campaign| pays_clicks(campaign)) {
            let action = Action::of_click(event);
            let decision = match blocked {
                Some(reason) => Decision::Nonpayable { reason },
                None => super::action::terms_decision(campaign, &action),
            };
            let terms = campaign.terms_at(event.at_ms);
            let basis = Basis { terms_version: terms.map(|terms| terms.version), ..Basis::none() };
            let (Decision::Payable { payout, .. }, Some(terms)) = (decision, terms) else {
                self.emit(credited(touch, credit_of(&action, decision, basis)));
                return;
            };
            let leg = Leg::of_creator(touch, payout, None);
            self.pay(&action, terms, vec![leg], |_leg| basis.clone());
        }
    }

    /// Counts a person's click; whether there were too many in its minute. A
    /// click that comes after its minute is over, by the clicks that came
    /// before, is not counted.
    fn is_flood(&mut self, event: &Sparse, touch: &Touch) -> Result<bool, M::Error> {
        let limit = self.view.policy.flood_clicks;
        let Some(network) = event.client.network.as_ref().filter(|_| limit > 0) else { return Ok(false) };
        let (key, minute) = ((touch.link, network.clone()), event.at_ms.div_euclid(MINUTE_MS));
        let clicks = match self.view.rate(&key)? {
            Some(rate) if rate.minute > minute => return Ok(false),
            Some(rate) if rate.minute == minute => rate.clicks.saturating_add(1),
            _ => 1,
        };
        self.view.set_rate(key, Rate { minute, clicks });
        Ok(clicks > limit)
    }

    /// Decides what has waited for a click that is remembered now.
    fn end_waits(&mut self, visitor: VisitorKey, touch: &Touch) -> Result<(), M::Error> {
        let mut state = self.view.take_visitor(visitor)?;
        for parked in std::mem::take(&mut state.parked) {
            let concerns = parked.action.at_ms >= touch.at_ms || parked.action.click == Some(touch.click);
            let waited_ms = parked.waited_ms(self.view.clock_ms);
            if !(concerns && self.decide(visitor, &parked.action, &state.touches, waited_ms)) {
                state.parked.push(parked);
            }
        }
        self.view.set_visitor(visitor, state);
        Ok(())
    }
}

/// Whether the visitor has clicked the link shortly before. Somebody without a
/// cookie is known by address and browser, which others share: for a shorter
/// time.
fn is_duplicate(event: &Sparse, touch: &Touch, touches: &[Touch]) -> bool {
    let is_cookieless = matches!(event.body, Body::Click { cookieless: true, .. });
    let window_ms = if is_cookieless { COOKIELESS_CLICK_WINDOW_MS } else { CLICK_WINDOW_MS };
    touches.iter().any(|t| t.link == touch.link && is_duplicate_click(t.at_ms, touch.at_ms, window_ms))
}
