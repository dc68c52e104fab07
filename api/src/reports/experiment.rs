//! Experiments: what the variants that visitors saw made them do.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use clickhouse::Row;
use models::experiment::{Variant, findings, share_p_value};
use serde::Deserialize;
use serde_json::json;
use store::periods::Window;
use uuid::Uuid;

use super::asked::{Asked, Parameters};
use super::filter::Filter;
use super::form::{Report, object};
use super::funnel::check_path;
use super::period::invalid;
use crate::access::InFinance;
use crate::error::ApiError;
use crate::server::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExperimentParameters {
    /// Its id or name, or `link:` and a link's id.
    experiment: String,
    /// What counts as converted: `sale`, `conversion`, `track:signup`, `page:/thanks`.
    #[serde(default = "a_sale")]
    goal: String,
    /// The variant that others are compared with; else the first by name.
    control: Option<String>,
    /// `a:1,b:3`, if visitors are not shared out equally.
    weights: Option<String>,
}

fn a_sale() -> String {
    "sale".to_owned()
}

impl Parameters for ExperimentParameters {
    const NAMES: &'static [&'static str] = &["experiment", "goal", "control", "weights"];
    const IS_PAGED: bool = false;
    const IS_FILTERED: bool = false;
}

/// A kind of event, what it is about (any, if empty), and whether that is only how it
/// begins.
fn read_goal(text: &str) -> Result<(&str, &str, bool), ApiError> {
    let (kind, about) = text.split_once(':').unwrap_or((text, ""));
    match kind {
        "sale" if about.is_empty() => Ok((kind, about, false)),
        "conversion" | "track" => Ok((kind, about, false)),
        "page" if about.is_empty() => Ok((kind, about, false)),
        "page" => {
            check_path(about)?;
            let beginning = about.strip_suffix('*');
            Ok((kind, beginning.unwrap_or(about), beginning.is_some()))
        }
        _ => Err(invalid(format!(
            "goal is sale, conversion, track or page, the last three with : and which one or without; not {text:?}"
        ))),
    }
}

/// What share of visitors each variant is to have.
fn read_weights(text: &str) -> Result<Vec<(String, f64)>, ApiError> {
    let wrong = || invalid(format!("weights are like a:1,b:3, numbers above 0; not {text:?}"));
    let one = |part: &str| {
        let (variant, weight) = part.rsplit_once(':').ok_or_else(wrong)?;
        let weight: f64 = weight.trim().parse().map_err(|_| wrong())?;
        let is_weight = weight.is_finite() && weight > 0.0;
        if is_weight { Ok((variant.trim().to_owned(), weight)) } else { Err(wrong()) }
    };
    let weights: Vec<(String, f64)> = text.split(',').map(one).collect::<Result<_, _>>()?;
    let names: BTreeSet<&str> = weights.iter().map(|(name, _)| name.as_str()).collect();
    if names.len() < weights.len() {
        return Err(invalid(format!("a variant stands in weights twice: {text:?}")));
    }
    Ok(weights)
}

#[derive(Row, Deserialize)]
struct Seen {
    variant: String,
    visitors: u64,
    converted: u64,
    saw_others: u64,
}

const COLUMNS: &[&str] = &[
    "variant",
    "is_control",
    "visitors",
    "converted",
    "rate",
    "rate_low",
    "rate_high",
    "lift",
    "z",
    "p_value",
    "probability_beats_control",
    "probability_best",
    "saw_others",
    "share_p_value",
];

