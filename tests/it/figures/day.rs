//! A day's events, and what there is to count of them.

use std::collections::{HashMap, HashSet};

use clickhouse::{Client, RowOwned, RowWrite};
use serde_json::{Value, json};
use sinks::{EventRow, OutcomeRow};
use tests::Random;
use uuid::Uuid;

pub(super) const HOUR_MS: i64 = 3_600_000;
/// Midnight of 25 October 2026 in Berlin, where clocks go back at 3 o'clock.
pub(super) const MIDNIGHT_MS: i64 = 1_792_879_200_000;
pub(super) const DAY_MS: i64 = 25 * HOUR_MS;
const NOBODY: Uuid = Uuid::nil();
/// What says that a visitor saw a variant.
pub(super) const EXPOSURE: &str = "Experiment Viewed";

/// What there is to count.
pub(super) struct Day {
    pub(super) events: Vec<EventRow>,
    pub(super) outcomes: Vec<OutcomeRow>,
}

/// A link, its campaign and its creator.
pub(super) type Link = (Uuid, Uuid, Uuid);

/// So many events, and what came of the clicks among them.
pub(super) fn day(workspace: Uuid, real: Link, count: usize) -> Day {
    let mut random = Random::new(20_261_025);
    let id = |random: &mut Random| Uuid::from_u128(random.bits());
    let creators: Vec<Uuid> = (0..40).map(|_| id(&mut random)).chain([real.2]).collect();
    let campaigns: Vec<Uuid> = (0..5).map(|_| id(&mut random)).chain([real.1]).collect();
    let links: Vec<Link> = (0..150)
        .map(|_| (id(&mut random), random.pick(&campaigns), random.pick(&creators)))
        .chain([real])
        .collect();
    some(&mut random, workspace, &links, count)
}

fn some(random: &mut Random, workspace: Uuid, links: &[Link], count: usize) -> Day {
    let mut day = Day { events: Vec::new(), outcomes: Vec::new() };
    while day.events.len() < count {
        if !day.events.is_empty() && random.one_in(20) {
            let again = random.below(day.events.len());
            day.events.push(day.events[again].clone());
            continue;
        }
        let event = event(random, workspace, links);
        if event.kind == "click" && event.bot.is_empty() && random.one_in(25) {
            sale(random, &event, links, &mut day);
        }
        day.events.push(event);
    }
    day
}

/// Events that come in late: of three hours of a day that is there already.
pub(super) fn late(day: &Day, count: usize) -> Day {
    let links: Vec<Link> = day
        .events
        .iter()
        .filter(|event| event.kind == "click")
        .take(300)
        .map(|event| (event.link_id, event.campaign_id, event.creator_id))
        .collect();
    let mut late = self::some(&mut Random::new(7), day.events[0].workspace_id, &links, count);
    let is_late = |at: i64| [4, 5, 19].contains(&((at - MIDNIGHT_MS) / HOUR_MS));
    late.events.retain(|event| is_late(event.at));
    late.outcomes.retain(|outcome| is_late(outcome.at));
    late
}

