//! Funnels and experiments, counted one visitor after the other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};
use sinks::EventRow;
use tests::World;
use uuid::Uuid;

use super::day::{DAY_MS, Day, EXPOSURE, MIDNIGHT_MS};
use super::{SPAN, path, rows, same};

type Visitor = [u8; 16];
type Matches<'a> = &'a dyn Fn(&EventRow) -> bool;

fn of_visitors(
    day: &Day,
    takes: impl Fn(&EventRow) -> bool,
) -> BTreeMap<Visitor, BTreeMap<(i64, Uuid), &EventRow>> {
    let mut of_visitors: BTreeMap<Visitor, BTreeMap<(i64, Uuid), &EventRow>> = BTreeMap::new();
    for event in day.events.iter().filter(|event| event.bot.is_empty() && takes(event)) {
        of_visitors.entry(event.visitor).or_default().insert((event.at, event.event_id), event);
    }
    of_visitors
}

fn is_within(at: i64) -> bool {
    (MIDNIGHT_MS..MIDNIGHT_MS + DAY_MS).contains(&at)
}

/// The moments of the best attempt, and the first step's first event.
fn attempt<'a>(
    events: &BTreeMap<(i64, Uuid), &'a EventRow>,
    steps: &[Matches<'_>],
    window_ms: i64,
    strict: bool,
) -> Option<(Vec<i64>, &'a EventRow)> {
    let mut best: Vec<i64> = Vec::new();
    let mut first = None;
    for event in events.values().filter(|event| is_within(event.at) && steps[0](event)) {
        first.get_or_insert(*event);
        let mut moments = vec![event.at];
        for step in &steps[1..] {
            let last = moments[moments.len() - 1];
            let later = || events.values().filter(|event| event.at > last);
            let next = if strict {
                let next_ms = later().map(|event| event.at).min();
                later().find(|event| Some(event.at) == next_ms && step(event))
            } else {
                later().find(|event| step(event))
            };
            match next {
                Some(next) if next.at - event.at <= window_ms => moments.push(next.at),
                _ => break,
            }
        }
        if moments.len() > best.len() {
            best = moments;
        }
    }
    // Steps may have been taken before the time asked for is over, but not begun after it.
    let begun = events.values().find(|event| event.at >= MIDNIGHT_MS && steps[0](event));
    first.map(|_| (best, *begun.expect("it was begun")))
}

pub(super) async fn funnels(world: &World, day: &Day, link: Uuid) -> anyhow::Result<()> {
    let click: Matches = &|event| event.kind == "click";
    let real: Matches = &|event| event.kind == "click" && event.link_id == link;
    let page: Matches = &|event| event.kind == "page";
    let third: Matches = &|event| event.kind == "page" && path(event) == "https://shop.example/3";
    let ones: Matches = &|event| event.kind == "page" && path(event).starts_with("https://shop.example/1");
    let track: Matches = &|event| event.kind == "track";
    let signup: Matches = &|event| event.kind == "track" && event.name == "signup";
    let sale: Matches = &|event| event.kind == "sale";
    for (text, steps, window_minutes, strict, by) in [
        ("click > page:/3 > track:signup".to_owned(), vec![click, third, signup], 600, false, "nothing"),
        (format!("page:/1* > page:/1* > click:{link}"), vec![ones, ones, real], 10_000, false, "device"),
        ("page > track > page".to_owned(), vec![page, track, page], 90, true, "nothing"),
        ("click > track > sale".to_owned(), vec![click, track, sale], 600, false, "nothing"),
        ("click > sale".to_owned(), vec![click, sale], 20, false, "country"),
    ] {
        let window_ms = window_minutes * 60_000;
        let is_step = |event: &EventRow| {
            (MIDNIGHT_MS..MIDNIGHT_MS + DAY_MS + window_ms).contains(&event.at)
                && steps.iter().any(|step| step(event))
        };
        let mut parts: BTreeMap<String, Vec<Vec<i64>>> = BTreeMap::new();
        for events in of_visitors(day, is_step).values() {
            if let Some((moments, first)) = attempt(events, &steps, window_ms, strict) {
                let key = match by {
                    "device" => first.device.clone(),
                    "country" => first.country.clone(),
                    _ => String::new(),
                };
                parts.entry(key).or_default().push(moments);
            }
        }
        let asked = text.replace(' ', "%20").replace('>', "%3E");
        let report = world
            .report(&format!(
                "/v1/reports/funnel?steps={asked}&window_minutes={window_minutes}&strict={strict}&by={by}&{SPAN}"
            ))
            .await?;
        assert_eq!(rows(&report).len(), parts.len() * steps.len(), "{text}");
        let took =
            |part: &[Vec<i64>], step: usize| part.iter().filter(|moments| moments.len() > step).count();
        assert!(
            parts.values().all(|part| took(part, steps.len() - 1) > 0),
            "{text}: somebody came to the end"
        );
        for row in rows(&report) {
            let part = &parts[row["key"].as_str().unwrap()];
            let step = row["step"].as_u64().unwrap() as usize - 1;
            let mut durations: Vec<i64> = part
                .iter()
                .filter(|moments| step > 0 && moments.len() > step)
                .map(|moments| moments[step] - moments[step - 1])
                .collect();
            durations.sort_unstable();
            let (first, before, now) = (took(part, 0), took(part, step.saturating_sub(1)), took(part, step));
            let median = if step == 0 { Value::Null } else { json!(durations[(durations.len() - 1) / 2]) };
            let mean = match durations.len() {
                0 => Value::Null,
                count => json!(durations.iter().sum::<i64>() as f64 / count as f64),
            };
            for (figure, counted) in [
                ("visitors", json!(now)),
                ("share_of_first", json!(now as f64 / first as f64)),
                ("share_of_previous", json!(now as f64 / before as f64)),
                ("drop_off", json!(before - now)),
                ("median_ms", median),
                ("mean_ms", mean),
            ] {
                assert!(same(&row[figure], &counted), "{text} {figure}: {row}, counted {counted}");
            }
        }
    }
    Ok(())
}

