//! What attribution must come to, worked out again for every event from the
//! whole log: no state, no shortcuts, and as little as possible in common with
//! the fold that it is compared with.

mod verdict;

use std::collections::BTreeSet;

use domain::attribution::Policy;
use domain::attribution::model::Step;
use domain::command::{Decision, MatchedBy, Reason};
use domain::event::{Action, Body, Event, Sought};
use domain::ids::{CampaignId, EventId, LinkId, UserId, VisitorKey};
use domain::money::{Money, apportion};
use domain::pay::Pay;
use domain::rules::{Campaign, CampaignStatus, Objective, Rules, Terms};

pub use self::verdict::{Sent, Verdict};

const HOUR_MS: i64 = 3_600_000;

/// All that one partition's log leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The decisions.
    pub verdicts: BTreeSet<Verdict>,
    /// The messages.
    pub sent: BTreeSet<Sent>,
}

/// Who is credited: campaign, creator, and the click unless it was a coupon.
type Credited = (CampaignId, UserId, Option<EventId>);

/// A click that can earn.
#[derive(Clone, Debug)]
struct Touch {
    click: EventId,
    link: LinkId,
    campaign: CampaignId,
    creator: UserId,
    supporter: Option<UserId>,
    at_ms: i64,
    is_direct: bool,
}

impl Touch {
    fn credited(&self) -> Credited {
        (self.campaign, self.creator, Some(self.click))
    }

    /// What a supporter gets for sharing the link, where its creator gets
    /// `payout`.
    fn reward(&self, payout: Money, terms: &Terms) -> Option<(Credited, Money)> {
        let supporter = self.supporter?;
        let amount_minor = half_up(payout.amount_minor, terms.share_bps);
        (amount_minor > 0)
            .then_some(((self.campaign, supporter, Some(self.click)), Money { amount_minor, ..payout }))
    }
}

/// An event whose turn has come.
struct Turn<'a> {
    event: &'a Event,
    /// The offset at which it came.
    turn: usize,
    clock_ms: i64,
}

/// Works out what `log`, all of one partition, leads to.
#[must_use]
pub fn expected(log: &[Event], rules: &Rules, policy: &Policy) -> Expected {
    let mut naive = Naive {
        rules,
        policy,
        clocks: log
            .iter()
            .scan(0, |clock_ms: &mut i64, event| {
                *clock_ms = event.received_at_ms.max(*clock_ms);
                Some(*clock_ms)
            })
            .collect(),
        turns: Vec::new(),
        floods: Vec::new(),
        firsts: Vec::new(),
        expected: Expected::default(),
    };
    naive.turns = naive.sort_out(log);
    naive.floods = (0..naive.turns.len()).map(|place| naive.is_flood(place)).collect();
    for place in 0..naive.turns.len() {
        naive.take(place);
    }
    naive.expected
}

struct Naive<'a> {
    rules: &'a Rules,
    policy: &'a Policy,
    /// The clock after each offset.
    clocks: Vec<i64>,
    /// The events that count, in their order.
    turns: Vec<Turn<'a>>,
    /// Of each turn, whether it is a flood's click.
    floods: Vec<bool>,
    /// Places of actions that were the first of their transaction.
    firsts: Vec<usize>,
    expected: Expected,
}

fn rank(body: &Body) -> Option<u8> {
    Some(match body {
        Body::Click { .. } => 0,
        Body::Identify { .. } | Body::Stitch { .. } => 1,
        Body::Conversion { .. } | Body::Sale { .. } | Body::Payment(_) | Body::Handed { .. } => 2,
        Body::Refund { .. } => 3,
        Body::Erase {} => 4,
        Body::Page { .. } | Body::Track { .. } | Body::Tick {} => return None,
    })
}

fn is_internal(body: &Body) -> bool {
    matches!(body, Body::Handed { .. } | Body::Stitch { .. })
}

