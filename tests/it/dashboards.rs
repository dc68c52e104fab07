//! Every query of every Grafana dashboard: those of ClickHouse as a workspace's own
//! user runs them, those of Prometheus by a Prometheus that watches the stack.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tests::{Campaign, Http, Stack, World, free_port, repository};

/// Counters of what did not happen here: they are shown once it has.
const NOT_SEEN: [&str; 6] = [
    "tributary_dead_letters_total",
    "tributary_ingest_clicks_lost_total",
    "tributary_reconcile_offences",
    "tributary_settlement_quarantined_total",
    "tributary_settlement_retries_total",
    "tributary_sink_refused_rows_total",
];
/// Shown by services of which there is nothing to tell yet.
const MAY_BE_UNSEEN: [&str; 2] = ["tributary_sink_unreadable_total", "tributary_spool_errors_total"];

struct Asked {
    /// Dashboard, panel or variable.
    place: String,
    is_sql: bool,
    text: String,
}

/// All queries of all dashboards.
fn asked() -> anyhow::Result<Vec<Asked>> {
    let mut all = Vec::new();
    for file in std::fs::read_dir(repository().join("grafana/dashboards"))? {
        let path = file?.path();
        let board: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        let name = board["uid"].as_str().context("a uid")?;
        for panel in board["panels"].as_array().context("panels")? {
            for target in panel["targets"].as_array().context("targets")? {
                let is_sql = target["datasource"]["uid"] == "tributary-clickhouse";
                ensure!(is_sql || target["datasource"]["uid"] == "tributary-prometheus", "{name}: {target}");
                let text = if is_sql { &target["rawSql"] } else { &target["expr"] };
                let place = format!("{name}, {}", panel["title"]);
                all.push(Asked { place, is_sql, text: text.as_str().context("a query")?.to_owned() });
            }
        }
        for variable in board["templating"]["list"].as_array().context("variables")? {
            if variable["type"] == "query" {
                let text = variable["query"].as_str().context("a query")?.to_owned();
                all.push(Asked { place: format!("{name}, {}", variable["name"]), is_sql: true, text });
            }
        }
    }
    Ok(all)
}

/// What Grafana and its ClickHouse plugin make of a query's macros and variables.
fn expanded(sql: &str, variables: &[(&str, &str)]) -> String {
    let (from_s, to_s) =
        (runtime::clock::now_ms() / 1_000 - 86_400, runtime::clock::now_ms() / 1_000 + 3_600);
    let mut text = sql.to_owned();
    for (name, value) in variables {
        text = text.replace(&format!("${name}"), value);
    }
    for column in ["at", "hour"] {
        let within = format!("{column} >= toDateTime({from_s}) AND {column} <= toDateTime({to_s})");
        text = text.replace(&format!("$__timeFilter({column})"), &within);
        let step = format!("toStartOfInterval(toDateTime({column}), INTERVAL 60 second)");
        text = text.replace(&format!("$__timeInterval({column})"), &step);
    }
    text
}