pub(crate) async fn experiment(
    State(app): State<Arc<App>>,
    InFinance(workspace): InFinance,
    asked: Asked<ExperimentParameters>,
) -> Result<Response, ApiError> {
    let Asked { own, period, form, .. } = asked;
    let (goal_kind, goal, goal_begins) = read_goal(&own.goal)?;
    if own.experiment.is_empty() {
        return Err(invalid("experiment is an id, a name, or link: and a link's id; not nothing"));
    }
    let weights = own.weights.as_deref().map(read_weights).transpose()?;
    let link: Option<Uuid> = match own.experiment.strip_prefix("link:") {
        None => None,
        Some(id) => Some(id.parse().map_err(|_| invalid(format!("link: and a link's id, not {id:?}")))?),
    };
    Filter { link, ..Filter::default() }.check(&app, &workspace).await?;
    let period = period.read(&app, &workspace, Window::Days30).await?.of_kept_events(&workspace)?;
    let query = app.clickhouse.query(include_str!("../../../clickhouse/queries/experiment.sql"));
    let seen: Vec<Seen> = period
        .param(query, &workspace)
        .param("link", link.unwrap_or_default().to_string())
        .param("is_link", link.is_some())
        .param("experiment", &own.experiment)
        .param("goal_kind", goal_kind)
        .param("goal", goal)
        .param("goal_begins", goal_begins)
        .fetch_all()
        .await?;
    let seen = with_all(seen, weights.as_deref())?;
    let control = match &own.control {
        None => 0,
        Some(control) => seen.iter().position(|seen| seen.variant == *control).ok_or_else(|| {
            let known: Vec<&str> = seen.iter().map(|seen| seen.variant.as_str()).collect();
            match known.join(", ").as_str() {
                "" => invalid(format!(
                    "nobody saw the control {control:?}, nor anything else of this experiment"
                )),
                known => invalid(format!("nobody saw the control {control:?}; there is {known}")),
            }
        })?,
    };
    let variants: Vec<Variant> =
        seen.iter().map(|seen| Variant { visitors: seen.visitors, converted: seen.converted }).collect();
    let visitors: Vec<u64> = seen.iter().map(|seen| seen.visitors).collect();
    let shares: Vec<f64> = match &weights {
        // A link has its own, and they may have changed.
        None if link.is_some() => Vec::new(),
        None => vec![1.0; seen.len()],
        Some(weights) => seen
            .iter()
            .filter_map(|seen| Some(weights.iter().find(|(name, _)| *name == seen.variant)?.1))
            .collect(),
    };
    let shares = share_p_value(&visitors, &shares);
    let mut asked = period.told(&workspace);
    asked.insert("experiment".to_owned(), json!(own.experiment));
    asked.insert("goal".to_owned(), json!(own.goal));
    asked.insert("share_p_value".to_owned(), json!(shares));
    let found = findings(&variants, control);
    let rows = seen.iter().zip(found).enumerate().map(|(number, (seen, found))| {
        object(json!({
            "variant": seen.variant,
            "is_control": number == control,
            "visitors": seen.visitors,
            "converted": seen.converted,
            "rate": found.rate,
            "rate_low": found.interval.map(|(low, _)| low),
            "rate_high": found.interval.map(|(_, high)| high),
            "lift": found.lift,
            "z": found.z,
            "p_value": found.p_value,
            "probability_beats_control": found.beats_control,
            "probability_best": found.is_best,
            "saw_others": seen.saw_others,
            "share_p_value": shares,
        }))
    });
    Ok(Report { asked, columns: COLUMNS, rows: rows.collect() }.answer(form))
}

/// What was seen, and the variants that nobody saw though they have a weight.
fn with_all(mut seen: Vec<Seen>, weights: Option<&[(String, f64)]>) -> Result<Vec<Seen>, ApiError> {
    let Some(weights) = weights else { return Ok(seen) };
    let has_weight = |variant: &str| weights.iter().any(|(name, _)| name == variant);
    if let Some(Seen { variant, .. }) = seen.iter().find(|seen| !has_weight(&seen.variant)) {
        return Err(invalid(format!("weights says nothing of the variant {variant:?}, which visitors saw")));
    }
    for (variant, _) in weights {
        if seen.iter().all(|seen| seen.variant != *variant) {
            seen.push(Seen { variant: variant.clone(), visitors: 0, converted: 0, saw_others: 0 });
        }
    }
    seen.sort_by(|a, b| a.variant.cmp(&b.variant));
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_and_weights_are_read_or_refused() {
        assert_eq!(read_goal("sale").expect("a goal"), ("sale", "", false));
        assert_eq!(read_goal("track:a:b").expect("a goal"), ("track", "a:b", false));
        assert_eq!(read_goal("page").expect("a goal"), ("page", "", false));
        assert_eq!(read_goal("page:/a*").expect("a goal"), ("page", "/a", true));
        for goal in ["", "click", "sale:x", "Sale", "page:a", "page:https://a.example/b"] {
            assert!(read_goal(goal).is_err(), "{goal}");
        }
        let weights = [("a".to_owned(), 1.0), ("b:c".to_owned(), 2.5)];
        assert_eq!(read_weights("a:1, b:c:2.5").expect("weights"), weights);
        for text in ["", "a", "a:", "a:0", "a:-1", "a:inf", "a:1,,b:2", "a:NaN", "a:1,a:2"] {
            assert!(read_weights(text).is_err(), "{text}");
        }
    }
}