impl<'a> Naive<'a> {
    /// Puts repeats, clashes and what is too late aside, the rest in order.
    fn sort_out(&mut self, log: &'a [Event]) -> Vec<Turn<'a>> {
        // Offsets of events, and those at which their ids were noted.
        let mut noted: Vec<(usize, usize)> = Vec::new();
        let mut turns = Vec::new();
        for (offset, event) in log.iter().enumerate().filter(|(_, event)| rank(&event.body).is_some()) {
            let generation = |at: usize| self.clocks[at].div_euclid(self.policy.lateness_ms);
            let is_known = |noted: usize| noted < offset && generation(offset) - generation(noted) <= 1;
            let known = noted.iter().rev().find(|(at, noted)| log[*at].id == event.id && is_known(*noted));
            if let Some((at, _)) = known {
                if log[*at].payload_hash != event.payload_hash {
                    self.refuse(event, Decision::Quarantined);
                }
                continue;
            }
            noted.push((offset, offset));
            let clock_ms = self.clocks[offset];
            if clock_ms - event.at_ms > self.policy.lateness_ms && !is_internal(&event.body) {
                self.refuse(event, Decision::Rejected { reason: Reason::TooLate });
                continue;
            }
            let due_ms = event.at_ms + self.policy.hold_ms;
            let turn = (offset..log.len()).find(|at| self.clocks[*at] >= due_ms);
            // Of one that is ahead of the clock, once more when its time has come.
            noted.extend(turn.filter(|_| event.at_ms > event.received_at_ms).map(|turn| (offset, turn)));
            turns.extend(turn.map(|turn| Turn { event, turn, clock_ms: self.clocks[turn] }));
        }
        turns.sort_by_key(|turn| (turn.turn, turn.event.at_ms, rank(&turn.event.body), turn.event.id));
        turns
    }

    fn hand_on_refund(&mut self, event: &Event) {
        let payload_hash = event.payload_hash.clone();
        self.expected.sent.insert(Sent::Refund { event: event.id, payload_hash });
    }

    fn refuse(&mut self, event: &Event, decision: Decision) {
        let action = match &event.body {
            Body::Click { .. } => Action::of_click(event),
            Body::Refund { .. } => return self.hand_on_refund(event),
            _ => match event.action() {
                Some(action) => action,
                None => return,
            },
        };
        let touch = touch_of(event);
        let pays = touch.as_ref().is_some_and(|touch| self.pays(touch.campaign, Objective::Click));
        if event.action().is_some() || pays || decision == Decision::Quarantined {
            self.say(&action, 0, decision, touch.as_ref().map(Touch::credited), action.value, None, None);
        }
    }

    fn campaign(&self, id: CampaignId) -> Option<&'a Campaign> {
        self.rules.campaign(id)
    }

    fn pays(&self, id: CampaignId, kind: Objective) -> bool {
        self.campaign(id).is_some_and(|campaign| campaign.objective == kind)
    }

    #[allow(clippy::too_many_arguments, reason = "a verdict has as many parts")]
    fn say(
        &mut self,
        action: &Action,
        leg: u16,
        decision: Decision,
        credited: Option<Credited>,
        value: Option<Money>,
        matched_by: Option<MatchedBy>,
        waited_ms: Option<i64>,
    ) {
        self.expected.verdicts.insert(Verdict {
            event: action.event,
            leg,
            payload_hash: action.payload_hash.clone(),
            decision: format!("{decision:?}"),
            campaign: credited.map(|(campaign, _, _)| campaign),
            creator: credited.map(|(_, creator, _)| creator),
            click: credited.and_then(|(_, _, click)| click),
            value_minor: value.map(|value| value.amount_minor),
            matched_by: matched_by.map(|matched_by| format!("{matched_by:?}")),
            waited_ms,
        });
    }

