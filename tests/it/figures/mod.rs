//! Every figure of the reports equals what is counted here, one event after the
//! other, over the same events: a day of 25 hours, with robots, repeats, refunds
//! and shared sales.

mod day;
mod expired;
mod progress;
mod returning;
mod rolled;
mod trends;
mod visits;

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use sinks::EventRow;
use store::rollups::Hours;
use store::sinks::SinkPartition;
use tests::{Campaign, Stack, World};
use uuid::Uuid;

pub(crate) use self::day::fill;
use self::day::{Count, DAY_MS, Day, HOUR_MS, Link, MIDNIGHT_MS, day};
use self::rolled::{mark, roll_up};

fn path(event: &EventRow) -> &str {
    event.url.split(['?', '#']).next().unwrap_or_default()
}

/// Ratios, as far as they are compared: JSON's reader is off by a bit.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9 * (1.0 + a.abs()),
        _ => a == b,
    }
}

fn id(made: &Value) -> String {
    made["id"].as_str().expect("an id").to_owned()
}

fn rows(report: &Value) -> &[Value] {
    report["rows"].as_array().map_or(&[], Vec::as_slice)
}

const SPAN: &str = "from_ms=1792879200000&to_ms=1792969200000";

async fn boards(world: &World, day: &Day, campaign: Uuid) -> anyhow::Result<()> {
    for (scope, only) in [(String::new(), None), (format!("&campaign={campaign}"), Some(campaign))] {
        let is_in = |of: Uuid| only.is_none_or(|only| only == of);
        let counts = day.count(
            |event| (event.kind == "click" && is_in(event.campaign_id)).then_some(event.creator_id),
            |outcome| {
                (!outcome.creator_id.is_nil() && !outcome.is_reward && is_in(outcome.campaign_id))
                    .then_some(outcome.creator_id)
            },
        );
        for metric in [
            "clicks",
            "unique_clicks",
            "conversions",
            "conversion_rate",
            "revenue",
            "earnings",
            "earnings_per_click",
        ] {
            let board =
                world.report(&format!("/v1/leaderboards?metric={metric}{scope}&limit=1000&{SPAN}")).await?;
            // Who has no clicks has no rate.
            let ranked = counts.values().filter(|count| !count.figure(metric).is_null()).count();
            assert_eq!(rows(&board).len(), ranked, "{metric}{scope}");
            for row in rows(&board) {
                let creator: Uuid = row["creator_id"].as_str().unwrap().parse()?;
                let count = &counts[&creator];
                for figure in [
                    "clicks",
                    "unique_clicks",
                    "repeated_clicks",
                    "bot_clicks",
                    "conversions",
                    "conversion_rate",
                    "revenue_minor",
                    "earnings_minor",
                    "earnings_per_click_minor",
                ] {
                    assert!(
                        same(&row[figure], &count.figure(figure)),
                        "{figure}: {row}, counted {}",
                        count.figure(figure)
                    );
                }
                let value = count.figure(metric);
                assert!(same(&row["value"], &value), "{metric}: {row}, counted {value}");
                let better = counts.values().filter(|other| other.figure(metric).as_f64() > value.as_f64());
                assert_eq!(row["rank"], json!(1 + better.count()), "{metric}: {row}");
            }
        }
    }
    Ok(())
}

const SERIES: [&str; 8] = [
    "clicks",
    "unique_clicks",
    "bot_clicks",
    "page_views",
    "visitors",
    "conversions",
    "revenue_minor",
    "earnings_minor",
];

