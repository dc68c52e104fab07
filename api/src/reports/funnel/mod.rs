//! Funnels: how far visitors came through ordered steps, and how long it took.
//!
//! ClickHouse tells what each visitor did of the steps (`acts`); `models::funnel` decides
//! how far they came.

mod acts;
mod kept;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use clickhouse::error::Error;
use clickhouse::query::Query;
use models::funnel::{MAX_STEPS, Progress, Rules, best_attempt};
use serde::Deserialize;
use serde_json::json;
use store::periods::Window;
use uuid::Uuid;

use self::acts::{Sources, Visitors};
use super::asked::{Asked, Parameters};
use super::form::{Report, object, ratio};
use super::period::{Period, invalid};
use crate::access::{InFinance, Tenant};
use crate::error::ApiError;
use crate::server::App;

const MINUTE_MS: i64 = 60_000;
/// What is kept is asked so often, if something comes in meanwhile.
const MOST_TRIES: usize = 2;
const MAX_WINDOW_MINUTES: u32 = 90 * 24 * 60;

/// What funnels are told apart by: what was known when the first step was first taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Dimension {
    #[default]
    Nothing,
    Country,
    Device,
    Os,
    Browser,
    Referrer,
}

impl Dimension {
    /// Its name, in requests, answers and queries.
    fn code(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Country => "country",
            Self::Device => "device",
            Self::Os => "os",
            Self::Browser => "browser",
            Self::Referrer => "referrer",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FunnelParameters {
    /// `click > page:/pricing > track:signup > sale`.
    steps: String,
    #[serde(default = "a_week")]
    window_minutes: u32,
    #[serde(default)]
    strict: bool,
    #[serde(default)]
    by: Dimension,
}

fn a_week() -> u32 {
    7 * 24 * 60
}

impl Parameters for FunnelParameters {
    const NAMES: &'static [&'static str] = &["steps", "window_minutes", "strict", "by"];
    const IS_PAGED: bool = false;
    const IS_FILTERED: bool = false;
}

/// What a step is: any event of a kind, or one about something.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    kind: &'static str,
    subject: Option<String>,
}

/// The kinds of events that steps are made of, and what their subject is.
const KINDS: [(&str, &str); 5] = [
    ("click", "a link's id"),
    ("page", "a path, or the beginning of some with * behind"),
    ("track", "what was done"),
    ("conversion", "a goal"),
    ("sale", ""),
];

impl Step {
    fn read(text: &str) -> Result<Self, ApiError> {
        let (kind, subject) = match text.split_once(':') {
            Some((kind, subject)) => (kind.trim(), Some(subject.trim())),
            None => (text.trim(), None),
        };
        let Some((kind, about)) = KINDS.into_iter().find(|(known, _)| *known == kind) else {
            let known: Vec<&str> = KINDS.into_iter().map(|(kind, _)| kind).collect();
            return Err(invalid(format!(
                "a step is one of {}, with : and its subject or without; not {text:?}",
                known.join(", ")
            )));
        };
        let subject = match subject {
            Some("") => return Err(invalid(format!("the step {text:?} says no subject after the colon"))),
            Some(_) if about.is_empty() => return Err(invalid(format!("a {kind} has no subject: {text:?}"))),
            Some(subject) if kind == "click" => {
                let link: Uuid = subject
                    .parse()
                    .map_err(|_| invalid(format!("the subject of a click is {about}, not {subject:?}")))?;
                Some(link.to_string())
            }
            Some(path) if kind == "page" => {
                check_path(path)?;
                Some(path.to_owned())
            }
            other => other.map(str::to_owned),
        };
        Ok(Self { kind, subject })
    }

    fn told(&self) -> String {
        match &self.subject {
            Some(subject) => format!("{}:{subject}", self.kind),
            None => self.kind.to_owned(),
        }
    }
}

/// Pages are named by their path alone.
pub(super) fn check_path(path: &str) -> Result<(), ApiError> {
    if path.starts_with('/') || path == "*" {
        return Ok(());
    }
    Err(invalid(format!("a page is named by its path, like /pricing or /blog/*; not {path:?}")))
}