    fn take(&mut self, place: usize) {
        let event = self.turns[place].event;
        match &event.body {
            Body::Click { cookieless, .. } => self.click(place, *cookieless),
            Body::Identify { .. } => {
                let Some(user) = event.user.filter(|user| *user != event.visitor) else { return };
                if !self.identities(event.visitor, place).contains(&user) {
                    self.expected.sent.insert(Sent::Stitch { user, visitor: event.visitor });
                }
            }
            Body::Conversion { .. } | Body::Sale { .. } => {
                let action = event.action().expect("a conversion or sale");
                if self.is_reported_again(place, &action) {
                    let decision = Decision::Nonpayable { reason: Reason::DuplicateTransaction };
                    self.say(&action, 0, decision, None, action.value, None, None);
                } else {
                    self.firsts.push(place);
                    self.seek(place, event.visitor, &action);
                }
            }
            Body::Handed { action } => self.seek(place, event.visitor, action),
            Body::Refund { .. } => self.hand_on_refund(event),
            _ => {}
        }
    }

    fn is_reported_again(&self, place: usize, action: &Action) -> bool {
        let Some(transaction) = action.transaction else { return false };
        let generation = |place: usize| self.turns[place].clock_ms.div_euclid(self.policy.lateness_ms);
        self.firsts.iter().any(|first| {
            let earlier = self.turns[*first].event.action().expect("an action");
            earlier.transaction == Some(transaction)
                && earlier.event != action.event
                && generation(place) - generation(*first) <= 1
        })
    }

    fn is_flood(&self, place: usize) -> bool {
        let counts = |event: &Event| {
            let Body::Click { link, .. } = &event.body else { return None };
            let network = event.client.network.clone().filter(|_| event.bot.is_none())?;
            Some((*link, network, event.at_ms.div_euclid(60_000)))
        };
        let Some((link, network, minute)) = counts(self.turns[place].event) else { return false };
        if self.policy.flood_clicks == 0 {
            return false;
        }
        let earlier: Vec<i64> = self.turns[..place]
            .iter()
            .filter_map(|turn| counts(turn.event))
            .filter(|(l, n, _)| *l == link && *n == network)
            .map(|(_, _, minute)| minute)
            .collect();
        let latest = earlier.iter().copied().max().unwrap_or(minute);
        latest <= minute
            && earlier.iter().filter(|m| **m == minute).count() >= self.policy.flood_clicks as usize
    }

    fn click(&mut self, place: usize, cookieless: bool) {
        let event = self.turns[place].event;
        let touch = touch_of(event).expect("a click");
        let Some(campaign) = self.campaign(touch.campaign).filter(|c| c.objective == Objective::Click) else {
            return;
        };
        let apart_ms = if cookieless { HOUR_MS } else { 24 * HOUR_MS };
        let same = |t: &Touch| t.link == touch.link && (t.at_ms - touch.at_ms).abs() <= apart_ms;
        let reason = match () {
            () if event.bot.is_some() => Some(Reason::Bot),
            () if self.floods[place] => Some(Reason::Flood),
            () if self.touches(event.visitor, place).iter().any(same) => Some(Reason::DuplicateClick),
            () => None,
        };
        let decision = match reason {
            Some(reason) => Decision::Nonpayable { reason },
            None => by_terms(campaign, &Action::of_click(event)),
        };
        let action = Action::of_click(event);
        self.say(&action, 0, decision, Some(touch.credited()), None, None, None);
        let terms = self.terms(touch.campaign, event.at_ms);
        if let (Decision::Payable { payout, fee_bps, other_minor }, Some(terms)) = (decision, terms)
            && let Some((credited, payout)) = touch.reward(payout, terms)
        {
            let decision = Decision::Payable { payout, fee_bps, other_minor };
            self.say(&action, 1, decision, Some(credited), None, None, None);
        }
    }

    /// Where a key's memory begins: after the last erasure before `end`.
    fn begin(&self, key: VisitorKey, end: usize) -> usize {
        let erases = |turn: &Turn<'_>| turn.event.visitor == key && matches!(turn.event.body, Body::Erase {});
        self.turns[..end].iter().rposition(erases).map_or(0, |place| place + 1)
    }

