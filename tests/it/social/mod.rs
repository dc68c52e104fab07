//! Accounts on social platforms: fetched when they are due, reported, compared.

mod platforms;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use hyper::Method;
use serde_json::{Value, json};
use tests::{Http, Stack, World};

use platforms::{Account, Platforms, YOUTUBE_KEY};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const TOKEN: &str = "IGQVJ-a-secret-token";
const OLD_TOKEN: &str = "IGQVJ-an-older-token";

/// Asks until it is so; gives the last answer.
async fn until(
    what: &str,
    mut ask: impl AsyncFnMut() -> anyhow::Result<Value>,
    is_so: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    let started = Instant::now();
    loop {
        let answer = ask().await?;
        if is_so(&answer) {
            return Ok(answer);
        }
        if started.elapsed() > Duration::from_secs(40) {
            bail!("{what} never came: {answer}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn account(world: &World, settings: &Value) -> anyhow::Result<String> {
    let mut account = json!({ "creator_id": world.creator });
    let fields = account.as_object_mut().context("an object")?;
    fields.extend(settings.as_object().context("an object")?.clone());
    let made = world.control("/v1/social-accounts", &account).await?;
    ensure!(!made.to_string().contains(TOKEN), "the token is shown: {made}");
    Ok(made["id"].as_str().context("an id")?.to_owned())
}

async fn get(world: &World, id: &str) -> anyhow::Result<Value> {
    world.report(&format!("/v1/social-accounts/{id}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_fetched_when_they_are_due() -> anyhow::Result<()> {
    let platforms = Platforms::default();
    let address = platforms.start().await?;
    let instagram = format!("{address}/v23.0");
    let settings = ["--youtube-url", &address, "--youtube-key", YOUTUBE_KEY, "--instagram-url", &instagram];
    let mut stack = Stack::start_with(&settings)?;
    let world = World::create(&stack, "kit").await?;
    platforms.set("UC1", Account::Channel { subscribers: 1_000, views: 9_000 });
    platforms.set("UC2", Account::OutOfQuota);
    let profile = |token: &str, followers| Account::Profile {
        token: token.to_owned(),
        followers,
        likes: vec![5, 6, 7],
    };
    platforms.set("17", profile(TOKEN, 70));
    platforms.set("18", profile("a-newer-token", 80));
    let of = |platform: &str, id: &str, more: &Value| {
        let mut settings = more.clone();
        settings["platform"] = json!(platform);
        settings["external_id"] = json!(id);
        settings
    };
    let channel = account(&world, &of("youtube", "UC1", &json!({ "plan": "pro" }))).await?;
    let no_quota = account(&world, &of("youtube", "UC2", &json!({}))).await?;
    let unknown = account(&world, &of("youtube", "UC3", &json!({}))).await?;
    let profile = account(&world, &of("instagram", "17", &json!({ "token": TOKEN }))).await?;
    let expired = account(&world, &of("instagram", "18", &json!({ "token": OLD_TOKEN }))).await?;
    let tokenless = account(&world, &of("instagram", "19", &json!({}))).await?;
    let reported = account(&world, &of("tiktok", "t1", &json!({}))).await?;

    let tried = |account: &Value| account["fetched_at_ms"].is_i64() || account["failures"] != 0;
    let fetched = until("the channel", async || get(&world, &channel).await, tried).await?;
    assert_eq!(fetched["figures"], json!({ "followers": 1_000, "views": 9_000, "posts": 12 }), "{fetched}");
    let due_in = |account: &Value| -> Option<i64> {
        Some(account["next_attempt_at_ms"].as_i64()? - account["fetched_at_ms"].as_i64()?)
    };
    assert_eq!((due_in(&fetched), fetched["failures"].as_i64()), (Some(HOUR_MS), Some(0)));
    let fetched = until("the profile", async || get(&world, &profile).await, tried).await?;
    let figures = json!({ "followers": 70, "following": 3, "posts": 3, "likes": 18, "comments": 3 });
    assert_eq!((&fetched["figures"], due_in(&fetched)), (&figures, Some(DAY_MS)), "{fetched}");
    assert_eq!((platforms.asked("UC1"), platforms.asked("17")), (1, 3), "a profile and two pages");

    // What only somebody can help waits for them; the others are tried again.
    for (id, code, is_tried_again) in [
        (&no_quota, "quota_exceeded", true),
        (&unknown, "account_not_found", true),
        (&expired, "token_expired", false),
        (&tokenless, "no_token", true),
    ] {
        let failed = until(code, async || get(&world, id).await, tried).await?;
        assert_eq!((&failed["error_code"], &failed["failures"]), (&json!(code), &json!(1)), "{failed}");
        assert_eq!(failed["next_attempt_at_ms"].is_i64(), is_tried_again, "{failed}");
        assert!(failed["figures"].is_null() && failed["error_message"].is_string(), "{failed}");
        assert!(!failed.to_string().contains(OLD_TOKEN), "{failed}");
    }
    assert!(get(&world, &reported).await?["next_attempt_at_ms"].is_null());
    let due = world.report("/v1/social-accounts?due=true").await?;
    assert_eq!(due["accounts"], json!([]));
    assert_eq!(world.report("/v1/social-accounts").await?["accounts"].as_array().map(Vec::len), Some(7));

    // Another token is tried at once.
    let path = format!("/v1/social-accounts/{expired}");
    world.replace(&path, &json!({ "token": "a-newer-token" })).await?;
    let well = |account: &Value| account["fetched_at_ms"].is_i64();
    let helped = until("the newer token", async || get(&world, &expired).await, well).await?;
    assert_eq!((&helped["figures"]["followers"], &helped["error_code"]), (&json!(80), &Value::Null));

    // Nobody finds a token where it is kept, nor in what is told.
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    let kept = store::migrate::strings(&owner, "SELECT social_accounts::text FROM social_accounts").await?;
    let audit = store::migrate::strings(&owner, "SELECT audit_log::text FROM audit_log").await?;
    let log = std::fs::read_to_string(stack.log_path())?;
    for text in kept.iter().chain(&audit).chain([&log]) {
        for token in [TOKEN, OLD_TOKEN] {
            assert!(!text.contains(token) && !text.contains(&hex::encode(token)), "{text}");
        }
    }

    // Under another key the tokens cannot be opened, which the right one mends by itself.
    let due_now = async |stack: &Stack, ids: &str| {
        let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
        let past = "UPDATE social_accounts SET next_attempt_at = now() - interval '1 hour'";
        Ok::<_, anyhow::Error>(
            store::migrate::execute(&owner, &format!("{past} WHERE external_id IN ({ids})")).await?,
        )
    };
    stack.stop()?;
    let other_key = "0b".repeat(32);
    stack.restart_with(&[&settings[..], &["--secrets-key", &other_key]].concat())?;
    due_now(&stack, "'17'").await?;
    let is_sealed = |account: &Value| account["error_code"] == "token_sealed";
    let sealed = until("the wrong key", async || get(&world, &profile).await, is_sealed).await?;
    assert!(sealed["next_attempt_at_ms"].is_i64(), "{sealed}");

    // As time goes by, they are fetched again; also by another process, with the same key.
    stack.stop()?;
    stack.restart_with(&settings)?;
    platforms.set("UC1", Account::Channel { subscribers: 1_100, views: 9_900 });
    due_now(&stack, "'UC1', '17'").await?;
    let grown = |account: &Value| account["figures"]["followers"] == 1_100;
    until("the second look", async || get(&world, &channel).await, grown).await?;
    until("the second look", async || Ok(json!(platforms.asked("17"))), |asked| *asked == json!(6)).await?;
    let report = format!("/v1/reports/social-growth?account={channel}&unit=hour&period=day");
    let last =
        |report: &Value| report["rows"].as_array().and_then(|rows| rows.last()).cloned().unwrap_or_default();
    until("growth", async || Ok(last(&world.report(&report).await?)), |row| row["followers"] == 1_100)
        .await?;
    let posts = world.report("/v1/reports/social?by=post").await?;
    assert_eq!(posts["total"], 6, "three posts of two profiles: {posts}");

    removal_and_publication(&stack, &world, &channel, &platforms).await
}

async fn removal_and_publication(
    stack: &Stack,
    world: &World,
    channel: &str,
    platforms: &Platforms,
) -> anyhow::Result<()> {
    let path = format!("/v1/social-accounts/{channel}");
    let kit = format!("{}/v1/media-kits/{}", stack.api_url(), world.creator);
    let everybody = Http::default();
    assert_eq!(everybody.get(&kit, &[]).await?.status, 404);
    world.replace(&path, &json!({ "is_published": true, "handle": "@ada" })).await?;
    let shown = everybody.get(&kit, &[]).await?.json()?;
    let captured = shown["accounts"][0]["captured_at_ms"].clone();
    assert!(captured.is_i64());
    let accounts = json!([{ "platform": "youtube", "external_id": "UC1", "handle": "@ada",
        "captured_at_ms": captured, "figures": { "followers": 1_100, "views": 9_900, "posts": 12 } }]);
    assert_eq!(shown, json!({ "creator_id": world.creator, "accounts": accounts }));

    let again = json!({ "creator_id": world.creator, "platform": "youtube", "external_id": "UC1" });
    let clash = world.control_raw("/v1/social-accounts", &again.to_string()).await?;
    assert_eq!((clash.status, &clash.json()?["error"]["reason"]), (409, &json!("conflict")));
    let removed = world.control_sent(Method::DELETE, &path, "").await?;
    assert_eq!(removed.status, 204);
    for (method, body) in [(Method::GET, ""), (Method::DELETE, ""), (Method::PUT, "{}")] {
        assert_eq!(world.control_sent(method, &path, body).await?.status, 404);
    }
    assert_eq!(everybody.get(&kit, &[]).await?.status, 404);
    let followers = async || -> anyhow::Result<Value> {
        let report = world.report("/v1/reports/social?by=creator").await?;
        Ok(report["rows"][0]["followers"].clone())
    };
    assert_eq!(followers().await?, 70 + 80);
    // It may come again, and is the same with its past.
    let asked = platforms.asked("UC1");
    assert_eq!(account(world, &again).await?, channel);
    until("its figures", async || Ok(json!(platforms.asked("UC1"))), |now| *now == json!(asked + 1)).await?;
    assert_eq!(followers().await?, 70 + 80 + 1_100);
    Ok(())
}

/// Noon on 2026-03-28.
const START_MS: i64 = 1_774_699_200_000;

#[tokio::test(flavor = "multi_thread")]
async fn social_figures_are_what_was_read() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "social").await?;
    let elsewhere = World::create(&stack, "elsewhere").await?;
    let bea = world.add_creator("bea").await?;
    let cy = world.add_creator("cy").await?;
    let of = async |creator: &str, platform: &str| {
        let settings = json!({ "platform": platform, "external_id": format!("{platform}-{creator}"), "creator_id": creator });
        account(&world, &settings).await
    };
    let (ada_x, ada_tok) = (of(&world.creator, "x").await?, of(&world.creator, "tiktok").await?);
    let (bea_x, cy_x) = (of(&bea, "x").await?, of(&cy, "x").await?);
    let at = |days: i64| START_MS + days * DAY_MS;
    let reading = |account: &str, days: i64, figures: &Value| json!({ "account_id": account, "captured_at_ms": at(days), "figures": figures });
    let post = |account: &str, id: &str, published: Value, days: i64, figures: &Value| {
        let mut reading = reading(account, days, figures);
        reading["post_id"] = json!(id);
        reading["published_at_ms"] = published;
        reading
    };
    let readings = json!([
        // Ada on X: read before the time and within it.
        reading(&ada_x, -3, &json!({ "followers": 90, "impressions": 900, "likes": 5, "comments": 1 })),
        reading(&ada_x, -1, &json!({ "followers": 100, "impressions": 1_000, "likes": 10, "comments": 2 })),
        reading(&ada_x, 2, &json!({ "followers": 130, "impressions": 1_400, "likes": 40, "shares": 7 })),
        // On TikTok only her posts are read: one from before, one published within the
        // time, one that nobody knows the beginning of.
        post(&ada_tok, "p1", json!(at(-20)), -1, &json!({ "likes": 50, "impressions": 500 })),
        post(&ada_tok, "p1", json!(at(-20)), 1, &json!({ "likes": 56, "impressions": 560, "saves": 3 })),
        post(&ada_tok, "p2", json!(at(1)), 2, &json!({ "likes": 4, "impressions": 40 })),
        post(&ada_tok, "p3", Value::Null, 2, &json!({ "likes": 1_000 })),
        // What is known of a post of an account that is read itself is no more of it.
        post(&ada_x, "q1", json!(at(1)), 2, &json!({ "likes": 500 })),
        // Bea: twice within the time. Cy: once, before it.
        reading(&bea_x, 1, &json!({ "followers": 10, "likes": 100, "impressions": 0 })),
        reading(&bea_x, 3, &json!({ "followers": 9, "likes": 160, "impressions": 0 })),
        reading(&cy_x, -2, &json!({ "followers": 5, "likes": 3 })),
        // After the time.
        reading(&ada_x, 9, &json!({ "followers": 999, "likes": 999 })),
    ]);
    assert_eq!(world.control("/v1/social-readings", &readings).await?["readings"], 12);
    // A reading that was wrong, and all of them again: of one moment the last holds.
    let wrong = json!([reading(&ada_x, 2, &json!({ "followers": 7, "reach": 3 }))]);
    world.control("/v1/social-readings", &wrong).await?;
    world.control("/v1/social-readings", &readings).await?;
    // What happened before on links: two clicks of Ada's.
    let campaign = world.campaign("click", 5, 1_000).await?;
    world.click(&campaign.code, "visitor-0001").await?;
    world.click(&campaign.code, "visitor-0002").await?;
    stack.settle()?;
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    let waiting = async || {
        anyhow::Ok(json!(store::migrate::strings(&owner, "SELECT id::text FROM social_readings").await?))
    };
    until("the loader", waiting, |waiting| *waiting == json!([])).await?;

    let time = format!("from_ms={}&to_ms={}", at(0), at(7));
    let rows = async |query: &str| -> anyhow::Result<Vec<Value>> {
        let report = world.report(&format!("/v1/reports/social?{time}&{query}")).await?;
        Ok(report["rows"].as_array().context("rows")?.clone())
    };
    let figures =
        |row: &Value, names: &[&str]| names.iter().map(|name| row[*name].clone()).collect::<Vec<_>>();
    let accounts = rows("by=account").await?;
    let names = [
        "account_id",
        "engagement",
        "engagement_rate",
        "followers",
        "followers_gained",
        "likes",
        "likes_gained",
        "impressions_gained",
    ];
    let told: Vec<_> = accounts.iter().map(|row| figures(row, &names)).collect();
    let expected = [
        // Shares came up only once: what was gained of them nobody knows.
        vec![json!(bea_x), json!(60), Value::Null, json!(9), json!(-1), json!(160), json!(60), json!(0)],
        vec![
            json!(ada_x),
            json!(30),
            json!(30.0 / 400.0),
            json!(130),
            json!(30),
            json!(40),
            json!(30),
            json!(400),
        ],
        vec![
            json!(ada_tok),
            json!(10),
            json!(10.0 / 100.0),
            Value::Null,
            Value::Null,
            json!(1_060),
            json!(10),
            json!(100),
        ],
        vec![
            json!(cy_x),
            Value::Null,
            Value::Null,
            json!(5),
            Value::Null,
            json!(3),
            Value::Null,
            Value::Null,
        ],
    ];
    assert_eq!(told, expected);
    let posts = rows(&format!("by=post&creator={}", world.creator)).await?;
    let told: Vec<_> = posts
        .iter()
        .map(|row| figures(row, &["post_id", "engagement", "likes", "saves_gained", "platform"]))
        .collect();
    let expected = [
        vec![json!("q1"), json!(500), json!(500), Value::Null, json!("x")],
        vec![json!("p1"), json!(6), json!(56), Value::Null, json!("tiktok")],
        vec![json!("p2"), json!(4), json!(4), Value::Null, json!("tiktok")],
        vec![json!("p3"), Value::Null, json!(1_000), Value::Null, json!("tiktok")],
    ];
    assert_eq!(told, expected);
    let platforms = rows("by=platform&rate_of=followers").await?;
    let told: Vec<_> = platforms
        .iter()
        .map(|row| figures(row, &["platform", "engagement", "engagement_rate", "creator_id"]))
        .collect();
    let expected = [
        vec![json!("x"), json!(90), json!(90.0 / 139.0), Value::Null],
        vec![json!("tiktok"), json!(10), Value::Null, Value::Null],
    ];
    assert_eq!(told, expected);
    // Beside what our own links got: only creators have links, and only now.
    let report = world.report(&format!("/v1/reports/social?by=creator&from_ms={}", at(0))).await?;
    let told: Vec<_> = report["rows"]
        .as_array()
        .context("rows")?
        .iter()
        .map(|row| figures(row, &["display_name", "link_clicks", "link_unique_clicks", "likes"]))
        .collect();
    assert_eq!(told[0], [json!("ada"), json!(2), json!(2), json!(2_059)], "{report}");
    assert_eq!(told[1], [json!("bea"), json!(0), json!(0), json!(160)], "{report}");
    assert!(world.text(&format!("/v1/reports/social?{time}&format=csv")).await?.lines().count() == 5);

    growth_and_boards(&world, &ada_x, &time, &at).await?;
    bad_input(&world, &elsewhere, &ada_x).await?;
    let other = elsewhere.report(&format!("/v1/reports/social?{time}")).await?;
    assert_eq!(other["rows"], json!([]));
    for query in [format!("social-growth?account={ada_x}"), format!("social?creator={bea}")] {
        assert_eq!(elsewhere.report_raw(&format!("/v1/reports/{query}")).await?.status, 404, "{query}");
    }
    // Of an account of which only posts are read, their sum.
    let report =
        world.report(&format!("/v1/reports/social-growth?account={ada_tok}&{time}&unit=month")).await?;
    assert_eq!(report["rows"][0]["likes"], 1_060, "{report}");
    Ok(())
}

async fn growth_and_boards(
    world: &World,
    ada_x: &str,
    time: &str,
    at: &impl Fn(i64) -> i64,
) -> anyhow::Result<()> {
    let followers = async |query: &str| -> anyhow::Result<Vec<Value>> {
        let report = world.report(&format!("/v1/reports/social-growth?{query}")).await?;
        Ok(report["rows"].as_array().context("rows")?.iter().map(|row| row["followers"].clone()).collect())
    };
    let days = format!("account={ada_x}&unit=day&from_ms={}&to_ms={}", at(-4), at(3));
    // What is read at noon is there when that day ends; the last day ends with the time
    // asked for.
    assert_eq!(
        followers(&days).await?,
        [Value::Null, json!(90), json!(90), json!(100), json!(100), json!(100), json!(130), json!(130)]
    );
    assert_eq!(
        followers(&format!("creator={}&{time}&unit=month", world.creator)).await?,
        [json!(130), json!(130)]
    );
    let ever = followers(&format!("account={ada_x}&unit=month&from_ms=0&to_ms={}", at(3))).await?;
    assert_eq!(ever, [json!(130)]);

    let board = async |metric: &str, more: &str| -> anyhow::Result<Vec<(Value, Value, Value)>> {
        let board = world.report(&format!("/v1/leaderboards?metric={metric}&{more}")).await?;
        let rows = board["rows"].as_array().context("rows")?;
        Ok(rows
            .iter()
            .map(|row| (row["rank"].clone(), row["display_name"].clone(), row["value"].clone()))
            .collect())
    };
    let row = |rank: u64, name: &str, value: u64| (json!(rank), json!(name), json!(value));
    assert_eq!(board("engagement", time).await?, [row(1, "bea", 60), row(2, "ada", 40)]);
    // Who is only on platforms is on no board of clicks.
    assert_eq!(board("clicks", "period=day").await?, [row(1, "ada", 2)]);
    assert_eq!(board("clicks", time).await?, []);
    Ok(())
}

async fn bad_input(world: &World, elsewhere: &World, ada_x: &str) -> anyhow::Result<()> {
    let reading = |field: &str, value: Value| {
        let mut reading =
            json!({ "account_id": ada_x, "captured_at_ms": START_MS, "figures": { "likes": 1 } });
        reading[field] = value;
        json!([reading])
    };
    let account = |field: &str, value: Value| {
        let mut account = json!({ "creator_id": world.creator, "platform": "x", "external_id": "new" });
        account[field] = value;
        account
    };
    let nobody = "01a20353-0000-7000-8000-000000000000";
    for (path, body, status, reason) in [
        ("/v1/social-readings", reading("account_id", json!(nobody)), 404, "not_found"),
        ("/v1/social-readings", reading("captured_at_ms", json!(5)), 422, "invalid_field"),
        (
            "/v1/social-readings",
            reading("captured_at_ms", json!(4_000_000_000_000_i64)),
            422,
            "invalid_field",
        ),
        ("/v1/social-readings", reading("figures", json!({})), 422, "invalid_field"),
        ("/v1/social-readings", reading("figures", json!({ "likes": -1 })), 422, "invalid_json"),
        ("/v1/social-readings", reading("figures", json!({ "smiles": 1 })), 422, "invalid_field"),
        ("/v1/social-readings", json!([]), 422, "invalid_field"),
        ("/v1/social-accounts", account("token", json!("of no use")), 422, "invalid_field"),
        ("/v1/social-readings", reading("post_id", json!("a b")), 422, "invalid_field"),
        ("/v1/social-readings", reading("published_at_ms", json!(START_MS)), 422, "invalid_field"),
        ("/v1/social-accounts", account("creator_id", json!(nobody)), 404, "not_found"),
        ("/v1/social-accounts", account("platform", json!("myspace")), 422, "invalid_json"),
        ("/v1/social-accounts", account("external_id", json!("../me")), 422, "invalid_field"),
        ("/v1/social-accounts", account("token", json!("")), 422, "invalid_field"),
        ("/v1/social-accounts", account("token_expires_at_ms", json!(START_MS)), 422, "invalid_field"),
        ("/v1/social-accounts", account("plan", json!("gold")), 422, "invalid_json"),
    ] {
        let answer = world.control_raw(path, &body.to_string()).await?;
        assert_eq!(
            (answer.status, &answer.json()?["error"]["reason"]),
            (status, &json!(reason)),
            "{path} {body}"
        );
    }
    let theirs =
        elsewhere.control_raw("/v1/social-readings", &reading("post_id", json!("")).to_string()).await?;
    assert_eq!(theirs.status, 404, "another workspace's account");
    for query in [
        "social?by=nobody",
        "../leaderboards?metric=engagement&hashtag=spring",
        "../social-accounts?due=perhaps",
        "social?rate_of=likes",
        "social?creator=1",
        "social?from_ms=5&to_ms=4",
        "social?limit=1001",
        "social?by=account%27%20OR%201=1",
        "social-growth",
        &format!("social-growth?unit=hour&from_ms=1&account={ada_x}"),
        "social-growth?post=1&creator=01a20353-0000-7000-8000-000000000000",
    ] {
        let answer = world.report_raw(&format!("/v1/reports/{query}").replace("reports/../", "")).await?;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        assert!(!answer.json()?["error"]["message"].as_str().unwrap_or_default().is_empty(), "{query}");
    }
    Ok(())
}