fn read_steps(text: &str) -> Result<Vec<Step>, ApiError> {
    let steps: Vec<Step> = text.split('>').map(|step| Step::read(step.trim())).collect::<Result<_, _>>()?;
    if !(2..=MAX_STEPS).contains(&steps.len()) {
        return Err(invalid(format!("a funnel has 2 to {MAX_STEPS} steps, not {}", steps.len())));
    }
    Ok(steps)
}

/// Texts, and the bits of the steps that each of them is; a text of several steps stands
/// there once.
#[derive(Default)]
struct Bits(BTreeMap<String, u16>);

impl Bits {
    fn of(steps: &[Step], text: impl Fn(&Step) -> Option<String>) -> Self {
        let mut bits = Self::default();
        for (number, step) in steps.iter().enumerate() {
            if let Some(text) = text(step) {
                *bits.0.entry(text).or_default() |= 1 << number;
            }
        }
        bits
    }

    /// Takes out what ends in `*`, without that.
    fn take_beginnings(&mut self) -> Self {
        let mut beginnings = Self::default();
        self.0.retain(|text, steps| {
            let beginning = text.strip_suffix('*');
            beginnings.0.extend(beginning.map(|beginning| (beginning.to_owned(), *steps)));
            beginning.is_none()
        });
        beginnings
    }