    /// The clicks under `key` before `end`, by time.
    fn touches(&self, key: VisitorKey, end: usize) -> Vec<Touch> {
        let mut touches: Vec<Touch> = (self.begin(key, end)..end)
            .filter(|place| self.turns[*place].event.visitor == key && !self.floods[*place])
            .map(|place| self.turns[place].event)
            .filter(|event| event.bot.is_none())
            .filter_map(touch_of)
            .collect();
        touches.sort_by_key(|touch| (touch.at_ms, touch.click));
        touches
    }

    /// The users of a visitor, or the visitors of a user, before `end`; the
    /// latest first.
    fn identities(&self, key: VisitorKey, end: usize) -> Vec<VisitorKey> {
        let mut identities = Vec::new();
        for turn in self.turns[self.begin(key, end)..end].iter().rev() {
            let event = turn.event;
            let identity = match &event.body {
                Body::Identify { .. } => event.user.filter(|user| *user != key),
                Body::Stitch { visitor } => Some(*visitor),
                _ => None,
            };
            if let Some(identity) = identity.filter(|i| event.visitor == key && !identities.contains(i)) {
                identities.push(identity);
            }
        }
        identities
    }

    fn seek(&mut self, place: usize, key: VisitorKey, action: &Action) {
        if self.decide(key, action, &self.touches(key, place), action.waited_ms) {
            return;
        }
        if let Some((to, sought)) = self.next_stop(place, key, action) {
            self.expected.sent.insert(Sent::handed(to, action.event, &sought));
            return;
        }
        let code = action.coupon.as_deref();
        if let Some(coupon) = code.and_then(|code| self.rules.coupon(action.workspace, code, action.at_ms)) {
            let decision = match self.campaign(coupon.campaign) {
                None => Decision::Nonpayable { reason: Reason::UnknownCampaign },
                Some(campaign) if campaign.objective == action.kind => by_terms(campaign, action),
                Some(_) => Decision::Nonpayable { reason: Reason::ObjectiveMismatch },
            };
            let credited = Some((coupon.campaign, coupon.creator, None));
            self.say(action, 0, decision, credited, action.value, Some(MatchedBy::Coupon), action.waited_ms);
            return;
        }
        self.wait(place, key, action);
    }

    fn next_stop(&self, place: usize, key: VisitorKey, action: &Action) -> Option<(VisitorKey, Sought)> {
        let identities = self.identities(key, place);
        let others: Vec<VisitorKey> =
            identities.iter().copied().filter(|other| *other != action.visitor).collect();
        let round = || match &others[..] {
            [] => Vec::new(),
            others => [others, &[key]].concat(),
        };
        let stops = match &action.sought {
            Sought::Here if action.user != Some(key) => {
                return action.user.or(identities.first().copied()).map(|user| (user, Sought::AskUser));
            }
            Sought::Here | Sought::AskUser => round(),
            Sought::Among(rest) => rest.clone(),
        };
        let (first, rest) = stops.split_first()?;
        Some((*first, Sought::Among(rest.to_vec())))
    }

    /// An action waits from `place` on: for a click, for an identity, for its
    /// visitor's erasure, or in vain.
    fn wait(&mut self, place: usize, key: VisitorKey, action: &Action) {
        let since_ms = self.turns[place].clock_ms;
        let left_ms = (self.policy.parking_ms - action.waited_ms.unwrap_or(0)).max(0);
        let begin = self.turns[place].turn;
        let is_over = |offset: &usize| self.clocks[*offset] >= since_ms + left_ms;
        let over = (begin..self.clocks.len()).find(is_over);
        for next in place + 1..self.turns.len() {
            let Turn { event, turn, clock_ms } = self.turns[next];
            if over.is_some_and(|over| turn > over) {
                break;
            }
            if event.visitor != key {
                continue;
            }
            let waited_ms = Some(clock_ms - since_ms + action.waited_ms.unwrap_or(0));
            match &event.body {
                Body::Click { .. } => {
                    let concerns = event.at_ms <= action.at_ms || action.click == Some(event.id);
                    let counts = event.bot.is_none() && !self.floods[next] && concerns;
                    let touches = self.touches(key, next + 1);
                    if counts && self.decide(key, action, &touches, waited_ms) {
                        return;
                    }
                }
                Body::Stitch { visitor } => {
                    let sought = Sought::Among(vec![key]);
                    self.expected.sent.insert(Sent::handed(*visitor, action.event, &sought));
                    return;
                }
                Body::Erase {} => return self.in_vain(action, waited_ms),
                _ => {}
            }
        }
        if let Some(over) = over {
            let waited_ms = self.clocks[over] - since_ms + action.waited_ms.unwrap_or(0);
            self.in_vain(action, Some(waited_ms));
        }
    }

