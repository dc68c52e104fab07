//! What a link can do, through the public interfaces.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::{BROWSER, Stack, World};

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";

async fn leads_to(world: &World, address: &str, headers: &[(&str, &str)]) -> anyhow::Result<String> {
    let answer = world.follow(address, headers).await?;
    anyhow::ensure!(answer.status == 302, "{address}: {} {}", answer.status, answer.text());
    let location = answer.header("location");
    // Without the token, which is new each time.
    let at = location.find("tcid=").unwrap_or(location.len());
    Ok(location[..at].to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn links_lead_where_they_should() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "links").await?;
    let campaign = world.campaign("click", 5, 1_000_000).await?;
    let settings = json!({
        "pass_query": true,
        "rules": [{ "devices": ["ios"], "destination_url": "https://app.example/open" }],
        "variants": [
            { "name": "a", "weight": 1, "destination_url": "https://a.example/" },
            { "name": "b", "weight": 1, "destination_url": "https://b.example/" },
        ],
    });
    let link = world.link(&campaign, "many", &settings).await?;
    let person = |visitor: &str| format!("tvid=visitor-{visitor}");
    let cookie = person("000001");
    let as_person = [("user-agent", BROWSER), ("cookie", cookie.as_str())];

    let on_iphone = [("user-agent", IPHONE)];
    assert_eq!(
        leads_to(&world, "many?utm_source=x", &on_iphone).await?,
        "https://app.example/open?utm_source=x&"
    );
    let first = leads_to(&world, "many", &as_person).await?;
    assert_eq!(leads_to(&world, "many", &as_person).await?, first, "a visitor keeps their variant");
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..20 {
        let cookie = person(&format!("{number:06}"));
        seen.insert(leads_to(&world, "many", &[("user-agent", BROWSER), ("cookie", &cookie)]).await?);
    }
    assert_eq!(seen.len(), 2, "{seen:?}");

    // A change is heard of within a second.
    world
        .replace(&format!("/v1/links/{link}"), &json!({ "destination_url": "https://new.example/" }))
        .await?;
    let changed = Instant::now();
    while leads_to(&world, "many", &as_person).await? != "https://new.example/?" {
        assert!(changed.elapsed() < Duration::from_secs(1), "the old destination stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // And a code that was unknown, as soon as it is made.
    assert_eq!(world.follow("late", &[]).await?.status, 404);
    world.link(&campaign, "late", &json!({})).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(leads_to(&world, "late", &as_person).await?, "https://shop.example/?");

    // What the short address was called with is in ClickHouse.
    stack.settle()?;
    let url = format!("{}/?database=tributary", stack.clickhouse_url());
    let query = "SELECT device, properties FROM events WHERE device = 'ios' FORMAT TSV";
    let rows = world.http.post(&url, &[], query).await?.text();
    assert_eq!(rows, "ios\t{\"source\":\"x\"}\n");
    for (settings, field) in [
        (json!({ "rules": [{ "devices": ["ios"], "destination_url": "javascript:alert(1)" }] }), "rules"),
        (
            json!({ "variants": [{ "name": "a", "weight": 0, "destination_url": "https://a.example/" }] }),
            "variants",
        ),
        (json!({ "click_limit": 0 }), "click_limit"),
        (json!({ "clicklimit": 1 }), "clicklimit"),
    ] {
        let error = world.link(&campaign, "bad", &settings).await.unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
    stack.reconcile()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_limit_holds_exactly() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "limit").await?;
    let campaign = world.campaign("click", 5, 1_000_000).await?;
    let settings = json!({ "click_limit": 25, "fallback_url": "https://sold.example/out" });
    world.link(&campaign, "few", &settings).await?;
    world.link(&campaign, "fewer", &json!({ "click_limit": 1 })).await?;
    // Robots are led on, and use nothing up.
    for _ in 0..5 {
        assert_eq!(leads_to(&world, "few", &[("user-agent", "curl/8.5.0")]).await?, "https://shop.example/?");
    }
    let clicks = (0..200).map(|number| {
        let cookie = format!("tvid=visitor-{number:06}");
        let world = &world;
        async move { leads_to(world, "few", &[("user-agent", BROWSER), ("cookie", &cookie)]).await }
    });
    let places = futures_util::future::try_join_all(clicks).await?;
    let led = places.iter().filter(|place| *place == "https://shop.example/?").count();
    assert_eq!((led, places.len() - led), (25, 175));
    assert!(
        places
            .iter()
            .all(|place| place.starts_with("https://shop.example/") || place == "https://sold.example/out")
    );
    let person = [("user-agent", BROWSER)];
    assert_eq!(world.follow("fewer", &person).await?.status, 302);
    let gone = world.follow("fewer", &person).await?;
    assert_eq!((gone.status, gone.json()?["error"]["reason"].as_str()), (410, Some("used_up")));
    Ok(())
}

/// A link that may leads elsewhere as long as its campaign has no money left.
#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_campaigns_links_fall_back() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "sold-out").await?;
    let campaign = world.campaign("click", 5, 5).await?;
    let settings = json!({ "fallback_url": "https://sold.example/out", "leaves_exhausted": true });
    let link = world.link(&campaign, "leaves", &json!({})).await?;
    let mut changed = settings.clone();
    changed["destination_url"] = json!("https://shop.example/");
    world.replace(&format!("/v1/links/{link}"), &changed).await?;
    world.link(&campaign, "stays", &json!({ "fallback_url": "https://sold.example/out" })).await?;
    let error =
        world.link(&campaign, "bad", &json!({ "leaves_exhausted": true })).await.unwrap_err().to_string();
    assert!(error.contains("leaves_exhausted"), "{error}");
    let person = [("user-agent", BROWSER)];
    let leads = async |place: &str| {
        // Collectors hear of it within a second.
        let since = std::time::Instant::now();
        while leads_to(&world, "leaves", &person).await? != place {
            anyhow::ensure!(since.elapsed() < std::time::Duration::from_secs(3), "not to {place}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    leads("https://shop.example/?").await?;
    stack.settle()?;
    leads("https://sold.example/out").await?;
    assert_eq!(leads_to(&world, "stays", &person).await?, "https://shop.example/?");
    world.fund(&campaign.id, "second", 1_000).await?;
    leads("https://shop.example/?").await?;
    world.control(&format!("/v1/campaigns/{}/close", campaign.id), &json!({})).await?;
    leads("https://sold.example/out").await?;
    stack.settle()?;
    stack.reconcile()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_outlive_their_key_as_long_as_is_said() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "keys").await?;
    let campaign = world.campaign("sale", 600, 1_000_000).await?;
    let sale = |order: &str, token: &str| json!({ "order_id": order, "tcid": token, "value": { "amount_minor": 5_000, "currency": "USD" } });
    let old = world.click(&campaign.code, "visitor-0001").await?;
    world.control("/v1/signing-keys", &json!({ "accept_days": 1 })).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Rotated: the old still counts, and new ones are signed with the new key.
    world.accepted("/v1/sales", &sale("1", &old.token)).await?;
    let new = world.click(&campaign.code, "visitor-0002").await?;
    world.accepted("/v1/sales", &sale("2", &new.token)).await?;
    // Rotated with nothing left over: what was signed before is refused.
    world.control("/v1/signing-keys", &json!({ "accept_days": 0 })).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let newest = world.click(&campaign.code, "visitor-0003").await?;
    world.accepted("/v1/sales", &sale("3", &newest.token)).await?;
    let elsewhere = World::create(&stack, "elsewhere").await?;
    let reason = async |world: &World, token: &str| {
        let answer = world.send("/v1/sales", &sale("4", token)).await?.json()?;
        anyhow::Ok(answer["error"]["reason"].as_str().unwrap_or("none").to_owned())
    };
    assert_eq!(reason(&world, &new.token).await?, "token_unknown_key");
    assert_eq!(reason(&elsewhere, &newest.token).await?, "token_bad_signature");
    assert_eq!(reason(&world, &newest.token[..80]).await?, "token_malformed");
    let mut forged = newest.token.clone();
    forged.replace_range(30..31, if &forged[30..31] == "A" { "B" } else { "A" });
    assert_eq!(reason(&world, &forged).await?, "token_bad_signature");
    stack.settle()?;
    stack.reconcile()
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_are_kept_as_the_workspace_wants() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "privacy").await?;
    let campaign = world.campaign("click", 5, 1_000_000).await?;
    let follow = async |headers: &[(&str, &str)]| {
        let answer = world.follow(&campaign.code, headers).await?;
        anyhow::ensure!(answer.status == 302, "{}", answer.text());
        anyhow::Ok(answer.header("set-cookie").to_owned())
    };
    let person = ("user-agent", BROWSER);
    assert!(follow(&[person]).await?.contains("Max-Age=31536000; HttpOnly; SameSite=Lax"));
    assert_eq!(follow(&[person, ("sec-gpc", "1")]).await?, "");
    let privacy = json!({ "address_policy": "hash", "honour_opt_out": false, "cookie_days": 0 });
    world.replace("/v1/privacy", &privacy).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(follow(&[person]).await?, "");
    assert_eq!(follow(&[person, ("dnt", "1")]).await?, "");
    stack.settle()?;
    let url = format!("{}/?database=tributary", stack.clickhouse_url());
    let query = "SELECT network, length(network), user_agent = '', uniqExact(visitor) FROM events \
                 GROUP BY ALL ORDER BY length(network) FORMAT TSV";
    let rows = world.http.post(&url, &[], query).await?.text();
    let rows: Vec<Vec<&str>> = rows.lines().map(|row| row.split('\t').collect()).collect();
    // Opted out: nothing. Usual: the network. Hashed: both the same visitor.
    assert_eq!(rows[0], ["", "0", "1", "1"]);
    assert_eq!(rows[1], ["127.0.0.0", "9", "0", "1"]);
    assert_eq!(rows[2][1..], ["32", "0", "1"]);
    let refused = world
        .replace(
            "/v1/privacy",
            &json!({ "address_policy": "keep", "honour_opt_out": false, "cookie_days": 0 }),
        )
        .await;
    assert!(refused.unwrap_err().to_string().contains("truncate, hash or drop"));
    Ok(())
}
