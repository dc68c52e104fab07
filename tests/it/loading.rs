//! Loading into ClickHouse, cut off anywhere: by the death of the loader, by the death of
//! ClickHouse, and by a line that goes dead. Every event is there once, and what is rolled
//! up is what would be counted.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use domain::event::{Body, Client, Event};
use domain::ids::{CampaignId, EventId, LinkId, UserId, VisitorKey, WorkspaceId};
use domain::money::Currency;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::producer::{ProducerSettings, Publisher};
use runtime::topics::Topics;
use store::control::NewWorkspace;
use tests::{Point, Proxy, Random, Stack, free_port, program};
use uuid::Uuid;

const ROUNDS: usize = 50;
const HOUR_MS: i64 = 3_600_000;
/// Loading goes on within this time after a cut: engines start again, groups meet.
const AGAIN_WITHIN: Duration = Duration::from_secs(60);

const OPEN: &str = "Says which range is about to be loaded";
const CLOSE: &str = "The open range has been loaded";
const INSERT: &str = "INSERT";

/// Where it is cut, in the order in which a load comes there; and whether that is on the
/// way to ClickHouse.
const POINTS: [(Point, bool); 7] = [
    (Point::Before(OPEN), false),
    (Point::Executed(OPEN), false),
    (Point::Before(INSERT), true),
    (Point::Amid(INSERT, 1_000), true),
    (Point::Unanswered(INSERT), true),
    (Point::Before(CLOSE), false),
    (Point::Executed(CLOSE), false),
];

#[derive(Clone, Copy, Debug)]
enum Victim {
    Loader,
    ClickHouse,
    Line,
}

/// Events of a few days ago, robots and repeats among them.
fn event(random: &mut Random, workspace: Uuid, now_ms: i64) -> Event {
    let at_ms = now_ms - 72 * HOUR_MS + random.below(30 * HOUR_MS as usize) as i64;
    let id = |random: &mut Random, among: usize| Uuid::from_u128(1 + random.below(among) as u128);
    let is_click = !random.one_in(3);
    Event {
        id: EventId(Uuid::from_u128(random.bits())),
        workspace: WorkspaceId(workspace),
        visitor: VisitorKey(id(random, 60).into_bytes()),
        user: None,
        at_ms,
        received_at_ms: at_ms,
        payload_hash: format!("{:032x}", random.bits()),
        body: if is_click {
            Body::Click {
                link: LinkId(id(random, 5)),
                campaign: CampaignId(Uuid::from_u128(1)),
                creator: UserId(Uuid::from_u128(2)),
                supporter: None,
                variant: None,
                utm: std::collections::BTreeMap::new(),
                cookieless: false,
            }
        } else {
            Body::Page {
                url: "https://shop.example/".to_owned(),
                title: None,
                properties: Default::default(),
            }
        },
        client: Client::default(),
        bot: random.one_in(8).then_some(domain::event::BotReason::UserAgent),
    }
}

/// A ClickHouse that nobody restarts but the test: one that crashes this often would be
/// given up.
struct Engine {
    port: u16,
    arguments: Vec<String>,
    running: Child,
}

impl Engine {
    /// One like the stack's.
    fn start(stack: &Stack) -> anyhow::Result<Self> {
        let needle = format!("engine clickhouse --port {}", stack.ports.clickhouse);
        let output = std::process::Command::new("pgrep").args(["-f", "--", &needle]).output()?;
        let pid = String::from_utf8_lossy(&output.stdout).lines().next().context("no engine")?.to_owned();
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
        let (port, data) = (free_port(), stack.data_dir().join("another"));
        std::fs::create_dir_all(&data)?;
        let mut arguments: Vec<String> = line.split('\0').skip(1).map(str::to_owned).collect();
        for (name, value) in [("--port", port.to_string()), ("--data", data.display().to_string())] {
            let at = arguments.iter().position(|argument| argument == name).context("an argument")?;
            arguments[at + 1] = value;
        }
        arguments.retain(|argument| !argument.is_empty());
        let running = Self::run(&arguments)?;
        Ok(Self { port, arguments, running })
    }

    fn run(arguments: &[String]) -> anyhow::Result<Child> {
        let mut command = std::process::Command::new(program());
        tests::die_with_test(&mut command);
        // It ends when its input does.
        Ok(command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?)
    }

    fn pid(&self) -> anyhow::Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.running.id())?))
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        self.running.wait()?;
        self.running = Self::run(&self.arguments)?;
        Ok(())
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

struct Loading {
    stack: Stack,
    engine: Engine,
    postgres: Proxy,
    clickhouse: Proxy,
    publisher: Publisher,
    topics: Topics,
    client: sinks::Client,
    workspace: Uuid,
    sent: u64,
}