    fn in_vain(&mut self, action: &Action, waited_ms: Option<i64>) {
        let decision = Decision::Nonpayable { reason: Reason::NoTouch };
        self.say(action, 0, decision, None, action.value, None, waited_ms);
    }

    /// Says what `touches` earn; `false` if there is nothing to say.
    fn decide(
        &mut self,
        key: VisitorKey,
        action: &Action,
        touches: &[Touch],
        waited_ms: Option<i64>,
    ) -> bool {
        let token = touches.iter().find(|touch| Some(touch.click) == action.click);
        let has_window = |touch: &Touch| {
            let terms = self.terms(touch.campaign, action.at_ms);
            terms.is_some_and(|terms| (0..=terms.window_ms).contains(&(action.at_ms - touch.at_ms)))
        };
        // The best is the token's, then what pays, then what is in its window,
        // then the latest.
        let merit = |touch: &&Touch| {
            let in_window = has_window(touch);
            (in_window && self.pays(touch.campaign, action.kind), in_window, touch.at_ms, touch.click)
        };
        let best = token.or_else(|| touches.iter().filter(|t| t.at_ms <= action.at_ms).max_by_key(merit));
        let Some(best) = best else { return false };
        let terms = self.terms(best.campaign, action.at_ms);
        let age_ms = action.at_ms - best.at_ms;
        let unfit = match terms {
            _ if age_ms < 0 => Some(Decision::Rejected { reason: Reason::BeforeClick }),
            _ if !has_window(best) => Some(Decision::Rejected { reason: Reason::WindowExpired }),
            _ if !self.pays(best.campaign, action.kind) => {
                Some(Decision::Nonpayable { reason: Reason::ObjectiveMismatch })
            }
            Some(terms) if age_ms < terms.min_delay_ms => {
                Some(Decision::Rejected { reason: Reason::TooSoon })
            }
            _ => None,
        };
        let code = action.coupon.as_deref();
        let coupon = code.and_then(|code| self.rules.coupon(action.workspace, code, action.at_ms));
        if unfit.is_some() && coupon.is_some() {
            return false;
        }
        let matched_by = Some(match (token, key == action.visitor) {
            (Some(_), _) => MatchedBy::ClickToken,
            (None, true) => MatchedBy::Visitor,
            (None, false) => MatchedBy::User,
        });
        let campaign = self.campaign(best.campaign);
        let decision = unfit.or_else(|| Some(by_terms(campaign?, action))).expect("a campaign");
        let (Decision::Payable { payout, fee_bps, other_minor }, Some(terms)) = (decision, terms) else {
            self.say(action, 0, decision, Some(best.credited()), action.value, matched_by, waited_ms);
            return true;
        };
        let mut journey: Vec<&Touch> =
            touches.iter().filter(|t| t.campaign == best.campaign && has_window(t)).collect();
        journey.sort_by_key(|touch| (touch.click == best.click, touch.at_ms, touch.click));
        let all = journey.clone();
        let repeats = |a: &Touch, b: &Touch| a.link == b.link && (a.at_ms - b.at_ms).abs() <= 24 * HOUR_MS;
        let order = |touch: &Touch| (touch.click == best.click, touch.at_ms, touch.click);
        journey.retain(|touch| !all.iter().any(|other| order(other) > order(touch) && repeats(touch, other)));
        let steps: Vec<Step> = journey
            .iter()
            .map(|touch| Step { age_ms: action.at_ms - touch.at_ms, is_direct: touch.is_direct })
            .collect();
        let weights = terms.model.weights(&steps);
        let payouts = apportion(payout.amount_minor, &weights);
        let values = action.value.map(|value| apportion(value.amount_minor, &weights));
        let shares = journey.into_iter().enumerate().filter(|(place, _)| weights[*place] > 0);
        let mut leg = 0;
        let mut rewards = Vec::new();
        for (place, touch) in shares {
            let payout = Money { amount_minor: payouts[place], ..payout };
            let decision = match payout.amount_minor {
                0 => Decision::Nonpayable { reason: Reason::ShareTooSmall },
                _ => Decision::Payable { payout, fee_bps, other_minor },
            };
            let value = action.value.zip(values.as_ref());
            let value = value.map(|(value, values)| Money { amount_minor: values[place], ..value });
            self.say(action, leg, decision, Some(touch.credited()), value, matched_by, waited_ms);
            rewards.extend(touch.reward(payout, terms));
            leg += 1;
        }
        for (credited, payout) in rewards {
            let decision = Decision::Payable { payout, fee_bps, other_minor };
            let nothing = action.value.map(|value| Money { amount_minor: 0, ..value });
            self.say(action, leg, decision, Some(credited), nothing, matched_by, waited_ms);
            leg += 1;
        }
        true
    }