async fn series(world: &World, day: &Day, real: Link) -> anyhow::Result<()> {
    let of_interest = |event: &EventRow| ["click", "page", "track"].contains(&event.kind.as_str());
    for (unit, bucket_ms, buckets) in [("hour", HOUR_MS, 25), ("day", DAY_MS, 1)] {
        let bucket = |at: i64| (at - MIDNIGHT_MS) / bucket_ms;
        let counts = day.count(
            |event| of_interest(event).then(|| bucket(event.at)),
            |outcome| (!outcome.creator_id.is_nil()).then(|| bucket(outcome.at)),
        );
        let report = world.report(&format!("/v1/reports/timeseries?unit={unit}&{SPAN}")).await?;
        assert_eq!(rows(&report).len(), buckets, "{unit}");
        assert_eq!(rows(&report)[0]["from"], "2026-10-25T00:00:00+02:00");
        for (number, row) in (0..).zip(rows(&report)) {
            assert_eq!(row["from_ms"], json!(MIDNIGHT_MS + number * bucket_ms), "{unit}");
            for figure in SERIES {
                let counted = counts[&number].figure(figure);
                assert_eq!(row[figure], counted, "{unit} {number} {figure}");
            }
        }
    }
    let (link, _campaign, creator) = real;
    for (filter, takes) in [
        (
            format!("link={link}"),
            Box::new(move |l: Uuid, _: Uuid| l == link) as Box<dyn Fn(Uuid, Uuid) -> bool>,
        ),
        (format!("creator={creator}"), Box::new(move |_, c| c == creator)),
    ] {
        let counts = day.count(
            |event| (of_interest(event) && takes(event.link_id, event.creator_id)).then_some(()),
            |outcome| {
                (!outcome.creator_id.is_nil() && takes(outcome.link_id, outcome.creator_id)).then_some(())
            },
        );
        let report = world.report(&format!("/v1/reports/timeseries?unit=day&{filter}&{SPAN}")).await?;
        for figure in ["clicks", "unique_clicks", "visitors", "conversions", "earnings_minor"] {
            assert_eq!(rows(&report)[0][figure], counts[&()].figure(figure), "{filter} {figure}");
        }
    }
    Ok(())
}

/// What is known of a click.
type Key<'a> = &'a dyn Fn(&EventRow) -> String;

async fn parts(world: &World, day: &Day) -> anyhow::Result<()> {
    let utm = |event: &EventRow, name: &str| -> String {
        let properties: Value = serde_json::from_str(&event.properties).unwrap_or_default();
        properties[name].as_str().unwrap_or_default().to_owned()
    };
    let of: [(&str, Key); 11] = [
        ("country", &|event| event.country.clone()),
        ("city", &|event| match event.city.as_str() {
            "" => String::new(),
            city => format!("{}/{city}", event.country),
        }),
        ("device", &|event| event.device.clone()),
        ("os", &|event| event.os.clone()),
        ("browser", &|event| event.browser.clone()),
        ("referrer", &|event| {
            let host = event.referrer.split('/').nth(2).unwrap_or_default();
            host.trim_start_matches("www.").to_owned()
        }),
        ("utm_source", &|event| utm(event, "source")),
        ("utm_medium", &|event| utm(event, "medium")),
        ("variant", &|event| event.name.clone()),
        ("link", &|event| event.link_id.to_string()),
        ("campaign", &|event| event.campaign_id.to_string()),
    ];
    let is_within = |at: i64| (MIDNIGHT_MS..MIDNIGHT_MS + DAY_MS).contains(&at);
    let unique = day.unique_clicks();
    for (by, key) in of {
        let clicks = day.events.iter().filter(|event| event.kind == "click" && is_within(event.at));
        let of_click: HashMap<Uuid, String> = clicks.map(|event| (event.event_id, key(event))).collect();
        let mut counts: BTreeMap<String, Count> = BTreeMap::new();
        for event in day.events.iter().filter(|event| of_click.contains_key(&event.event_id)) {
            counts.entry(key(event)).or_default().event(event, &unique);
        }
        for outcome in day.outcomes.iter().filter(|outcome| outcome.at >= MIDNIGHT_MS) {
            if let Some(key) = of_click.get(&outcome.click_id) {
                counts.entry(key.clone()).or_default().outcome(outcome);
            }
        }
        let report = world.report(&format!("/v1/reports/breakdown?by={by}&limit=1000&{SPAN}")).await?;
        assert_eq!((rows(&report).len(), &report["total"]), (counts.len(), &json!(counts.len())), "{by}");
        for row in rows(&report) {
            let count = &counts[row["key"].as_str().unwrap()];
            for figure in
                ["clicks", "visitors", "bot_clicks", "conversions", "revenue_minor", "earnings_minor"]
            {
                assert_eq!(row[figure], count.figure(figure), "{by} {row} {figure}");
            }
        }
    }
    let mut pages: BTreeMap<&str, Count> = BTreeMap::new();
    for event in day.events.iter().filter(|event| event.kind == "page" && is_within(event.at)) {
        pages.entry(path(event)).or_default().event(event, &unique);
    }
    let report = world.report(&format!("/v1/reports/pages?{SPAN}")).await?;
    assert_eq!(rows(&report).len(), pages.len());
    for row in rows(&report) {
        let count = &pages[row["page"].as_str().unwrap()];
        for figure in ["page_views", "visitors"] {
            assert_eq!(row[figure], count.figure(figure), "{row}");
        }
    }
    Ok(())
}