impl Loading {
    async fn start() -> anyhow::Result<Self> {
        let stack = Stack::start_with(&["--engines-only"])?;
        let workspace = NewWorkspace {
            id: WorkspaceId(Uuid::from_u128(7)),
            slug: "cut".to_owned(),
            name: "Cut".to_owned(),
            currency: Currency::new("EUR").context("a currency")?,
            platform_fee_bps: 0,
            time_zone: "UTC".to_owned(),
        };
        let mut connection = stack.pool().await?.acquire().await?;
        store::control::insert_workspace(&mut connection, &workspace).await?;
        let topics = stack.topics();
        let engine = Engine::start(&stack)?;
        let client = sinks::client(&engine.url(), "tributary");
        let since = Instant::now();
        while let Err(error) = sinks::schema::migrate(&stack.pool().await?, &client, "tributary", None).await
        {
            ensure!(since.elapsed() < AGAIN_WITHIN, "ClickHouse does not start: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self {
            postgres: Proxy::start(stack.ports.postgres).await?,
            clickhouse: Proxy::start(engine.port).await?,
            publisher: Publisher::new(&stack.brokers(), ProducerSettings::default())?,
            client,
            workspace: workspace.id.0,
            topics,
            stack,
            engine,
            sent: 0,
        })
    }

    async fn send(&mut self, random: &mut Random, count: usize) -> anyhow::Result<()> {
        let now_ms = runtime::clock::now_ms();
        let mut pending = Vec::new();
        for _ in 0..count {
            let event = event(random, self.workspace, now_ms);
            let key = event.visitor.to_string();
            pending.push(self.publisher.send(
                &self.topics.events,
                key.as_bytes(),
                &serde_json::to_vec(&event)?,
            )?);
        }
        for delivery in pending {
            delivery.acknowledged().await?;
        }
        self.sent += count as u64;
        Ok(())
    }

    /// A loader of its own, on lines that can be cut; each in a group of its own, so that
    /// none waits for one that died.
    fn loader(&self, number: usize) -> anyhow::Result<Child> {
        self.loader_with(number, &[])
    }

    fn loader_with(&self, number: usize, settings: &[(&str, &str)]) -> anyhow::Result<Child> {
        let database = format!("postgres://tributary_app@127.0.0.1:{}/tributary", self.postgres.port());
        let log = std::fs::File::create(self.stack.data_dir().join(format!("loader-{number}.log")))?;
        let mut command = self.stack.command();
        tests::die_with_test(&mut command);
        let child = command
            .arg("sink")
            .envs(settings.iter().copied())
            .env("TRIBUTARY_GROUP", format!("loader-{number}"))
            .env("TRIBUTARY_DATABASE_URL", database)
            .env("TRIBUTARY_CLICKHOUSE_URL", format!("http://127.0.0.1:{}", self.clickhouse.port()))
            .env("TRIBUTARY_BATCH_MS", "50")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(child)
    }

    /// How many rows there are, and how many events.
    async fn loaded(&self) -> anyhow::Result<(u64, u64)> {
        Ok(self.client.query("SELECT count(), uniqExact(event_id) FROM events").fetch_one().await?)
    }