    fn texts(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    fn steps(&self) -> Vec<u16> {
        self.0.values().copied().collect()
    }
}

const COLUMNS: &[&str] = &[
    "key",
    "step",
    "what",
    "visitors",
    "share_of_first",
    "share_of_previous",
    "drop_off",
    "median_ms",
    "mean_ms",
];

pub(crate) async fn funnel(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    asked: Asked<FunnelParameters>,
) -> Result<Response, ApiError> {
    let Asked { own, period, form, .. } = asked;
    let steps = read_steps(&own.steps)?;
    if !(1..=MAX_WINDOW_MINUTES).contains(&own.window_minutes) {
        return Err(invalid(format!("window_minutes must be 1 to {MAX_WINDOW_MINUTES}")));
    }
    let period = period.read(&app, &workspace, Window::Days30).await?.of_kept_events(&workspace)?;
    let window_ms = i64::from(own.window_minutes) * MINUTE_MS;
    let rules = Rules { steps: steps.len(), window_ms, begun_before_ms: period.to_ms, is_strict: own.strict };
    let mut progress = progress(&app, &workspace, period, (&steps, own.by), rules).await?;
    if progress.is_empty() && own.by == Dimension::Nothing {
        progress.insert(String::new(), Progress::default());
    }
    let mut asked = period.told(&workspace);
    asked.insert("steps".to_owned(), steps.iter().map(Step::told).collect());
    asked.insert("window_minutes".to_owned(), json!(own.window_minutes));
    asked.insert("strict".to_owned(), json!(own.strict));
    asked.insert("by".to_owned(), json!(own.by.code()));
    let rows = progress.into_iter().flat_map(|(key, progress)| shown(&key, progress, &steps)).collect();
    Ok(Report { asked, columns: COLUMNS, rows }.answer(form))
}

/// How far visitors came, by what they are told apart by.
async fn progress(
    app: &App,
    workspace: &Tenant,
    period: Period,
    (steps, by): (&[Step], Dimension),
    rules: Rules,
) -> Result<BTreeMap<String, Progress>, ApiError> {
    let until_ms = period.to_ms + rules.window_ms;
    let sources = || Sources::of(app, workspace, steps, by, (period.from_ms, until_ms));
    let mut read_from = sources().await?;
    let mut tries = 0;
    loop {
        tries += 1;
        let (mut readers, visitors) =
            Visitors::read(app, workspace, period, until_ms, (steps, by), &read_from)?;
        let deciding = tokio::task::spawn_blocking(move || decide_all(visitors, rules));
        let progress = deciding.await.expect("deciding does not panic")?;
        // A reader that failed looked like one that was at the end.
        while let Some(read) = readers.join_next().await {
            read.expect("reading does not panic")?;
        }
        let later = sources().await?;
        if read_from.cover(&later) {
            return Ok(progress);
        }
        // What was loaded meanwhile is told of some kinds, and of others not. Where it never
        // rests, all is told from the events.
        read_from = if tries < MOST_TRIES { later } else { Sources::events() };
    }
}

/// How far all of them came. Blocks.
fn decide_all(mut visitors: Visitors, rules: Rules) -> Result<BTreeMap<String, Progress>, Error> {
    // Most funnels are told apart by nothing.
    let mut of_all = Progress::default();
    let mut progress: BTreeMap<String, Progress> = BTreeMap::new();
    let mut acts = Vec::new();
    while let Some(key) = visitors.next(&mut acts)? {
        let attempt = best_attempt(&mut acts, rules);
        acts.clear();
        if attempt.is_empty() {
            continue;
        }
        let of_key = match key.as_str() {
            "" => &mut of_all,
            _ => progress.entry(key).or_default(),
        };
        of_key.count(&attempt);
    }
    if of_all != Progress::default() {
        progress.insert(String::new(), of_all);
    }
    Ok(progress)
}

/// Says in a query which events are which steps.
fn steps_param(query: Query, steps: &[Step]) -> Query {
    let of_kind = Bits::of(steps, |step| step.subject.is_none().then(|| step.kind.to_owned()));
    let about = |kind| Bits::of(steps, |step| step.subject.clone().filter(|_| step.kind == kind));
    let names = |kind| steps.iter().any(|step| step.kind == kind && step.subject.is_some());
    let mut pages = about("page");
    let beginnings = pages.take_beginnings();
    [of_kind, pages, beginnings, about("click"), about("track"), about("conversion")]
        .iter()
        .fold(query, |query, bits| query.bind(bits.texts()).bind(bits.steps()))
        .bind(steps.iter().map(|step| step.kind).collect::<Vec<_>>())
        .param("names_links", names("click"))
        .param("names_pages", names("page"))
}

fn shown(key: &str, progress: Progress, steps: &[Step]) -> Vec<serde_json::Map<String, serde_json::Value>> {
    let taken = progress.steps(steps.len());
    let visitors = |number: usize| taken.get(number).map_or(0, |step| step.visitors);
    let row = |(number, step): (usize, &models::funnel::Step)| {
        let previous = visitors(number.saturating_sub(1));
        object(json!({
            "key": key,
            "step": number + 1,
            "what": steps[number].told(),
            "visitors": step.visitors,
            "share_of_first": ratio(step.visitors as f64, visitors(0)),
            "share_of_previous": ratio(step.visitors as f64, previous),
            "drop_off": previous - step.visitors,
            "median_ms": step.median_ms,
            "mean_ms": step.mean_ms,
        }))
    };
    taken.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_or_refused_with_the_reason() {
        let link = "0199b5c0-0000-7000-8000-00000000000A";
        let steps = read_steps(&format!("click:{link} > page:/blog/* >track:sign up> sale")).expect("steps");
        let told: Vec<String> = steps.iter().map(Step::told).collect();
        assert_eq!(
            told,
            [&format!("click:{}", link.to_lowercase()), "page:/blog/*", "track:sign up", "sale"]
        );
        let many = vec!["click"; 17].join(">");
        for (text, message) in [
            ("click", "2 to 16 steps, not 1"),
            (many.as_str(), "2 to 16 steps, not 17"),
            ("click > > sale", "a step is one of click, page"),
            ("click > shoe", "not \"shoe\""),
            ("click:7 > sale", "the subject of a click is a link's id, not \"7\""),
            ("page: > sale", "says no subject"),
            ("page:https://a.example/b > sale", "named by its path, like /pricing"),
            ("click > sale:7", "a sale has no subject"),
        ] {
            let error = read_steps(text).expect_err(text).to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn a_text_of_several_steps_has_all_their_bits() {
        let steps = read_steps("page:/a > click > page:/a > page").expect("steps");
        let bits = Bits::of(&steps, |step| Some(step.told()));
        assert_eq!((bits.texts(), bits.steps()), (vec!["click", "page", "page:/a"], vec![2, 8, 5]));
    }
}
