//! A seed's history: campaigns, links, people, and what they do, in the order
//! in which it reaches Kafka.

use std::collections::BTreeMap;

use domain::attribution::Policy;
use domain::attribution::model::Model;
use domain::event::{Body, BotReason, Client, Event, Item};
use domain::ids::{CampaignId, EventId, LinkId, UserId, VisitorKey, WorkspaceId};
use domain::money::{Currency, Money};
use domain::pay::Pay;
use domain::rules::{Campaign, CampaignStatus, Coupon, Objective, Rules, Terms};
use tests::Random;
use uuid::Uuid;

pub(crate) const HOUR_MS: i64 = 3_600_000;
/// When it all begins: a day in 2027.
const T0: i64 = 1_800_000_000_000;
const WINDOW_MS: i64 = 30 * HOUR_MS;
const MIN_DELAY_MS: i64 = HOUR_MS / 2;
const WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));

/// All that happens, and by which rules.
pub(crate) struct History {
    pub(crate) rules: Rules,
    pub(crate) policy: Policy,
    pub(crate) partitions: usize,
    /// Events in the order of their coming.
    pub(crate) stream: Vec<Event>,
    /// After the last of them.
    pub(crate) end_ms: i64,
}

impl History {
    pub(crate) fn new(random: &mut Random) -> Self {
        let policy = Policy {
            hold_ms: HOUR_MS * [0, 1, 1, 5][random.below(4)],
            lateness_ms: HOUR_MS * [20, 60][random.below(2)],
            parking_ms: HOUR_MS * [0, 10, 40][random.below(3)],
            flood_clicks: [0, 1, 2][random.below(3)],
        };
        let campaigns = campaigns(random);
        let stream = stream(random, &campaigns, &policy);
        let end_ms = stream.iter().map(|event| event.received_at_ms).max().unwrap_or(T0) + HOUR_MS;
        let coupon = |(code, creator, from_ms): (&str, u128, i64)| Coupon {
            workspace: WORKSPACE,
            code: code.to_owned(),
            campaign: campaigns[random.below(campaigns.len())].id,
            creator: UserId(Uuid::from_u128(creator)),
            valid_from_ms: from_ms,
        };
        let coupons = [("A", 71, T0), ("A", 72, T0 + 50 * HOUR_MS), ("B", 73, T0)].map(coupon);
        let rules = Rules::new(campaigns, i64::MAX).with_coupons(coupons);
        Self { rules, policy, partitions: 1 + random.below(3), stream, end_ms }
    }
}

fn campaigns(random: &mut Random) -> Vec<Campaign> {
    let models = [
        Model::FirstTouch,
        Model::LastTouch,
        Model::LastNonDirect,
        Model::Linear,
        Model::TimeDecay { half_life_ms: 7 * HOUR_MS },
        Model::Position { first: 40, middle: 20, last: 40 },
    ];
    let mut campaign = |number: u128| {
        let terms = Terms {
            version: 1,
            valid_from_ms: 0,
            status: CampaignStatus::Active,
            pay: pay(random),
            fee_bps: 1_000,
            window_ms: WINDOW_MS,
            limits: Default::default(),
            share_bps: random.pick(&[0, 1_000, 3_333]),
            min_delay_ms: MIN_DELAY_MS * random.below(2) as i64,
            model: random.pick(&models),
            starts_at_ms: random.one_in(4).then_some(T0 + 20 * HOUR_MS),
            ends_at_ms: random.one_in(4).then_some(T0 + 80 * HOUR_MS),
        };
        let later = Terms {
            version: 2,
            valid_from_ms: T0 + 40 * HOUR_MS,
            status: random.pick(&[CampaignStatus::Active, CampaignStatus::Paused]),
            window_ms: WINDOW_MS / 2,
            model: random.pick(&models),
            ..terms.clone()
        };
        Campaign {
            id: CampaignId(Uuid::from_u128(number)),
            workspace: WORKSPACE,
            objective: [Objective::Click, Objective::Conversion, Objective::Sale, Objective::Sale]
                [number as usize % 4],
            currency: Currency::new("USD").expect("a currency"),
            terms: if random.one_in(2) { vec![terms, later] } else { vec![terms] },
        }
    };
    (10..15).map(&mut campaign).collect()
}

fn pay(random: &mut Random) -> Pay {
    let by_sku = BTreeMap::from([("a".to_owned(), 333)]);
    let rules = [
        Pay::Fixed { amount_minor: 1 },
        Pay::Fixed { amount_minor: 2 },
        Pay::Fixed { amount_minor: 250 },
        Pay::PercentOfOrder { bps: 1_250 },
        Pay::PercentOfItems { bps: 1_000, by_sku },
    ];
    random.pick(&rules)
}

/// One visitor's key, or user's.
fn key(number: usize) -> VisitorKey {
    VisitorKey([u8::try_from(number).expect("few people"); 16])
}

const VISITORS: usize = 4;
const USERS: [usize; 2] = [101, 102];