    /// Keeps rows that were loaded twice from being merged before they are counted; a
    /// ClickHouse that was started anew has to be told again.
    async fn stop_merges(&self) -> anyhow::Result<()> {
        let since = Instant::now();
        while let Err(error) = self.client.query("SYSTEM STOP MERGES events").execute().await {
            ensure!(since.elapsed() < AGAIN_WITHIN, "ClickHouse does not answer: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn wait_until_loaded(&self) -> anyhow::Result<()> {
        self.stop_merges().await?;
        let since = Instant::now();
        while !matches!(self.loaded().await, Ok((rows, _)) if rows >= self.sent) {
            ensure!(since.elapsed() < AGAIN_WITHIN, "{:?} of {} are loaded", self.loaded().await, self.sent);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

fn stop(mut loader: Child) -> anyhow::Result<()> {
    loader.kill()?;
    loader.wait()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn loading_cut_off_anywhere_loads_everything_once() -> anyhow::Result<()> {
    let mut random = Random::new(50);
    let mut loading = Loading::start().await?;
    loading.stop_merges().await?;
    let mut cut = [0; POINTS.len()];
    for round in 0..ROUNDS {
        // Each point with each victim at least twice, then whichever.
        let number = if round < 42 { round % POINTS.len() } else { random.below(POINTS.len()) };
        let victim = [Victim::Loader, Victim::ClickHouse, Victim::Line][(round / POINTS.len()) % 3];
        let (point, is_clickhouse) = POINTS[number];
        let mut loader = loading.loader(round)?;
        let proxy = if is_clickhouse { &loading.clickhouse } else { &loading.postgres };
        let (own, engine) = (Pid::from_raw(i32::try_from(loader.id())?), loading.engine.pid()?);
        proxy.break_at(point, move || {
            let killed = match victim {
                Victim::Loader => kill(own, Signal::SIGKILL),
                Victim::ClickHouse => kill(engine, Signal::SIGKILL),
                Victim::Line => Ok(()),
            };
            killed.expect("it is this test's");
        });
        let count = 300 + random.below(1_500);
        loading.send(&mut random, count).await?;
        let since = Instant::now();
        let proxy = if is_clickhouse { &loading.clickhouse } else { &loading.postgres };
        while !proxy.has_broken() {
            ensure!(since.elapsed() < AGAIN_WITHIN, "{point:?} did not come");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        cut[number] += 1;
        // A loader that lives goes on by itself.
        match victim {
            Victim::Loader => {
                loader.wait()?;
                loader = loading.loader(1_000 + round)?;
            }
            Victim::ClickHouse => loading.engine.restart()?,
            Victim::Line => {}
        }
        loading.wait_until_loaded().await.with_context(|| format!("after {point:?}, {victim:?}"))?;
        stop(loader)?;
    }
    assert!(cut.iter().all(|cut| *cut >= 3), "{cut:?}");
    // Rows, not only ids: nothing was loaded twice, whatever the engine merges.
    assert_eq!(loading.loaded().await?, (loading.sent, loading.sent));
    let loader = loading.loader(ROUNDS)?;
    rolled_up(&loading).await?;
    stop(loader)?;
    away_for_long(&mut loading, &mut random).await?;
    poisoned(&mut loading, &mut random).await
}

/// ClickHouse is away for longer than reading goes on; the loader stays in its group.
async fn away_for_long(loading: &mut Loading, random: &mut Random) -> anyhow::Result<()> {
    let number = ROUNDS + 1;
    let loader = loading.loader(number)?;
    loading.send(random, 100).await?;
    loading.wait_until_loaded().await?;
    kill(loading.engine.pid()?, Signal::SIGKILL)?;
    let log = loading.stack.data_dir().join(format!("loader-{number}.log"));
    let since = Instant::now();
    while !std::fs::read_to_string(&log)?.contains("reading rests") {
        ensure!(since.elapsed() < AGAIN_WITHIN, "reading does not rest");
        loading.send(random, 500).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    loading.engine.restart()?;
    loading.wait_until_loaded().await?;
    assert_eq!(loading.loaded().await?, (loading.sent, loading.sent));
    let log = std::fs::read_to_string(&log)?;
    assert!(log.contains("reading goes on") && !log.contains("partitions revoked"), "{log}");
    stop(loader)
}

/// Rows that ClickHouse refuses are put aside, and the others loaded.
async fn poisoned(loading: &mut Loading, random: &mut Random) -> anyhow::Result<()> {
    let refuse = "ALTER TABLE events ADD CONSTRAINT no_visitor_7 CHECK visitor != unhex('00000000000000000000000000000007')";
    loading.client.query_raw(refuse).execute().await?;
    let (before, _) = loading.loaded().await?;
    let address = format!("127.0.0.1:{}", free_port());
    let mut loader = loading.loader_with(ROUNDS + 2, &[("TRIBUTARY_METRICS_LISTEN", &address)])?;
    loading.send(random, 600).await?;
    let since = Instant::now();
    let refused = loop {
        let refused: Vec<(String, String)> =
            loading.client.query("SELECT row, error FROM refused_rows FINAL").fetch_all().await?;
        let (rows, _) = loading.loaded().await?;
        if rows - before + refused.len() as u64 == 600 {
            break refused;
        }
        ensure!(since.elapsed() < AGAIN_WITHIN, "{rows} rows, {} refused", refused.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!((2..50).contains(&refused.len()), "{}", refused.len());
    for (row, error) in &refused {
        assert!(error.contains("no_visitor_7") && row.contains("event_id"), "{row} {error}");
    }
    let metrics = tests::Http::default().get(&format!("http://{address}/metrics"), &[]).await?.text();
    let refused = format!("tributary_sink_refused_rows_total{{table=\"events\"}} {}", refused.len());
    for line in [
        refused.as_str(),
        "tributary_sink_visible_seconds",
        "tributary_backlog_messages{service=\"event_sink\"} ",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    kill(Pid::from_raw(i32::try_from(loader.id())?), Signal::SIGTERM)?;
    assert!(loader.wait()?.success());
    Ok(())
}

/// What is rolled up equals what can be counted.
async fn rolled_up(loading: &Loading) -> anyhow::Result<()> {
    let owner = store::connect(&loading.stack.database_url("tributary", "tributary"), 1).await?;
    let since = Instant::now();
    loop {
        store::migrate::execute(&owner, "UPDATE rollup_marks SET due_at = now()").await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        if store::rollups::due(&owner, 1).await?.is_empty() {
            break;
        }
        ensure!(since.elapsed() < AGAIN_WITHIN, "hours are not rolled up");
    }
    let differences = |counted: &str, kept: &str| {
        format!(
            "SELECT count() FROM (
                 (SELECT * FROM ({counted}) EXCEPT SELECT * FROM ({kept}))
                 UNION ALL (SELECT * FROM ({kept}) EXCEPT SELECT * FROM ({counted})))"
        )
    };
    let clicks = differences(
        "SELECT toStartOfHour(at) AS hour, link_id, uniqExactIf(event_id, bot = '') AS clicks,
             uniqExactIf(event_id, bot = '' AND NOT is_repeat) AS unique_clicks, uniqExactIf(event_id, bot != '') AS bots
         FROM (
             SELECT *, bot = '' AND count() OVER (
                 PARTITION BY visitor, link_id, bot = '' ORDER BY toUnixTimestamp64Milli(at)
                 RANGE BETWEEN 86400000 PRECEDING AND CURRENT ROW) > 1 AS is_repeat
             FROM events WHERE kind = 'click')
         GROUP BY hour, link_id",
        "SELECT hour, link_id, clicks, unique_clicks, bot_clicks FROM hourly_clicks FINAL",
    );
    let creators = differences(
        "SELECT hour, creator_id, sum(h.clicks), sum(h.unique_clicks), sum(h.bot_clicks)
         FROM hourly_clicks AS h FINAL GROUP BY hour, creator_id",
        "SELECT hour, creator_id, clicks, unique_clicks, bot_clicks FROM hourly_creator_clicks FINAL",
    );
    let all_creators = differences(
        "SELECT hour, sum(h.clicks), sum(h.unique_clicks), sum(h.bot_clicks) FROM hourly_clicks AS h FINAL GROUP BY hour",
        "SELECT hour, clicks, unique_clicks, bot_clicks FROM hourly_workspace_clicks FINAL",
    );
    let visits = differences(
        "SELECT toStartOfHour(at) AS hour, uniqExact(visitor) AS visitors, uniqExactIf(event_id, kind = 'page') AS pages
         FROM events WHERE bot = '' GROUP BY hour",
        "SELECT hour, sum(v.visitors), sum(v.page_views) FROM hourly_visits AS v FINAL GROUP BY hour",
    );
    let whole = differences(
        "SELECT toStartOfMonth(at) AS month, uniqExact(visitor) FROM events WHERE bot = '' GROUP BY month",
        "SELECT toStartOfMonth(hour) AS month, sumIf(v.visitors, previous_hour < month)
         FROM hourly_visits AS v FINAL GROUP BY month",
    );
    let acts = differences(
        "SELECT DISTINCT visitor, kind, toUnixTimestamp64Milli(at) AS ms FROM events
         WHERE kind IN ('click', 'page', 'track') AND bot = ''",
        "SELECT DISTINCT visitor, act.1 AS kind, toInt64(toUInt16(month)) * 86400000 + act.2 AS ms FROM visitor_acts
         ARRAY JOIN arrayConcat(arrayMap(ms -> ('click', ms), clicks), arrayMap(ms -> ('page', ms), pages),
            arrayMap(ms -> ('track', ms), tracks)) AS act",
    );
    let sessions = differences(
        "SELECT toStartOfHour(at) AS hour, visitor, uniqExact(event_id) AS actions, uniqExactIf(event_id, kind = 'page') AS pages
         FROM events WHERE kind IN ('click', 'page', 'track') AND bot = '' GROUP BY hour, visitor",
        "SELECT hour, visitor, arraySum(part.actions), arraySum(part.pages) FROM visitor_sessions FINAL",
    );
    let all = [
        ("clicks", clicks),
        ("creators", creators),
        ("all creators", all_creators),
        ("visits", visits),
        ("months", whole),
        ("acts", acts),
        ("sessions", sessions),
    ];
    for (name, query) in all {
        let differences: u64 = loading.client.query_raw(&query).fetch_one().await?;
        assert_eq!(differences, 0, "{name}");
    }
    let kept: u64 =
        loading.client.query("SELECT toUInt64(sum(clicks)) FROM hourly_clicks FINAL").fetch_one().await?;
    assert!(kept > 0, "something was rolled up");
    Ok(())
}
