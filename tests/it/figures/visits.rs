//! Sessions and retention, counted one visitor after the other.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};
use sinks::EventRow;
use tests::World;
use uuid::Uuid;

use super::day::{DAY_MS, Day, HOUR_MS, MIDNIGHT_MS};
use super::{SPAN, path, rows, same};

/// Whether a person was there.
fn is_visit(event: &EventRow) -> bool {
    ["click", "page", "track"].contains(&event.kind.as_str()) && event.bot.is_empty()
}

/// One session.
#[derive(Default)]
struct Session<'a> {
    visitor: [u8; 16],
    events: Vec<&'a EventRow>,
}

fn sessions_of(day: &Day, gap_ms: i64, (from_ms, to_ms): (i64, i64)) -> Vec<Session<'_>> {
    let is_within = |event: &&EventRow| (from_ms..to_ms).contains(&event.at);
    let mut of_visitor: BTreeMap<[u8; 16], BTreeMap<(i64, Uuid), &EventRow>> = BTreeMap::new();
    for event in day.events.iter().filter(|event| is_visit(event)).filter(is_within) {
        of_visitor.entry(event.visitor).or_default().insert((event.at, event.event_id), event);
    }
    let mut sessions: Vec<Session> = Vec::new();
    for (visitor, events) in of_visitor {
        let mut last = i64::MIN / 2;
        for event in events.into_values() {
            if event.at - last > gap_ms {
                sessions.push(Session { visitor, events: Vec::new() });
            }
            last = event.at;
            sessions.last_mut().expect("one was begun").events.push(event);
        }
    }
    sessions
}

/// What is known of a session.
type Key<'a> = &'a dyn Fn(&Session) -> String;

fn page_of(event: Option<&&EventRow>) -> String {
    event.map_or("", |event| path(event)).to_owned()
}

const WHOLE: (i64, i64) = (MIDNIGHT_MS, MIDNIGHT_MS + DAY_MS);
/// Begins and ends within hours.
const CUT: (i64, i64) = (MIDNIGHT_MS + 77 * 60_000, MIDNIGHT_MS + DAY_MS - 1_234_567);

/// By everything they are told apart by, with longer and shorter pauses.
pub(super) async fn all_sessions(world: &World, day: &Day) -> anyhow::Result<()> {
    for by in ["nothing", "entry", "exit", "country", "device"] {
        check_sessions(world, day, by, 30, WHOLE).await?;
    }
    check_sessions(world, day, "exit", 7, CUT).await?;
    sessions(world, day).await
}

/// The same, some of them.
pub(super) async fn sessions(world: &World, day: &Day) -> anyhow::Result<()> {
    check_sessions(world, day, "entry", 30, CUT).await?;
    check_sessions(world, day, "exit", 95, WHOLE).await
}

async fn check_sessions(
    world: &World,
    day: &Day,
    by: &str,
    gap_minutes: i64,
    (from_ms, to_ms): (i64, i64),
) -> anyhow::Result<()> {
    let key: Key<'_> = match by {
        "entry" => &|session| page_of(session.events.iter().find(|event| event.kind == "page")),
        "exit" => &|session| page_of(session.events.iter().rfind(|event| event.kind == "page")),
        "country" => &|session| session.events[0].country.clone(),
        "device" => &|session| session.events[0].device.clone(),
        _ => &|_| String::new(),
    };
    let sessions = sessions_of(day, gap_minutes * 60_000, (from_ms, to_ms));
    let mut parts: BTreeMap<String, Vec<&Session>> = BTreeMap::new();
    for session in &sessions {
        parts.entry(key(session)).or_default().push(session);
    }
    let report = world
        .report(&format!(
            "/v1/reports/sessions?by={by}&gap_minutes={gap_minutes}&from_ms={from_ms}&to_ms={to_ms}"
        ))
        .await?;
    assert_eq!(rows(&report).len(), parts.len(), "{by}");
    for row in rows(&report) {
        let part = &parts[row["key"].as_str().unwrap()];
        let count = part.len() as f64;
        let visitors: HashSet<[u8; 16]> = part.iter().map(|session| session.visitor).collect();
        let bounces = part.iter().filter(|session| session.events.len() == 1).count();
        let pages: usize =
            part.iter().map(|s| s.events.iter().filter(|event| event.kind == "page").count()).sum();
        let duration_ms: i64 = part.iter().map(|s| s.events[s.events.len() - 1].at - s.events[0].at).sum();
        for (figure, counted) in [
            ("sessions", json!(part.len())),
            ("visitors", json!(visitors.len())),
            ("bounces", json!(bounces)),
            ("bounce_rate", json!(bounces as f64 / count)),
            ("page_views", json!(pages)),
            ("pages_per_session", json!(pages as f64 / count)),
            ("mean_duration_ms", json!(duration_ms as f64 / count)),
        ] {
            assert!(same(&row[figure], &counted), "{by} {figure}: {row}, counted {counted}");
        }
    }
    Ok(())
}

pub(super) async fn retention(world: &World, day: &Day) -> anyhow::Result<()> {
    let mut first: HashMap<[u8; 16], i64> = HashMap::new();
    let mut seen: HashSet<([u8; 16], i64)> = HashSet::new();
    let hour = |at: i64| (at - MIDNIGHT_MS).div_euclid(HOUR_MS);
    for event in day.events.iter().filter(|event| is_visit(event) && event.at < MIDNIGHT_MS + DAY_MS) {
        let first = first.entry(event.visitor).or_insert(event.at);
        *first = event.at.min(*first);
        seen.insert((event.visitor, hour(event.at)));
    }
    let mut counts: HashMap<(i64, i64), u64> = HashMap::new();
    for (visitor, bucket) in seen {
        *counts.entry((hour(first[&visitor]), bucket)).or_default() += 1;
    }
    let count = |cohort: i64, bucket: i64| counts.get(&(cohort, bucket)).copied().unwrap_or_default();
    assert!(counts.keys().any(|(cohort, _)| *cohort < 0), "some were seen before");
    let report = world.report(&format!("/v1/reports/retention?unit=hour&{SPAN}")).await?;
    assert_eq!(rows(&report).len(), 25 * 26 / 2);
    for row in rows(&report) {
        let cohort = hour(row["cohort_ms"].as_i64().unwrap());
        let bucket = cohort + row["number"].as_i64().unwrap();
        let (all, again) = (count(cohort, cohort), count(cohort, bucket));
        assert_eq!(row["visitors"], json!(again), "{row}");
        let share = if all == 0 { Value::Null } else { json!(again as f64 / all as f64) };
        assert!(same(&row["share"], &share), "{row}, counted {share}");
    }
    Ok(())
}
