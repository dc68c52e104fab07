//! Trending hashtags, counted hour by hour.

use serde_json::{Value, json};
use tests::World;

use super::day::{Day, HOUR_MS, Link, MIDNIGHT_MS};
use super::{SPAN, rows};

/// The real campaign's hashtags: what it came to in each hour, halved every six.
pub(super) async fn trends(world: &World, day: &Day, (_, campaign, _): Link) -> anyhow::Result<()> {
    let hour = |at: i64| (at - MIDNIGHT_MS) / HOUR_MS;
    let counts = day.count(
        |event| (event.campaign_id == campaign).then(|| hour(event.at)),
        |outcome| (outcome.campaign_id == campaign && !outcome.creator_id.is_nil()).then(|| hour(outcome.at)),
    );
    for metric in ["clicks", "unique_clicks", "conversions", "revenue"] {
        let figure = |hour: &i64, name: &str| counts[hour].figure(name).as_f64().unwrap();
        let score: f64 =
            counts.keys().map(|hour| figure(hour, metric) * 0.5_f64.powf((24 - hour) as f64 / 6.0)).sum();
        let path = format!("/v1/reports/trending?metric={metric}&half_life_hours=6&{SPAN}");
        let report = world.report(&path).await?;
        let names: Vec<&Value> = rows(&report).iter().map(|row| &row["hashtag"]).collect();
        assert_eq!((names, &report["total"]), (vec![&json!("herbst"), &json!("mode")], &json!(2)));
        for row in rows(&report) {
            assert_eq!((&row["rank"], &row["campaigns"]), (&json!(1), &json!(1)));
            let told = row["score"].as_f64().unwrap();
            assert!(score != 0.0 && (told - score).abs() < 1e-5, "{metric}: {told}, counted {score}");
            for name in ["clicks", "unique_clicks", "conversions", "revenue_minor"] {
                let all: f64 = counts.keys().map(|hour| figure(hour, name)).sum();
                assert_eq!(row[name].as_f64(), Some(all), "{name}");
            }
        }
    }
    Ok(())
}