/// The variant that an event shows.
fn shown(event: &EventRow, of_link: Option<Uuid>) -> Option<String> {
    if let Some(link) = of_link {
        let is_shown = event.kind == "click" && event.link_id == link && !event.name.is_empty();
        return is_shown.then(|| event.name.clone());
    }
    if event.kind != "track" || event.name != EXPOSURE {
        return None;
    }
    let said: Value = serde_json::from_str(&event.properties).ok()?;
    let is_it = said["experiment_id"] == "checkout" || said["experiment_name"] == "checkout";
    let variant = said["variation_id"].as_str().or(said["variation_name"].as_str());
    if is_it { variant.map(str::to_owned) } else { None }
}

pub(super) async fn experiments(world: &World, day: &Day, link: Uuid) -> anyhow::Result<()> {
    for (experiment, of_link, goal, weights, is_goal) in [
        (
            "checkout".to_owned(),
            None,
            "sale",
            "a:1,b:2,d:1",
            &(|event: &EventRow| event.kind == "sale") as Matches,
        ),
        ("checkout".to_owned(), None, "track:signup", "a:1,b:2,d:1", &|event| event.name == "signup"),
        (format!("link:{link}"), Some(link), "page:/1*", "a:1,b:9,d:1", &|event| {
            path(event).starts_with("https://shop.example/1")
        }),
    ] {
        // Of each variant: who saw it first, who converted, who saw others.
        let mut counts: HashMap<String, [u64; 3]> = HashMap::new();
        for events in of_visitors(day, |event| is_within(event.at)).values() {
            let seen: Vec<(i64, String)> =
                events.values().filter_map(|event| Some((event.at, shown(event, of_link)?))).collect();
            let Some((first_ms, variant)) = seen.first() else { continue };
            let converted = events.values().any(|event| is_goal(event) && event.at >= *first_ms);
            let variants: BTreeSet<&String> = seen.iter().map(|(_, variant)| variant).collect();
            let count = counts.entry(variant.clone()).or_default();
            count[0] += 1;
            count[1] += u64::from(converted);
            count[2] += u64::from(variants.len() > 1);
        }
        let report = world
            .report(&format!(
                "/v1/reports/experiment?experiment={experiment}&goal={goal}&control=b&weights={weights}&{SPAN}"
            ))
            .await?;
        // The one that nobody saw is there as well.
        assert_eq!(rows(&report).len(), counts.len() + 1, "{experiment}");
        assert!(report["share_p_value"].as_f64().unwrap() < 0.001, "{report}");
        let base = counts["b"][1] as f64 / counts["b"][0] as f64;
        for row in rows(&report) {
            let [visitors, converted, others] =
                counts.get(row["variant"].as_str().unwrap()).copied().unwrap_or_default();
            assert_eq!(row["visitors"], json!(visitors), "{row}");
            assert_eq!(row["converted"], json!(converted), "{row}");
            assert_eq!(row["saw_others"], json!(others), "{row}");
            if visitors == 0 {
                for figure in ["rate", "p_value", "probability_best"] {
                    assert_eq!(row[figure], Value::Null, "{row}");
                }
                continue;
            }
            let rate = converted as f64 / visitors as f64;
            assert!(same(&row["rate"], &json!(rate)), "{row}, counted {rate}");
            if row["variant"] == "b" {
                assert_eq!((&row["is_control"], &row["lift"]), (&json!(true), &Value::Null));
            } else {
                assert!(same(&row["lift"], &json!(rate / base - 1.0)), "{row}");
                assert!((0.0..=1.0).contains(&row["p_value"].as_f64().unwrap()), "{row}");
            }
        }
    }
    Ok(())
}