    fn terms(&self, campaign: CampaignId, at_ms: i64) -> Option<&'a Terms> {
        self.campaign(campaign)?.terms_at(at_ms)
    }
}

fn touch_of(event: &Event) -> Option<Touch> {
    let Body::Click { link, campaign, creator, supporter, .. } = &event.body else { return None };
    let (link, campaign, creator, supporter) = (*link, *campaign, *creator, *supporter);
    let is_direct = event.client.referrer.is_none();
    Some(Touch { click: event.id, link, campaign, creator, supporter, at_ms: event.at_ms, is_direct })
}

fn half_up(amount_minor: i64, bps: u16) -> i64 {
    (amount_minor * i64::from(bps) * 2 + 10_000) / 20_000
}

fn by_terms(campaign: &Campaign, action: &Action) -> Decision {
    let at_ms = action.at_ms;
    let terms = campaign.terms_at(at_ms).expect("a campaign has terms");
    let reason = match () {
        () if terms.status != CampaignStatus::Active => Reason::CampaignNotActive,
        () if terms.starts_at_ms.is_some_and(|start_ms| at_ms < start_ms) => Reason::BeforeStart,
        () if terms.ends_at_ms.is_some_and(|end_ms| end_ms <= at_ms) => Reason::AfterEnd,
        () => {
            let amount_minor = match (&terms.pay, action.value) {
                (Pay::Fixed { amount_minor }, _) => *amount_minor,
                (_, None) => return Decision::Nonpayable { reason: Reason::NoValue },
                (Pay::PercentOfOrder { bps }, Some(value)) => half_up(value.amount_minor, *bps),
                (Pay::PercentOfItems { bps, .. }, Some(value)) if action.items.is_empty() => {
                    half_up(value.amount_minor, *bps)
                }
                (Pay::PercentOfItems { bps, by_sku }, Some(_)) => action
                    .items
                    .iter()
                    .map(|item| {
                        let subtotal = item.unit_price_minor * i64::from(item.quantity);
                        half_up(subtotal, by_sku.get(&item.sku).copied().unwrap_or(*bps))
                    })
                    .sum(),
            };
            if amount_minor == 0 {
                return Decision::Nonpayable { reason: Reason::ShareTooSmall };
            }
            let payout = Money { amount_minor, currency: campaign.currency };
            return Decision::Payable { payout, fee_bps: terms.fee_bps, other_minor: 0 };
        }
    };
    Decision::Rejected { reason }
}