fn stream(random: &mut Random, campaigns: &[Campaign], policy: &Policy) -> Vec<Event> {
    // When it comes, and the event.
    let mut coming: Vec<(i64, Event)> = Vec::new();
    for number in 0..10 + random.below(30) {
        let event = event(random, number, campaigns, &coming);
        let delay_ms = match random.below(12) {
            0..6 => 0,
            6 => policy.hold_ms,
            7 => policy.hold_ms + 1,
            8 => HOUR_MS / 2,
            9 => 12 * HOUR_MS,
            10 => policy.lateness_ms + random.below(2) as i64,
            _ => policy.lateness_ms * 2,
        };
        let came_ms = event.at_ms + delay_ms;
        // A collector that spooled it took it in time; or it came to the
        // collector as late.
        let received_at_ms = if random.one_in(3) { event.at_ms } else { came_ms };
        let event = Event { received_at_ms, ..event };
        if random.one_in(5) {
            let again_ms = came_ms + [0, 1, HOUR_MS, policy.lateness_ms * 3][random.below(4)];
            let mut again = event.clone();
            if random.one_in(3) {
                again.payload_hash.push_str("-forged");
            }
            if random.one_in(2) {
                again.received_at_ms = again_ms;
            }
            coming.push((again_ms, again));
        }
        coming.push((came_ms, event));
    }
    coming.sort_by_key(|(came_ms, _)| *came_ms);
    coming.into_iter().map(|(_, event)| event).collect()
}

fn event(random: &mut Random, number: usize, campaigns: &[Campaign], before: &[(i64, Event)]) -> Event {
    let at_ms = T0 + random.below(200) as i64 * HOUR_MS / 2;
    let visitor = key(1 + random.below(VISITORS));
    let mut event = Event {
        id: EventId(Uuid::from_u128(1_000 + number as u128)),
        workspace: WORKSPACE,
        visitor,
        user: None,
        at_ms,
        received_at_ms: at_ms,
        payload_hash: format!("hash-{number}"),
        body: Body::Tick {},
        client: Client::default(),
        bot: None,
    };
    let clicks = before.iter().map(|(_, event)| event);
    let clicks: Vec<&Event> = clicks.filter(|event| matches!(event.body, Body::Click { .. })).collect();
    let earlier = (!clicks.is_empty() && !random.one_in(4)).then(|| random.pick(&clicks));
    match random.below(20) {
        0..8 => click(random, campaigns, earlier, &mut event),
        8..14 => action(random, earlier, &mut event),
        14..17 => {
            let user = key(random.pick(&USERS));
            event.user = Some(user);
            event.body = Body::Identify { user_id: "u".to_owned(), properties: BTreeMap::new() };
        }
        17 if random.one_in(2) => event.body = Body::Erase {},
        19 => {
            let (order_id, refund_id) = (number.to_string(), "1".to_owned());
            event.body =
                Body::Refund { order_id, refund_id, of_payment: false, value: None, items: Vec::new() };
        }
        18 => event.body = Body::Page { url: "/".to_owned(), title: None, properties: BTreeMap::new() },
        _ => {}
    }
    // As collectors write a click, and as they did.
    if matches!(event.body, Body::Click { .. }) && number.is_multiple_of(2) {
        event.payload_hash.clear();
    }
    event
}

fn click(random: &mut Random, campaigns: &[Campaign], earlier: Option<&Event>, event: &mut Event) {
    let campaign = random.pick(campaigns);
    let number = campaign.id.0.as_u128();
    let creator = number * 10 + random.below(2) as u128;
    event.body = Body::Click {
        link: LinkId(Uuid::from_u128(creator)),
        campaign: campaign.id,
        creator: UserId(Uuid::from_u128(creator)),
        supporter: random.one_in(3).then(|| UserId(Uuid::from_u128(900 + random.below(3) as u128))),
        variant: None,
        utm: BTreeMap::new(),
        cookieless: random.one_in(4),
    };
    event.client.network = (!random.one_in(4)).then(|| "10.0.0.0".to_owned());
    event.client.referrer = random.one_in(2).then(|| "https://social.example/".to_owned());
    event.bot = random.one_in(6).then_some(BotReason::UserAgent);
    // Close to another click of the same link: a duplicate, or just none.
    if let Some(earlier) = earlier.filter(|_| random.one_in(2)) {
        let apart_ms = [0, 1, 30_000, HOUR_MS, HOUR_MS + 1, 24 * HOUR_MS, 24 * HOUR_MS + 1];
        event.at_ms = earlier.at_ms + random.pick(&apart_ms);
        event.body = earlier.body.clone();
        if !random.one_in(3) {
            event.visitor = earlier.visitor;
        }
    }
}

fn action(random: &mut Random, earlier: Option<&Event>, event: &mut Event) {
    let click = earlier.filter(|_| random.one_in(3)).map(|click| click.id);
    let coupon = random.one_in(5).then(|| random.pick(&["a", "B ", "none"]).to_owned());
    let order_id = random.below(12).to_string();
    let value = Money { amount_minor: 9_901, currency: Currency::new("USD").expect("a currency") };
    event.body = if random.one_in(3) {
        let (value, order_id) = (random.one_in(2).then_some(value), random.one_in(2).then_some(order_id));
        Body::Conversion { goal: "signup".to_owned(), value, order_id, click, coupon }
    } else {
        let item = |sku: &str| Item { sku: sku.to_owned(), quantity: 3, unit_price_minor: 1_115 };
        let items = if random.one_in(2) { vec![item("a"), item("b")] } else { Vec::new() };
        Body::Sale { order_id, value, items, click, coupon }
    };
    // On either side of every boundary.
    if let Some(earlier) = earlier {
        let after_ms = [
            -1,
            0,
            1,
            MIN_DELAY_MS - 1,
            MIN_DELAY_MS,
            WINDOW_MS / 2,
            WINDOW_MS - 1,
            WINDOW_MS,
            WINDOW_MS + 1,
        ];
        event.at_ms = earlier.at_ms + random.pick(&after_ms);
        if !random.one_in(3) {
            event.visitor = earlier.visitor;
        }
    }
    if random.one_in(3) {
        let user = key(random.pick(&USERS));
        event.user = Some(user);
        if random.one_in(2) {
            event.visitor = user;
        }
    }
}