struct Watching {
    child: Child,
    url: String,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Watching {
    fn start(stack: &Stack) -> anyhow::Result<Self> {
        let (port, data) = (free_port(), stack.data_dir().join("prometheus"));
        std::fs::create_dir_all(&data)?;
        let config = json!({
            "global": { "scrape_interval": "1s" },
            "scrape_configs": [{
                "job_name": "tributary",
                "static_configs": [{ "targets": [format!("127.0.0.1:{}", stack.ports.collector)] }],
            }],
        });
        let file = data.join("prometheus.yml");
        // JSON is YAML, too.
        std::fs::write(&file, config.to_string())?;
        let mut command = Command::new("prometheus");
        tests::die_with_test(&mut command);
        let child = command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", data.join("tsdb").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, url: format!("http://127.0.0.1:{port}") })
    }

    /// The series that an expression has by now.
    async fn series(&self, expression: &str) -> anyhow::Result<usize> {
        let body = form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = Http::default().post(&format!("{}/api/v1/query", self.url), &headers, body).await?;
        ensure!(answer.status == 200, "{expression}: {}", answer.text());
        Ok(answer.json()?["data"]["result"].as_array().context("a result")?.len())
    }
}

/// Clicks of people and a robot, sales and a refund, hours and a leaderboard.
async fn something_to_show(stack: &Stack) -> anyhow::Result<(World, Campaign)> {
    let world = World::create(stack, "shown").await?;
    let campaign = world.campaign("sale", 300, 500).await?;
    for number in 0..3 {
        let click = world.click(&campaign.code, &format!("buyer-{number}")).await?;
        let value = json!({ "amount_minor": 2_000, "currency": "USD" });
        let sale = json!({ "order_id": format!("order-{number}"), "value": value, "tcid": click.token });
        world.accepted("/v1/sales", &sale).await?;
    }
    world.click_as("Mozilla/5.0 (compatible; Googlebot/2.1)", &campaign.code, "robot").await?;
    let nonsense = json!({ "type": "nonsense" });
    world.send("/v1/events", &nonsense).await?;
    world.send("/v1/events", &json!([nonsense])).await?;
    let found = store::control::find_workspace(&stack.pool().await?, "shown").await?;
    let workspace = found.context("the workspace")?.id;
    let (creator, client) = (&world.creator, stack.clickhouse());
    let id = campaign.id.as_str();
    for row in [
        format!(
            "hourly_clicks (workspace_id, hour, creator_id, campaign_id, clicks) VALUES ('{workspace}', now(), '{creator}', '{id}', 3)"
        ),
        format!(
            "hourly_outcomes (workspace_id, hour, creator_id, conversions) VALUES ('{workspace}', now(), '{creator}', 3)"
        ),
        format!(
            "leaderboard_snapshots VALUES ('{workspace}', 'all', 'earnings', '7d', now(), '{creator}', 1, 5)"
        ),
    ] {
        client.query_raw(&format!("INSERT INTO {row}")).execute().await?;
    }
    stack.settle()?;
    Ok((world, campaign))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_every_dashboard_has_an_answer() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let watching = Watching::start(&stack)?;
    let (world, campaign) = something_to_show(&stack).await?;
    let access = world.replace("/v1/sql-access", &Value::Null).await?;
    let text = |name: &str| access[name].as_str().expect("a text");
    let headers = [("x-clickhouse-user", text("user")), ("x-clickhouse-key", text("password"))];
    let asked = asked()?;
    assert!(asked.len() > 40, "{} queries", asked.len());

    for Asked { place, text, .. } in asked.iter().filter(|asked| asked.is_sql) {
        // Of all, and of the one.
        for (campaign, creator) in [("", ""), (&*campaign.id, &*world.creator)] {
            let variables =
                [("campaign", campaign), ("creator", creator), ("metric", "earnings"), ("period", "7d")];
            let sql = expanded(text, &variables);
            assert!(!sql.contains('$'), "{place}: {sql}");
            // As the plugin's driver asks.
            let url = format!("{}/?default_format=JSON&max_execution_time=35", stack.clickhouse_url());
            let answer = Http::default().post(&url, &headers, sql.clone()).await?;
            assert_eq!(answer.status, 200, "{place}: {sql}: {}", answer.text());
            let data = &answer.json()?["data"];
            let something = |row: &Value| {
                row.as_object().is_some_and(|row| row.values().any(|v| *v != json!(0) && *v != json!("0")))
            };
            let shown = data.as_array().context("rows")?;
            assert!(shown.iter().any(something), "{place} shows nothing: {sql}");
        }
    }

    let metrics = Http::default().get(&format!("{}/metrics", stack.collector_url()), &[]).await?.text();
    let expressions: Vec<_> = asked.iter().filter(|asked| !asked.is_sql).collect();
    let named: BTreeSet<&str> = expressions
        .iter()
        .flat_map(|asked| asked.text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')))
        .filter(|word| word.starts_with("tributary_"))
        .collect();
    let shown: BTreeSet<&str> = metrics.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    let unseen: Vec<&str> = named
        .into_iter()
        .filter(|name| !shown.contains(name) && !NOT_SEEN.contains(name) && !MAY_BE_UNSEEN.contains(name))
        .collect();
    assert_eq!(unseen, Vec::<&str>::new(), "no such metrics");
    let since = Instant::now();
    for Asked { place, text, .. } in expressions {
        let expression = text.replace("$__rate_interval", "1m");
        // Rates take two looks.
        while watching.series(&expression).await.unwrap_or_default() == 0 {
            let answer = watching.series(&expression).await;
            assert!(
                since.elapsed() < Duration::from_secs(30),
                "{place} shows nothing: {expression}: {answer:?}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    Ok(())
}

#[test]
fn dashboards_stand_where_the_compose_file_mounts_them() {
    let compose = std::fs::read_to_string(repository().join("docker-compose.yml")).unwrap();
    for path in ["grafana/dashboards", "grafana/provisioning", "grafana/prometheus.yml"] {
        assert!(compose.contains(&format!("./{path}:")), "{path}");
        assert!(Path::exists(&repository().join(path)), "{path}");
    }
}
