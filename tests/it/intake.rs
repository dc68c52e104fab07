//! Taking events: idempotency, public keys, Segment's API, webhooks, limits.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Answer, BROWSER, Stack, World};

/// Rows of a query, as text.
async fn rows(stack: &Stack, query: &str) -> anyhow::Result<String> {
    let url = format!("{}/?database=tributary", stack.clickhouse_url());
    Ok(tests::Http::default().post(&url, &[], query.to_owned()).await?.text())
}

fn sale(order: &str, amount_minor: i64) -> Value {
    json!({ "order_id": order, "user_id": "u", "timestamp": "2026-01-01T00:00:00Z",
        "value": { "amount_minor": amount_minor, "currency": "USD" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_first_answer_and_a_clash_a_conflict() -> anyhow::Result<()> {
    let mut stack = Stack::start()?;
    let world = World::create(&stack, "again").await?;
    let authorization = format!("Bearer {}", world.key);
    let url = format!("{}/v1/sales", stack.collector_url());
    let http = world.http.clone();
    let send = async |key: &str, body: &Value| {
        let headers = [("authorization", authorization.as_str()), ("idempotency-key", key)];
        http.post(&url, &headers, body.to_string()).await
    };
    let first = send("k-1", &sale("A", 500)).await?;
    assert_eq!((first.status, first.header("idempotent-replayed")), (200, ""));
    let again = send("k-1", &sale("A", 500)).await?;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, "true"));
    assert_eq!(again.body, first.body);
    let other = send("k-1", &sale("A", 501)).await?;
    assert_eq!((other.status, other.json()?["error"]["reason"].as_str()), (409, Some("id_clash")));
    // A new process remembers.
    assert_eq!(stack.stop()?, Some(0));
    stack.restart()?;
    assert_eq!(send("k-1", &sale("A", 500)).await?.header("idempotent-replayed"), "true");

    // In a batch each event has its own result.
    let batch = json!([
        { "type": "track", "visitor_id": "v", "name": "a", "id": "e-1" },
        { "type": "track", "visitor_id": "v", "name": "a", "id": "e-2" },
    ]);
    let statuses = |answer: Answer| {
        let body = answer.json().unwrap();
        let of = |result: &Value| result["status"].as_str().unwrap().to_owned();
        body["results"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(statuses(world.send("/v1/events", &batch).await?), ["accepted", "accepted"]);
    let mut mixed = batch.clone();
    mixed[0]["name"] = json!("b");
    mixed
        .as_array_mut()
        .unwrap()
        .push(json!({ "type": "track", "visitor_id": "v", "name": "c", "id": "e-3" }));
    mixed.as_array_mut().unwrap().push(json!({ "type": "track", "visitor_id": "v" }));
    let answer = world.send("/v1/events", &mixed).await?;
    assert_eq!(answer.json()?["results"][0]["reason"], "id_clash");
    assert_eq!(statuses(answer), ["invalid", "duplicate", "accepted", "invalid"]);
    // Within one batch as well.
    let within = json!([
        { "type": "track", "visitor_id": "v", "name": "a", "id": "e-4" },
        { "type": "track", "visitor_id": "v", "name": "a", "id": "e-4" },
        { "type": "track", "visitor_id": "v", "name": "b", "id": "e-4" },
    ]);
    let answer = world.send("/v1/events", &within).await?;
    assert_eq!(answer.json()?["results"][2]["reason"], "id_clash");
    assert_eq!(statuses(answer), ["accepted", "duplicate", "invalid"]);
    stack.settle()?;
    assert_eq!(rows(&stack, "SELECT count(), uniqExact(event_id) FROM events FORMAT TSV").await?, "5\t5\n");
    stack.reconcile()
}

#[tokio::test(flavor = "multi_thread")]
async fn public_keys_send_what_browsers_see() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "public").await?;
    let made = world.control("/v1/keys", &json!({ "name": "site", "public": true })).await?;
    let key = made["api_key"].as_str().unwrap();
    assert!(key.starts_with("trib_pub_"), "{key}");
    let url = format!("{}/v1/events?key={key}", stack.collector_url());
    let send = async |event: Value, agent: &str| {
        world.http.post(&url, &[("user-agent", agent)], event.to_string()).await
    };
    let page = json!({ "type": "page", "visitor_id": "v", "url": "https://site.example/" });
    let answer = send(page.clone(), BROWSER).await?;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, "*"));
    assert_eq!(send(page, "python-requests/2.32").await?.status, 200);
    let refused = send(
        json!({ "type": "sale", "visitor_id": "v", "order_id": "1",
        "value": { "amount_minor": 5, "currency": "USD" } }),
        BROWSER,
    )
    .await?;
    assert_eq!((refused.status, refused.json()?["error"]["reason"].as_str()), (400, Some("invalid_field")));
    let preflight = world.http.send(hyper::Method::OPTIONS, &url, &[], "").await?;
    assert_eq!((preflight.status, preflight.header("access-control-allow-methods")), (204, "POST"));

    // The pixel: the page it stands on; whatever is wrong, a picture.
    let pixel = |query: &str| format!("p.gif?{query}");
    let on_page = [("user-agent", BROWSER), ("referer", "https://site.example/pixel")];
    for query in [format!("key={key}"), "key=nonsense".to_owned(), String::new()] {
        let answer = world.follow(&pixel(&query), &on_page).await?;
        assert_eq!((answer.status, answer.header("content-type"), answer.body.len()), (200, "image/gif", 43));
    }
    stack.settle()?;
    let seen = "SELECT url, bot FROM events ORDER BY url, bot FORMAT TSV";
    let expected =
        "https://site.example/\t\nhttps://site.example/\tuser_agent\nhttps://site.example/pixel\t\n";
    assert_eq!(rows(&stack, seen).await?, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_become_sales_and_refunds() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "shop").await?;
    let campaign = world.campaign("sale", 600, 1_000_000).await?;
    let click = world.click(&campaign.code, "visitor-0001").await?;
    let url = format!("{}/webhooks/stripe/shop", stack.collector_url());
    let send = async |event: &Value, signature: &str| {
        world.http.post(&url, &[("stripe-signature", signature)], event.to_string()).await
    };
    let now_s = runtime::clock::now_ms() / 1_000;
    let session = json!({ "type": "checkout.session.completed", "id": "evt_1",
        "created": now_s,
        "data": { "object": { "id": "cs_1", "payment_intent": "pi_1", "payment_status": "paid",
            "amount_total": 5_431, "currency": "usd", "metadata": { "tcid": click.token } } } });
    assert_eq!(send(&session, "t=1,v1=00").await?.status, 404, "no secret is set");
    world.replace("/v1/webhooks", &json!({ "provider": "stripe", "secret": "whsec_0123456789" })).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let forged = send(&session, "t=1,v1=00").await?;
    assert_eq!((forged.status, forged.json()?["error"]["reason"].as_str()), (401, Some("bad_signature")));
    let sign = |event: &Value, seconds: i64| {
        let signed = format!("{seconds}.{event}");
        let mac = tests::hmac_sha256(b"whsec_0123456789", signed.as_bytes());
        format!("t={seconds},v1={mac}")
    };
    let old = send(&session, &sign(&session, now_s - 3_600)).await?;
    assert_eq!((old.status, old.json()?["error"]["reason"].as_str()), (401, Some("signature_too_old")));
    let taken = send(&session, &sign(&session, now_s)).await?;
    assert_eq!((taken.status, taken.json()?["recorded"].as_bool()), (200, Some(true)), "{}", taken.text());
    // Stripe sends again what it is not sure of.
    assert_eq!(send(&session, &sign(&session, now_s)).await?.json()?["result"]["status"], "duplicate");
    let refunded = json!({ "type": "charge.refunded", "id": "evt_2",
        "data": { "object": { "id": "ch_1", "payment_intent": "pi_1", "amount_refunded": 1_000, "currency": "usd" } } });
    assert_eq!(send(&refunded, &sign(&refunded, now_s)).await?.json()?["recorded"], true);
    let other = json!({ "type": "invoice.paid", "data": {} });
    assert_eq!(send(&other, &sign(&other, now_s)).await?.json()?["recorded"], false);
    stack.settle()?;
    let seen =
        "SELECT kind, order_id, value_minor FROM events WHERE kind != 'click' ORDER BY kind FORMAT TSV";
    assert_eq!(rows(&stack, seen).await?, "refund\tpi_1\t1000\nsale\tpi_1\t5431\n");
    let answer = world.report(&format!("/v1/campaigns/{}", campaign.id)).await?;
    // Of 540 and 60, 1000 ⁄ 5431 went back: 99 and 11.
    assert_eq!(answer["campaign"]["spent_minor"], 490, "{answer}");
    stack.reconcile()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_much_is_told_to_wait() -> anyhow::Result<()> {
    let limits = [
        "--key-rate",
        "50",
        "--address-rate",
        "20",
        "--trusted-proxies",
        "127.0.0.0/8",
        "--max-in-flight",
        "8",
        "--head-within-ms",
        "500",
    ];
    let stack = Stack::start_with(&limits)?;
    let world = World::create(&stack, "limits").await?;
    let campaign = world.campaign("click", 5, 1_000_000).await?;
    let batch: Value = (0..200)
        .map(|number| json!({ "type": "track", "visitor_id": "v", "name": "n", "id": format!("e-{number}") }))
        .collect();
    let asked = Instant::now();
    let answer = world.send("/v1/events", &batch).await?;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
    let body = answer.json()?;
    let results = body["results"].as_array().unwrap();
    let limited = results.iter().filter(|result| result["status"] == "rate_limited").count();
    let more = (asked.elapsed().as_secs_f64() * 50.0).ceil() as usize;
    assert!((150_usize.saturating_sub(more)..=150).contains(&limited), "{limited}, {more} more");
    assert_eq!(body["accepted"].as_u64(), Some(200 - limited as u64));
    // Of an address: a burst of twice the rate, then not.
    let from = async |address: &str| {
        let headers = [("user-agent", BROWSER), ("x-forwarded-for", address)];
        anyhow::Ok(world.follow(&campaign.code, &headers).await?)
    };
    let (asked, mut led) = (Instant::now(), 0_usize);
    while led < 1_000 && from("198.51.100.7").await?.status == 302 {
        led += 1;
    }
    let more = (asked.elapsed().as_secs_f64() * 20.0).ceil() as usize;
    assert!((40..=40 + more).contains(&led), "{led}, {more} more");
    assert_eq!(from("198.51.100.8").await?.status, 302);
    let limited = from("198.51.100.7").await?;
    assert!(limited.status == 302 || limited.header("retry-after") == "1");

    // Requests that dawdle are cut off, and others go on meanwhile.
    let mut slow = std::net::TcpStream::connect(("127.0.0.1", stack.ports.collector))?;
    slow.write_all(b"GET /x HTTP/1.1\r\nHost: x\r\n")?;
    slow.set_read_timeout(Some(Duration::from_secs(5)))?;
    let started = Instant::now();
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest)?;
    assert!(started.elapsed() < Duration::from_secs(3), "cut off after {:?}", started.elapsed());
    // The answer may be lost where the connection is closed under the sender.
    let huge = "x".repeat(100_000);
    if let Ok(answer) = world.follow("x", &[("x-huge", huge.as_str())]).await {
        assert_eq!(answer.status, 431);
    }

    // More than can be worked on is turned away at once.
    let frozen = stack.freeze_kafka();
    let clicks = (0..100).map(|_| from("127.0.0.1"));
    let answers = futures_util::future::try_join_all(clicks).await?;
    if frozen.is_some() {
        let turned_away = answers.iter().filter(|answer| answer.status == 503).count();
        assert!(turned_away > 50, "{turned_away}");
        assert!(answers.iter().all(|answer| answer.status == 302 || answer.text().contains("overloaded")));
        assert_eq!(world.follow("readyz", &[]).await?.status, 200, "the spool takes what Kafka does not");
    }
    drop(frozen);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_can_be_forgotten() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "forget").await?;
    let campaign = world.campaign("sale", 600, 1_000_000).await?;
    for visitor in ["visitor-gone", "visitor-kept"] {
        world.click(&campaign.code, visitor).await?;
        let page = json!({ "type": "page", "visitor_id": visitor, "url": "https://site.example/" });
        world.accepted("/v1/events", &page).await?;
    }
    let identify = json!({ "type": "identify", "user_id": "visitor-gone", "properties": { "name": "Ada" } });
    world.accepted("/v1/events", &identify).await?;
    let forget = async |id: &str, key: &str| {
        let authorization = format!("Bearer {key}");
        let url = format!("{}/v1/visitors/{id}", stack.collector_url());
        world.http.send(hyper::Method::DELETE, &url, &[("authorization", authorization.as_str())], "").await
    };
    let public = world.control("/v1/keys", &json!({ "name": "site", "public": true })).await?;
    assert_eq!(forget("visitor-gone", public["api_key"].as_str().unwrap()).await?.status, 403);
    assert_eq!(forget("visitor-gone", "nobody").await?.status, 401);
    assert_eq!(forget("visitor-gone", &world.key).await?.status, 202);
    // Whoever comes again is somebody new.
    let page = json!({ "type": "page", "visitor_id": "visitor-gone", "url": "https://site.example/again" });
    world.accepted("/v1/events", &page).await?;
    let sale = |visitor: &str| json!({ "order_id": visitor, "visitor_id": visitor, "value": { "amount_minor": 500, "currency": "USD" } });
    world.accepted("/v1/sales", &sale("visitor-gone")).await?;
    world.accepted("/v1/sales", &sale("visitor-kept")).await?;
    stack.settle()?;
    let left = "SELECT kind, url, order_id FROM events WHERE kind != 'erase' ORDER BY kind, url, order_id FORMAT TSV";
    let expected = "click\t\t\npage\thttps://site.example/\t\npage\thttps://site.example/again\t\n\
                    sale\t\tvisitor-gone\nsale\t\tvisitor-kept\n";
    assert_eq!(rows(&stack, left).await?, expected);
    // Attribution knows no click of the one any more.
    let answer = world.report(&format!("/v1/campaigns/{}", campaign.id)).await?;
    assert_eq!(answer["campaign"]["spent_minor"], 600, "{answer}");
    stack.reconcile()
}
