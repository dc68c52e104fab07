//! Real clients, unmodified: Segment's for Python and Node, and a browser.

use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::ensure;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use tests::{BROWSER, Http, Stack, World, die_with_test, repository};
use tokio::sync::Notify;

/// What the clients sent, as ClickHouse has it.
async fn rows(stack: &Stack, query: &str) -> anyhow::Result<Vec<String>> {
    let url = format!("{}/?database=tributary", stack.clickhouse_url());
    let text = Http::default().post(&url, &[], format!("{query} FORMAT TSV")).await?.text();
    Ok(text.lines().map(ToOwned::to_owned).collect())
}

fn succeeded(output: &Output) -> anyhow::Result<()> {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&text));
    Ok(())
}

/// One of Segment's clients sends an identify, a page, 150 tracks and an order
/// that a click led to.
async fn segment(
    user: &str,
    order: &str,
    run: impl FnOnce(&Stack, &str, &str) -> Command,
) -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "segment").await?;
    let campaign = world.campaign("sale", 600, 1_000_000).await?;
    let click = world.click(&campaign.code, "visitor-0001").await?;
    succeeded(&run(&stack, &world.key, &click.token).output()?)?;
    stack.settle()?;
    let counts =
        rows(&stack, "SELECT kind, count(), uniqExact(event_id) FROM events GROUP BY kind ORDER BY kind")
            .await?;
    assert_eq!(counts, ["click\t1\t1", "identify\t1\t1", "page\t1\t1", "sale\t1\t1", "track\t150\t150"]);
    let sale =
        rows(&stack, "SELECT order_id, value_minor, currency, bot FROM events WHERE kind = 'sale'").await?;
    assert_eq!(sale, [format!("{order}\t5431\tUSD\t")]);
    let identify = rows(&stack, "SELECT user_id, properties FROM events WHERE kind = 'identify'").await?;
    assert_eq!(identify, [format!("{user}\t{{\"plan\":\"pro\"}}")]);
    let answer = world.report(&format!("/v1/campaigns/{}", campaign.id)).await?;
    assert_eq!(answer["campaign"]["spent_minor"], 600, "the order was the click's: {answer}");
    stack.reconcile()
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_python_client_delivers() -> anyhow::Result<()> {
    let Ok(python) = std::env::var("TRIBUTARY_TEST_PYTHON") else {
        eprintln!(
            "skipped: TRIBUTARY_TEST_PYTHON names no Python with Segment's client; `make test` sets it"
        );
        return Ok(());
    };
    segment("py-user", "py-1", |stack, key, token| {
        let mut command = Command::new(python);
        command.arg(repository().join("tests/clients/segment_client.py"));
        command.args([&stack.collector_url(), key, token]);
        command
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_node_client_delivers() -> anyhow::Result<()> {
    if std::env::var_os("TRIBUTARY_TEST_NODE_MODULES").is_none() {
        eprintln!("skipped: TRIBUTARY_TEST_NODE_MODULES is not set; `make test` sets it");
        return Ok(());
    }
    segment("node-user", "node-1", |stack, key, token| {
        let mut command = Command::new("node");
        command.arg(repository().join("tests/clients/node/segment_client.mjs"));
        command.args([&stack.collector_url(), key, token]);
        command
    })
    .await
}

/// A site whose collector, to a browser, has a moment of weakness: the first
/// message is answered with 503.
struct Site {
    collector: String,
    key: String,
    messages: AtomicUsize,
    /// The page after the landing page has been asked for.
    left: Notify,
}

async fn landing(State(site): State<Arc<Site>>) -> Html<String> {
    Html(format!(
        "<!doctype html><title>Landing</title>
         <script src='/t.js' data-key='{}'></script>
         <script>
           tributary.identify('browser-user', {{ plan: 'pro' }});
           tributary.conversion('signup', {{ value: {{ amount_minor: 500, currency: 'USD' }} }});
           setTimeout(function () {{
             tributary.track('leaving', {{ n: 1 }});
             location.href = '/second';
           }}, 5000);
         </script>",
        site.key
    ))
}

async fn second(State(site): State<Arc<Site>>) -> Html<&'static str> {
    site.left.notify_one();
    Html("<!doctype html><title>Second</title>")
}

async fn sdk(State(site): State<Arc<Site>>) -> Response {
    let answer =
        Http::default().get(&format!("{}/t.js", site.collector), &[]).await.expect("the collector answers");
    ([("content-type", "text/javascript")], answer.body).into_response()
}

async fn events(
    State(site): State<Arc<Site>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if site.messages.fetch_add(1, Ordering::Relaxed) == 0 {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let url = format!("{}/v1/events?{}", site.collector, query.unwrap_or_default());
    let agent = headers.get("user-agent").and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let answer =
        Http::default().post(&url, &[("user-agent", agent)], body).await.expect("the collector answers");
    (StatusCode::from_u16(answer.status).expect("a status"), answer.body).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_delivers() -> anyhow::Result<()> {
    let Ok(chromium) = std::env::var("TRIBUTARY_TEST_CHROMIUM") else {
        eprintln!("skipped: TRIBUTARY_TEST_CHROMIUM names no browser; `make test` sets it");
        return Ok(());
    };
    let stack = Stack::start()?;
    let world = World::create(&stack, "browser").await?;
    let campaign = world.campaign("conversion", 600, 1_000_000).await?;
    let click = world.click(&campaign.code, "visitor-0001").await?;
    let made = world.control("/v1/keys", &json!({ "name": "site", "public": true })).await?;
    let key = made["api_key"].as_str().unwrap_or_default().to_owned();
    let site = Arc::new(Site {
        collector: stack.collector_url(),
        key,
        messages: AtomicUsize::new(0),
        left: Notify::new(),
    });
    let router = Router::new()
        .route("/landing", get(landing))
        .route("/second", get(second))
        .route("/t.js", get(sdk))
        .route("/v1/events", post(events))
        .with_state(Arc::clone(&site));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let page = format!("http://{}/landing?tcid={}", listener.local_addr()?, click.token);
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let profile = tempfile::tempdir()?;
    let mut command = Command::new(chromium);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--remote-debugging-port=0",
    ]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.args([&format!("--user-agent={BROWSER}"), &page]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    die_with_test(&mut command);
    let mut browser = command.spawn()?;
    let left = tokio::time::timeout(Duration::from_secs(60), site.left.notified()).await;
    // What was sent on leaving is on its way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    browser.kill()?;
    browser.wait()?;
    left?;
    serving.abort();
    assert!(site.messages.load(Ordering::Relaxed) >= 2, "what was refused is sent again");
    stack.settle()?;
    let counts = rows(
        &stack,
        "SELECT kind, count(), uniqExact(event_id), max(bot) FROM events GROUP BY kind ORDER BY kind",
    )
    .await?;
    assert_eq!(
        counts,
        ["click\t1\t1\t", "conversion\t1\t1\t", "identify\t1\t1\t", "page\t1\t1\t", "track\t1\t1\t"]
    );
    let titles =
        rows(&stack, "SELECT title, name FROM events WHERE kind IN ('page', 'track') ORDER BY kind").await?;
    assert_eq!(titles, ["Landing\t", "\tleaving"], "the last event came with a beacon");
    let answer = world.report(&format!("/v1/campaigns/{}", campaign.id)).await?;
    assert_eq!(answer["campaign"]["spent_minor"], 600, "the conversion was the click's: {answer}");
    stack.reconcile()
}

#[test]
fn the_sdk_is_small() -> anyhow::Result<()> {
    let output =
        Command::new("gzip").args(["-9", "-c"]).arg(repository().join("ingest/data/t.js")).output()?;
    succeeded(&output)?;
    assert!(output.stdout.len() < 3_000, "{} bytes", output.stdout.len());
    Ok(())
}