fn event(random: &mut Random, workspace: Uuid, links: &[Link]) -> EventRow {
    let mut visitor = [0; 16];
    visitor[..4].copy_from_slice(&(random.below(30_000) as u32).to_be_bytes());
    // Some just before the day, and just after it.
    let at = MIDNIGHT_MS - HOUR_MS / 2 + random.below((DAY_MS + HOUR_MS) as usize) as i64;
    let text = |random: &mut Random, texts: &[&str]| random.pick(texts).to_owned();
    let mut event = EventRow {
        event_id: Uuid::from_u128(random.bits()),
        workspace_id: workspace,
        at,
        received_at: at,
        visitor,
        bot: if random.one_in(8) { text(random, &["user_agent", "prefetch"]) } else { String::new() },
        country: text(random, &["DE", "FR", "US", ""]),
        city: text(random, &["Paris", "Berlin", ""]),
        device: text(random, &["ios", "android", "desktop", "other"]),
        os: text(random, &["iOS", "Android", "Windows"]),
        browser: text(random, &["Safari", "Chrome", "Firefox"]),
        referrer: text(
            random,
            &["", "https://www.blog.example/a?b", "https://blog.example/", "https://t.example/x"],
        ),
        ..EventRow::default()
    };
    match random.below(10) {
        0..6 => {
            event.kind = "click".to_owned();
            (event.link_id, event.campaign_id, event.creator_id) = random.pick(links);
            event.name = text(random, &["", "a", "b"]);
            event.properties =
                text(random, &["", r#"{"source":"mail"}"#, r#"{"source":"x","medium":"cpc"}"#]);
        }
        6..9 => {
            event.kind = "page".to_owned();
            event.url = format!("https://shop.example/{}?q={}#top", random.below(12), random.below(5));
        }
        _ => {
            event.kind = "track".to_owned();
            event.name = text(random, &["signup", "signup", EXPOSURE]);
            if event.name == EXPOSURE {
                event.properties = text(
                    random,
                    &[
                        r#"{"experiment_id":"checkout","variation_id":"a"}"#,
                        r#"{"experiment_id":"checkout","variation_id":"b","variation_name":"c"}"#,
                        r#"{"experiment_name":"checkout","variation_name":"b"}"#,
                        r#"{"experiment_id":"another","variation_id":"b"}"#,
                        r#"{"experiment_id":"checkout"}"#,
                    ],
                );
            }
        }
    }
    event
}

/// One of the last clicks before, or none.
fn earlier_click(random: &mut Random, day: &Day) -> Uuid {
    let last = &day.events[day.events.len().saturating_sub(20)..];
    let clicks: Vec<Uuid> = last.iter().filter(|e| e.kind == "click").map(|e| e.event_id).collect();
    if clicks.is_empty() { NOBODY } else { random.pick(&clicks) }
}

/// A sale after a click, of one or two creators' legs, some refunded, some with a
/// reward; or what became of it instead.
fn sale(random: &mut Random, click: &EventRow, links: &[Link], day: &mut Day) {
    let event_id = Uuid::from_u128(random.bits());
    let at = click.at + random.below(HOUR_MS as usize) as i64;
    let (status, reason) = random.pick(&[
        ("posted", ""),
        ("posted", ""),
        ("rejected_budget", "budget_exhausted"),
        ("rejected_rule", "too_late"),
        ("nonpayable", "bot"),
    ]);
    day.events.push(EventRow {
        event_id,
        workspace_id: click.workspace_id,
        kind: "sale".to_owned(),
        at,
        received_at: at,
        visitor: click.visitor,
        ..EventRow::default()
    });
    let legs = 1 + u16::from(random.one_in(3));
    for leg in 0..legs {
        let (link_id, campaign_id, creator_id) = match leg {
            0 => (click.link_id, click.campaign_id, click.creator_id),
            // Now and then the same creator's again.
            _ if random.one_in(4) => (click.link_id, click.campaign_id, click.creator_id),
            _ => random.pick(links),
        };
        let value_minor = random.below(20_000) as i64;
        let creator_minor = if status == "posted" { value_minor / 10 } else { 0 };
        let outcome = OutcomeRow {
            event_id,
            leg,
            batch_id: 1,
            workspace_id: click.workspace_id,
            kind: random.pick(&["sale", "sale", "conversion"]).to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            campaign_id: if random.one_in(50) { NOBODY } else { campaign_id },
            creator_id: if random.one_in(50) { NOBODY } else { creator_id },
            link_id,
            click_id: if leg == 0 { click.event_id } else { earlier_click(random, day) },
            visitor: click.visitor,
            at,
            value_minor,
            value_currency: random.pick(&["EUR", "EUR", "EUR", "USD"]).to_owned(),
            gross_minor: creator_minor,
            creator_minor,
            fee_minor: 0,
            other_minor: 0,
            is_reward: leg > 0 && random.one_in(5),
            currency: random.pick(&["EUR", "EUR", "USD"]).to_owned(),
        };
        day.outcomes.push(outcome.clone());
        if status == "posted" && random.one_in(6) {
            let refund = OutcomeRow {
                event_id: Uuid::from_u128(random.bits()),
                kind: "refund".to_owned(),
                value_minor: -outcome.value_minor / 2,
                creator_minor: -outcome.creator_minor / 2,
                at: at + random.below(HOUR_MS as usize) as i64,
                ..outcome
            };
            day.outcomes.push(refund);
        }
    }
}

pub(crate) async fn fill<T: RowOwned + RowWrite>(
    client: &Client,
    table: &str,
    rows: &[T],
) -> anyhow::Result<()> {
    for rows in rows.chunks(200_000) {
        let mut insert = client.insert::<T>(table).await?;
        for row in rows {
            insert.write(row).await?;
        }
        insert.end().await?;
    }
    Ok(())
}

/// All that is counted of one creator, one hour, one country.
#[derive(Clone, Debug, Default)]
pub(super) struct Count {
    clicks: HashSet<Uuid>,
    unique_clicks: HashSet<Uuid>,
    bot_clicks: HashSet<Uuid>,
    page_views: HashSet<Uuid>,
    visitors: HashSet<[u8; 16]>,
    conversions: HashSet<Uuid>,
    revenue_minor: i64,
    earnings_minor: i64,
}

impl Count {
    pub(super) fn event(&mut self, event: &EventRow, unique: &HashSet<Uuid>) {
        let is_human = event.bot.is_empty();
        match event.kind.as_str() {
            "click" if is_human => {
                self.clicks.insert(event.event_id);
                if unique.contains(&event.event_id) {
                    self.unique_clicks.insert(event.event_id);
                }
            }
            "click" => drop(self.bot_clicks.insert(event.event_id)),
            "page" if is_human => drop(self.page_views.insert(event.event_id)),
            _ => {}
        }
        if is_human {
            self.visitors.insert(event.visitor);
        }
    }

    pub(super) fn outcome(&mut self, outcome: &OutcomeRow) {
        // Rewards are supporters'.
        if outcome.is_reward {
            return;
        }
        let is_attributed = ["posted", "rejected_budget"].contains(&outcome.status.as_str());
        if is_attributed && outcome.kind != "refund" {
            self.conversions.insert(outcome.event_id);
        }
        // A refund of a payment has no campaign.
        let is_refund = outcome.kind == "refund" && !outcome.campaign_id.is_nil();
        let is_revenue = outcome.kind == "sale" && outcome.status == "posted" || is_refund;
        if is_revenue && outcome.value_currency == "EUR" {
            self.revenue_minor += outcome.value_minor;
        }
        if outcome.currency == "EUR" {
            self.earnings_minor += outcome.creator_minor;
        }
    }

    pub(super) fn figure(&self, name: &str) -> Value {
        let ratio = |sum: f64| match self.clicks.len() {
            0 => Value::Null,
            clicks => json!(sum / clicks as f64),
        };
        match name {
            "clicks" => json!(self.clicks.len()),
            "unique_clicks" => json!(self.unique_clicks.len()),
            "repeated_clicks" => json!(self.clicks.len() - self.unique_clicks.len()),
            "bot_clicks" => json!(self.bot_clicks.len()),
            "page_views" => json!(self.page_views.len()),
            "visitors" => json!(self.visitors.len()),
            "conversions" => json!(self.conversions.len()),
            "conversion_rate" => ratio(self.conversions.len() as f64),
            "revenue" | "revenue_minor" => json!(self.revenue_minor),
            "earnings" | "earnings_minor" => json!(self.earnings_minor),
            "earnings_per_click" | "earnings_per_click_minor" => ratio(self.earnings_minor as f64),
            other => panic!("{other}"),
        }
    }
}

impl Day {
    /// Clicks of people that repeat none of the same visitor on the same link within 24
    /// hours before.
    pub(super) fn unique_clicks(&self) -> HashSet<Uuid> {
        let mut clicks: Vec<_> = self
            .events
            .iter()
            .filter(|event| event.kind == "click" && event.bot.is_empty())
            .map(|event| (event.visitor, event.link_id, event.at, event.event_id))
            .collect();
        clicks.sort_unstable();
        clicks.dedup();
        let mut last = None;
        let mut unique = HashSet::new();
        for (visitor, link, at, id) in clicks {
            if last.is_none_or(|(of, before)| of != (visitor, link) || at - before > 24 * HOUR_MS) {
                unique.insert(id);
            }
            last = Some(((visitor, link), at));
        }
        unique
    }

    /// Counts what `takes` takes, under the key that it gives.
    pub(super) fn count<K: std::hash::Hash + Eq>(
        &self,
        of_event: impl Fn(&EventRow) -> Option<K>,
        of_outcome: impl Fn(&OutcomeRow) -> Option<K>,
    ) -> HashMap<K, Count> {
        self.count_within(MIDNIGHT_MS..MIDNIGHT_MS + DAY_MS, of_event, of_outcome)
    }

    /// The same, of some time.
    pub(super) fn count_within<K: std::hash::Hash + Eq>(
        &self,
        time: std::ops::Range<i64>,
        of_event: impl Fn(&EventRow) -> Option<K>,
        of_outcome: impl Fn(&OutcomeRow) -> Option<K>,
    ) -> HashMap<K, Count> {
        let is_within = |at: i64| time.contains(&at);
        let unique = self.unique_clicks();
        let mut counts: HashMap<K, Count> = HashMap::new();
        for event in self.events.iter().filter(|event| is_within(event.at)) {
            if let Some(key) = of_event(event) {
                counts.entry(key).or_default().event(event, &unique);
            }
        }
        for outcome in self.outcomes.iter().filter(|outcome| is_within(outcome.at)) {
            if let Some(key) = of_outcome(outcome) {
                counts.entry(key).or_default().outcome(outcome);
            }
        }
        counts
    }
}