/// A link that is in the books as well.
async fn real_link(world: &World) -> anyhow::Result<Link> {
    let business = json!({ "email": "b@berlin.example", "username": "shop", "company_name": "Shop" });
    let campaign = json!({
        "business_id": id(&world.control("/v1/businesses", &business).await?),
        "title": "One of them", "objective": "sale", "hashtags": ["#Herbst", "mode"], "terms": { "payout_minor": 1 },
    });
    let campaign = id(&world.control("/v1/campaigns", &campaign).await?);
    let creator = world.add_creator("ada-of-berlin").await?;
    let member = json!({ "creator_id": creator, "status": "accepted" });
    world.control(&format!("/v1/campaigns/{campaign}/creators"), &member).await?;
    let of = Campaign { id: campaign.clone(), code: "berlin".to_owned() };
    let link = world.link(&of, &of.code, &json!({ "creator_id": creator })).await?;
    Ok((link.parse()?, campaign.parse()?, creator.parse()?))
}

/// A workspace in Berlin, beside another.
async fn berlin(other: &World) -> anyhow::Result<(World, Uuid)> {
    let workspace = json!({
        "slug": "berlin", "name": "Berlin", "currency": "EUR", "platform_fee_bps": 0, "time_zone": "Europe/Berlin",
    });
    let made = other.control("/v1/workspaces", &workspace).await?;
    Ok((other.at_workspace("berlin"), made["workspace"]["id"].as_str().expect("an id").parse()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_events_of_a_long_day_are_counted_right() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let other = World::create(&stack, "other").await?;
    let (world, workspace) = berlin(&other).await?;
    let real = real_link(&world).await?;
    let mut day = day(workspace, real, 1_000_000);
    let client = sinks::client(&stack.clickhouse_url(), "tributary");
    fill(&client, "events", &day.events).await?;
    fill(&client, "outcomes", &day.outcomes).await?;
    // Another tenant's are nobody else's.
    let strangers = day
        .events
        .iter()
        .take(1_000)
        .map(|event| EventRow { workspace_id: other.workspace, ..event.clone() });
    fill(&client, "events", &strangers.collect::<Vec<_>>()).await?;
    // Before they are rolled up, afterwards, and once more after some came in late.
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 2).await?;
    mark(&owner, workspace, "events", day.events.iter().map(|event| event.at)).await?;
    mark(&owner, workspace, "outcomes", day.outcomes.iter().map(|outcome| outcome.at)).await?;
    boards(&world, &day, real.1).await?;
    series(&world, &day, real).await?;
    trends::trends(&world, &day, real).await?;
    parts(&world, &day).await?;
    visits::all_sessions(&world, &day).await?;
    visits::retention(&world, &day).await?;
    progress::funnels(&world, &day, real.0).await?;
    progress::experiments(&world, &day, real.0).await?;
    roll_up(&owner).await?;
    boards(&world, &day, real.1).await?;
    series(&world, &day, real).await?;
    trends::trends(&world, &day, real).await?;
    visits::all_sessions(&world, &day).await?;
    cut_days(&world, &owner, &day).await?;
    let late = day::late(&day, 40_000);
    // While the range is open that loads them, and once it is closed.
    let hours =
        |moments: Vec<i64>| moments.into_iter().map(|at| (workspace, store::rollups::hour_of(at))).collect();
    let ranges: [(&str, Hours); 2] = [
        ("events", hours(late.events.iter().map(|event| event.at).collect())),
        ("outcomes", hours(late.outcomes.iter().map(|outcome| outcome.at).collect())),
    ];
    let at = |sink| SinkPartition { sink, topic: "late".to_owned(), partition: 0 };
    for (sink, hours) in &ranges {
        store::sinks::position(&owner, &at(sink)).await?;
        assert!(store::sinks::open(&owner, &at(sink), 0, 0, hours).await?);
    }
    fill(&client, "events", &late.events).await?;
    fill(&client, "outcomes", &late.outcomes).await?;
    day.events.extend(late.events);
    day.outcomes.extend(late.outcomes);
    boards(&world, &day, real.1).await?;
    series(&world, &day, real).await?;
    trends::trends(&world, &day, real).await?;
    visits::sessions(&world, &day).await?;
    for (sink, hours) in &ranges {
        assert!(store::sinks::close(&owner, &at(sink), 0, 0, hours).await?);
    }
    boards(&world, &day, real.1).await?;
    visits::sessions(&world, &day).await?;
    roll_up(&owner).await?;
    boards(&world, &day, real.1).await?;
    visits::sessions(&world, &day).await?;
    trends::trends(&world, &day, real).await?;
    series(&world, &day, real).await
}

/// A time that begins and ends within hours, and days that begin within some.
async fn cut_days(world: &World, owner: &store::Pool, day: &Day) -> anyhow::Result<()> {
    let zone = async |zone: &str| {
        store::migrate::execute(
            owner,
            &format!("UPDATE workspaces SET time_zone = '{zone}' WHERE slug = 'berlin'"),
        )
        .await
    };
    let (from_ms, to_ms) = (MIDNIGHT_MS + 77 * 60_000, MIDNIGHT_MS + DAY_MS - 1_234_567);
    let span = format!("from_ms={from_ms}&to_ms={to_ms}");
    // Half past 6 in the evening of Greenwich.
    let midnight_ms = 1_792_866_600_000;
    zone("Asia/Kolkata").await?;
    let of_interest = |event: &EventRow| ["click", "page", "track"].contains(&event.kind.as_str());
    let bucket = |at: i64| (at - midnight_ms).div_euclid(24 * HOUR_MS);
    let counts = day.count_within(
        from_ms..to_ms,
        |event| of_interest(event).then(|| bucket(event.at)),
        |outcome| (!outcome.creator_id.is_nil()).then(|| bucket(outcome.at)),
    );
    let report = world.report(&format!("/v1/reports/timeseries?unit=day&{span}")).await?;
    assert_eq!(rows(&report).len(), 2);
    for row in rows(&report) {
        let count = &counts[&bucket(row["from_ms"].as_i64().unwrap())];
        for figure in SERIES {
            assert_eq!(row[figure], count.figure(figure), "{figure}: {row}");
        }
    }
    let counts = day.count_within(
        from_ms..to_ms,
        |event| (event.kind == "click").then_some(event.creator_id),
        |outcome| (!outcome.creator_id.is_nil() && !outcome.is_reward).then_some(outcome.creator_id),
    );
    let board = world.report(&format!("/v1/leaderboards?metric=unique_clicks&limit=1000&{span}")).await?;
    assert_eq!(rows(&board).len(), counts.len());
    for row in rows(&board) {
        let count = &counts[&row["creator_id"].as_str().unwrap().parse::<Uuid>()?];
        for figure in ["clicks", "unique_clicks", "conversions", "revenue_minor", "earnings_minor"] {
            assert_eq!(row[figure], count.figure(figure), "{figure}: {row}");
        }
    }
    zone("Europe/Berlin").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_cannot_be_is_refused_with_the_reason() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "refused").await?;
    for (path, status, part) in [
        ("timeseries?unit=second", 400, "unknown variant"),
        ("timeseries?from_ms=2&to_ms=1", 400, "must be before"),
        ("timeseries?unit=hour&from_ms=1&to_ms=1792969200000", 400, "more than 10000 of them"),
        ("timeseries?unit=hour&from_ms=1&to_ms=4102444800000", 400, "more than 10000 of them"),
        ("timeseries?link=1", 400, "link is an id"),
        ("timeseries?limit=1", 400, "no parameter \\\"limit\\\""),
        ("timeseries?bogus=1", 400, "unit, period, as_of_ms, from_ms, to_ms, format, campaign"),
        ("timeseries?from_ms=2026-11-21", 400, "from_ms is in milliseconds since 1970"),
        ("breakdown", 400, "missing field `by`"),
        ("breakdown?by=shoe", 400, "unknown variant"),
        ("breakdown?by=country')%20--", 400, "unknown variant"),
        ("breakdown?by=country&limit=1000000000", 400, "limit must be 1 to 1000"),
        ("breakdown?by=country&offset=1000001", 400, "offset at most"),
        ("pages?period=yesterday", 400, "is none of hour, day"),
        ("sessions?by=shoe", 400, "unknown variant"),
        ("sessions?gap_minutes=0", 400, "gap_minutes must be"),
        ("funnel", 400, "missing field `steps`"),
        ("funnel?steps=click", 400, "2 to 16 steps, not 1"),
        ("funnel?steps=click%3Eshoe", 400, "a step is one of click, page"),
        ("funnel?steps=click%3Epage:/')%20OR%201%20--&window_minutes=0", 400, "window_minutes must be"),
        ("funnel?steps=click%3Esale&by=shoe", 400, "unknown variant"),
        ("funnel?steps=click%3Esale&strict=perhaps", 400, "provided string was not"),
        ("funnel?steps=click%3Esale&limit=7", 400, "no parameter"),
        ("experiment", 400, "missing field `experiment`"),
        ("experiment?experiment=x&goal=click", 400, "goal is sale, conversion, track or page"),
        ("experiment?experiment=x&weights=a", 400, "weights are like a:1,b:3"),
        ("experiment?experiment=x&control=a", 400, "nobody saw the control"),
        ("experiment?experiment=", 400, "not nothing"),
        ("experiment?experiment=x&goal=page:x", 400, "named by its path"),
        ("experiment?experiment=link:7", 400, "link: and a link's id"),
        ("experiment?experiment=link:00000000-0000-0000-0000-000000000007", 404, "link"),
        ("retention?unit=hour", 400, "more than 120 of them"),
        ("trending?metric=likes", 400, "unknown variant"),
        ("trending?half_life_hours=0", 400, "half_life_hours is 1 to 8760"),
        ("trending?half_life_hours=NaN", 400, "half_life_hours is 1 to 8760"),
        ("trending?campaign=7", 400, "no parameter"),
        ("retention?limit=5", 400, "no parameter"),
        ("pages?to_ms=9999999999999999999999", 400, "to_ms is in milliseconds"),
        ("nothing", 404, "nothing at this path"),
    ] {
        let error = world.report(&format!("/v1/reports/{path}")).await.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(&status.to_string()) && error.contains(part), "{path}: {error}");
    }
    let empty = world.report("/v1/reports/breakdown?by=country").await?;
    assert_eq!((rows(&empty), &empty["total"]), (&[][..], &json!(0)));
    // What nobody did, and what is nobody's statement.
    let nobody = world.report("/v1/reports/funnel?steps=click%3Epage:/')%20OR%201%3D1%20--").await?;
    assert_eq!((rows(&nobody).len(), &rows(&nobody)[0]["visitors"]), (2, &json!(0)));
    let nobody =
        world.report("/v1/reports/experiment?experiment=')%20OR%201%20--&goal=page:/')%20--").await?;
    assert_eq!((rows(&nobody), &nobody["share_p_value"]), (&[][..], &Value::Null));
    // Moments at which windows begin and end, and all time.
    for path in [
        "timeseries?period=hour&unit=hour&as_of_ms=1792969200000",
        "timeseries?period=day&as_of_ms=1792972800000",
        "timeseries?period=all&unit=month",
        "timeseries?period=all&unit=hour",
        "timeseries?unit=month&from_ms=1&to_ms=1792969200000",
        "retention?period=all",
    ] {
        let report = world.report(&format!("/v1/reports/{path}")).await?;
        assert!(!rows(&report).is_empty(), "{path}");
    }
    // A week is whole, though the window began within it.
    let weeks = world.report("/v1/reports/timeseries?unit=week&as_of_ms=1792969200000").await?;
    assert_eq!(weeks["from_ms"], rows(&weeks)[0]["from_ms"]);
    for path in ["timeseries?campaign=", "timeseries?creator=", "breakdown?by=os&link="] {
        let nobody = world.report(&format!("/v1/reports/{path}{}", Uuid::from_u128(7))).await.unwrap_err();
        assert!(nobody.to_string().contains("404"), "{path}: {nobody}");
    }
    // Thirty days, however little there is in them.
    assert_eq!(rows(&world.report("/v1/reports/timeseries").await?).len(), 30);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_and_buckets_begin_by_the_zone() -> anyhow::Result<()> {
    use store::periods::{Unit, Window, buckets, start_ms};

    let stack = Stack::start_with(&["--engines-only"])?;
    let pool = stack.pool().await?;
    let ms = |text: &str| domain::timestamp::read_rfc3339(text).unwrap();
    for (zone, window, as_of, start) in [
        ("UTC", Window::Hour, "2026-11-22T04:59:59.999Z", "2026-11-22T04:00:00Z"),
        ("Asia/Kolkata", Window::Hour, "2026-11-22T04:59:59Z", "2026-11-22T04:30:00Z"),
        ("Europe/Berlin", Window::Day, "2026-11-21T23:00:00.001Z", "2026-11-21T23:00:00Z"),
        ("Europe/Berlin", Window::Day, "2026-11-21T23:00:00Z", "2026-11-20T23:00:00Z"),
        ("Europe/Berlin", Window::Day, "2026-11-21T22:59:59.999Z", "2026-11-20T23:00:00Z"),
        // Over the end of daylight saving.
        ("Europe/Berlin", Window::Days7, "2026-10-28T12:00:00Z", "2026-10-21T22:00:00Z"),
        ("Europe/Berlin", Window::Days30, "2026-04-01T12:00:00Z", "2026-03-02T23:00:00Z"),
        ("America/New_York", Window::Month, "2026-11-01T03:59:59Z", "2026-10-01T04:00:00Z"),
        ("America/New_York", Window::Month, "2026-11-01T04:00:00Z", "2026-10-01T04:00:00Z"),
        ("America/New_York", Window::Month, "2026-11-01T04:00:00.001Z", "2026-11-01T04:00:00Z"),
        ("UTC", Window::All, "2026-11-01T04:00:00Z", "1970-01-01T00:00:00Z"),
    ] {
        let found = start_ms(&pool, window, zone, ms(as_of)).await?;
        assert_eq!(found, ms(start), "{zone} {window:?} {as_of}");
    }
    for (zone, unit, from, to, count, hours) in [
        // A day of 25 hours, one of 23, and half an hour's change.
        ("Europe/Berlin", Unit::Hour, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25, 1.0),
        ("Europe/Berlin", Unit::Hour, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 23, 1.0),
        ("Europe/Berlin", Unit::Day, "2026-10-25T12:00:00Z", "2026-10-25T23:00:00.001Z", 2, 25.0),
        ("Australia/Lord_Howe", Unit::Day, "2026-04-04T13:00:00Z", "2026-04-05T13:31:00Z", 2, 24.5),
        ("UTC", Unit::Week, "2026-11-22T00:00:00Z", "2026-11-23T00:00:00.001Z", 2, 168.0),
        ("UTC", Unit::Month, "2028-02-10T00:00:00Z", "2028-03-01T00:00:00.001Z", 2, 29.0 * 24.0),
    ] {
        let found = buckets(&pool, unit, zone, (ms(from), ms(to)), 1_000).await?;
        let found: Vec<i64> = found.into_iter().map(|bucket| bucket.from_ms).collect();
        assert_eq!(found.len(), count, "{zone} {unit:?} {from}");
        assert_eq!((found[1] - found[0]) as f64 / HOUR_MS as f64, hours, "{zone} {unit:?} {from}");
        assert!(found[0] <= ms(from) && found[1] > ms(from), "{zone} {unit:?} {from}");
    }
    Ok(())
}
