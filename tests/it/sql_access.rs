//! A workspace's own SQL: what its user in ClickHouse sees, and what it does not,
//! whatever it asks.

use std::process::Command;
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::{Value, json};
use tests::{Http, Stack, World, free_port, repository};
use uuid::Uuid;

/// Said by somebody else's query while it runs, and nowhere else.
const ELSEWHERE: &str = "said_by_another";

/// A workspace with a bit of everything in each view, and its user.
struct Place {
    world: World,
    workspace: Uuid,
    database: String,
    user: String,
    password: String,
}

impl Place {
    async fn create(stack: &Stack, slug: &str, clicks: usize) -> anyhow::Result<Self> {
        let world = World::create(stack, slug).await?;
        let campaign = world.campaign("sale", 300, 10_000).await?;
        for number in 0..clicks {
            let click = world.click(&campaign.code, &format!("buyer-{number}-of-{slug}")).await?;
            let value = json!({ "amount_minor": 2_000, "currency": "USD" });
            let sale = json!({ "order_id": format!("{slug}-{number}"), "value": value, "tcid": click.token });
            world.accepted("/v1/sales", &sale).await?;
        }
        stack.settle()?;
        let found = store::control::find_workspace(&stack.pool().await?, slug).await?;
        let workspace = found.expect("made above").id;
        let client = stack.clickhouse();
        // What is made of whole hours, and of hours to come.
        for (table, at) in [
            ("hourly_clicks", "hour"),
            ("hourly_outcomes", "hour"),
            ("leaderboard_snapshots", "captured_at"),
            ("social_metrics", "captured_at"),
        ] {
            let insert = format!("INSERT INTO {table} (workspace_id, {at}) VALUES ('{workspace}', now())");
            client.query_raw(&insert).execute().await?;
        }
        // A look, and later some that go on into the next hour.
        let insert = format!(
            "INSERT INTO visitor_sessions (workspace_id, visitor, hour, part.begin_ms, part.length_ms, part.actions,
                part.pages, part.entry, part.exit, part.country, part.device) VALUES
             ('{workspace}', 'somebody', '2026-02-03 10:00:00', [7, 2400000], [0, 1000000], [1, 3], [0, 2], ['', '/a'], ['', '/b'],
                ['DE', 'FR'], ['ios', 'other']),
             ('{workspace}', 'somebody', '2026-02-03 11:00:00', [300000], [60000], [4], [1], ['/c'], ['/c'], ['US'], [''])"
        );
        client.query_raw(&insert).execute().await?;
        let [database, user, password] = Self::access(&world).await?;
        Ok(Self { world, workspace, database, user, password })
    }

    async fn access(world: &World) -> anyhow::Result<[String; 3]> {
        let made = world.replace("/v1/sql-access", &Value::Null).await?;
        Ok(["database", "user", "password"].map(|name| made[name].as_str().expect("a text").to_owned()))
    }

    /// Status and text of what ClickHouse at `url` answers.
    async fn asks(&self, url: &str, path: &str, sql: &str) -> anyhow::Result<(u16, String)> {
        let headers = [("x-clickhouse-user", &*self.user), ("x-clickhouse-key", &*self.password)];
        let answer =
            Http::default().post(&format!("{url}/{path}"), &headers, sql.as_bytes().to_vec()).await?;
        Ok((answer.status, answer.text()))
    }

    async fn count(&self, url: &str, view: &str) -> anyhow::Result<u64> {
        let (status, text) = self.asks(url, "", &format!("SELECT count() FROM {view}")).await?;
        assert_eq!(status, 200, "{view}: {text}");
        Ok(text.trim().parse()?)
    }
}

const VIEWS: [(&str, [u64; 2]); 12] = [
    ("campaigns", [1, 1]),
    ("clicks", [2, 3]),
    ("clicks_by_hour", [1, 1]),
    ("events", [2, 3]),
    ("leaderboards", [1, 1]),
    ("links", [1, 1]),
    ("outcomes", [2, 3]),
    ("outcomes_by_hour", [1, 1]),
    ("sessions", [2, 2]),
    ("social", [1, 1]),
    ("touches", [2, 3]),
    ("users", [2, 2]),
];

/// Waits until ClickHouse knows all names.
async fn names_are_known(stack: &Stack) -> anyhow::Result<()> {
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    let since = Instant::now();
    while !store::migrate::strings(&owner, "SELECT id::text FROM names_due").await?.is_empty() {
        assert!(since.elapsed() < Duration::from_secs(30), "names are not loaded");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Campaigns, links and users are called in SQL as they are in the API, and called anew.
async fn names_are_told(stack: &Stack, ours: &Place, url: &str) -> anyhow::Result<()> {
    let told = "SELECT c.title, l.code, u.display_name FROM clicks_by_hour AS h, campaigns AS c, links AS l, users AS u
        ORDER BY u.display_name LIMIT 1";
    let owner = store::connect(&stack.database_url("tributary", "tributary"), 1).await?;
    let known = format!(
        "SELECT concat_ws(E'\\t', c.title, l.code, min(u.display_name) || E'\\n')
         FROM campaigns c, tracking_links l, users u
         WHERE c.workspace_id = '{0}' AND l.workspace_id = '{0}' AND u.workspace_id = '{0}' GROUP BY c.title, l.code",
        ours.workspace
    );
    for name in ["Anna", "Abel"] {
        let anew = format!(
            "UPDATE users SET display_name = '{name}' WHERE id =
             (SELECT id FROM users WHERE workspace_id = '{}' ORDER BY id LIMIT 1)",
            ours.workspace
        );
        store::migrate::execute(&owner, &anew).await?;
        names_are_known(stack).await?;
        let (_, text) = ours.asks(url, "", told).await?;
        assert_eq!(vec![text], store::migrate::strings(&owner, &known).await?);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspaces_sql_sees_what_is_its_own() -> anyhow::Result<()> {
    let for_readers = format!("127.0.0.1:{}", free_port());
    let stack = Stack::start_with(&["--readers-listen", &for_readers])?;
    let ours = Place::create(&stack, "ours", 2).await?;
    let theirs = Place::create(&stack, "theirs", 3).await?;
    let everybody = stack.clickhouse_url();
    let readers = format!("http://{for_readers}");
    names_are_known(&stack).await?;
    names_are_told(&stack, &ours, &readers).await?;

    // The same at both addresses; `default` is nobody where readers ask.
    for url in [&everybody, &readers] {
        let (_, tables) = ours.asks(url, "", "SHOW TABLES").await?;
        assert_eq!(tables.lines().collect::<Vec<_>>(), VIEWS.map(|(view, _)| view));
        for (view, [our_count, their_count]) in VIEWS {
            assert_eq!(ours.count(url, view).await?, our_count, "{view} of ours");
            assert_eq!(theirs.count(url, view).await?, their_count, "{view} of theirs");
        }
    }
    let http = Http::default();
    assert_eq!(http.get(&format!("{everybody}/?query=SELECT%201"), &[]).await?.status, 200);
    assert_eq!(http.get(&format!("{readers}/?query=SELECT%201"), &[]).await?.status, 403);
    let limits = "SELECT name, value FROM system.settings WHERE name IN
        ('readonly', 'max_execution_time', 'max_memory_usage') ORDER BY name";
    let (_, limits) = ours.asks(&readers, "", limits).await?;
    assert_eq!(limits, "max_execution_time\t30\nmax_memory_usage\t2000000000\nreadonly\t1\n");

    let (_, sessions) =
        ours.asks(&readers, "", "SELECT * EXCEPT visitor FROM sessions ORDER BY started_at").await?;
    assert_eq!(
        sessions,
        "2026-02-03 10:00:00.007\t2026-02-03 10:00:00.007\t1\t0\t\t\tDE\tios\ttrue\n\
         2026-02-03 10:40:00.000\t2026-02-03 11:06:00.000\t7\t3\t/a\t/c\tFR\tother\tfalse\n"
    );

    nothing_else_is_seen(&stack, &ours, &theirs).await?;

    // Another password makes the first one void; restarts change nothing.
    let [database, user, password] = Place::access(&ours.world).await?;
    assert_eq!((&database, &user), (&ours.database, &ours.user));
    assert_eq!(ours.asks(&readers, "", "SELECT 1").await?.0, 403);
    let ours = Place { password, ..ours };
    restart_clickhouse(&stack).await?;
    assert_eq!(ours.count(&everybody, "clicks").await?, 2);
    let removed = ours.world.control_sent(Method::DELETE, "/v1/sql-access", "").await?;
    assert_eq!(removed.status, 200, "{}", removed.text());
    assert_eq!(ours.asks(&everybody, "", "SELECT 1").await?.0, 403);
    assert_eq!(theirs.count(&everybody, "clicks").await?, 3);
    Ok(())
}

/// Tries ways to what is another's.
async fn nothing_else_is_seen(stack: &Stack, ours: &Place, theirs: &Place) -> anyhow::Result<()> {
    let url = stack.clickhouse_url();
    // Somebody's query is running all the while, and another of theirs has failed.
    let running = {
        let client = stack.clickhouse();
        tokio::spawn(async move {
            let sql = format!(
                "SELECT sleepEachRow(1), '{ELSEWHERE}' FROM numbers(20) SETTINGS max_block_size = 1,
                function_sleep_max_microseconds_per_block = 0"
            );
            let _cancelled = client.query_raw(&sql).execute().await;
        })
    };
    let failed = stack.clickhouse().query_raw(&format!("SELECT {ELSEWHERE}")).execute().await;
    assert!(failed.is_err());
    let theirs_id = theirs.workspace;
    let outfile = stack.data_dir().join("outfile");
    let asked: Vec<String> = [
        "SELECT * FROM tributary.events",
        "SELECT * FROM tributary.hourly_clicks",
        "SELECT * FROM {theirs}.clicks",
        "SELECT * FROM merge(concat('{theirs}', ''), 'clicks')",
        "SELECT * FROM merge(REGEXP('^tributary_bi'), 'clicks')",
        "SHOW CREATE TABLE {theirs}.clicks",
        "SELECT * FROM tributary.outcomes AS o, {ours}.clicks AS c",
        "SELECT * FROM clicks WHERE 0 UNION ALL SELECT * FROM {ours}.clicks WHERE link_id IN (SELECT link_id FROM tributary.events)",
        "SELECT * FROM merge('tributary', '.*')",
        "SELECT * FROM merge(REGEXP('.*'), '.*') LIMIT 100",
        "SELECT * FROM merge('sys' || 'tem', '^processes$')",
        "SELECT * FROM mergeTreeIndex('tributary', 'events')",
        "SELECT * FROM view(SELECT * FROM tributary.events)",
        "SELECT * FROM remote('127.0.0.1', 'tributary.events')",
        "SELECT * FROM cluster('default', 'tributary.events')",
        "SELECT * FROM loop('tributary', 'events') LIMIT 1",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT file('/etc/passwd')",
        "SELECT `file`/**/('/etc/passwd')",
        "SELECT * FROM eval('SELECT * FROM sys' || 'tem.processes')",
        "SELECT * FROM eval('SELECT * FROM tributary' || '.events')",
        "SELECT * FROM filesystem('/etc')",
        "SELECT * FROM deltaLakeLocal('/tmp')",
        "SELECT * FROM icebergLocal('/tmp')",
        "SELECT * FROM mergeTreeProjection('tributary', 'events', 'x')",
        "SELECT * FROM mergeTreeTextIndex('tributary', 'events', 'x')",
        "SELECT * FROM mergeTreeAnalyzeIndexes('tributary', 'events', 1)",
        "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT * FROM tributary.events))",
        "SELECT * FROM viewIfPermitted(SELECT * FROM `tributary`.events ELSE null('x Int8'))",
        "SELECT joinGet('tributary.events', 'url', 1)",
        "SELECT dictGet('tributary.events', 'url', 1)",
        "SELECT addressToLine(1)",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM executable('id', 'TSV', 'a String')",
        "SELECT * FROM sqlite('/tmp/x', 'y')",
        "SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
        "SELECT * FROM clicks SETTINGS readonly = 0",
        "SELECT * FROM clicks SETTINGS additional_table_filters = {}",
        "SELECT * FROM (SELECT * FROM clicks SETTINGS log_comment = '{theirs_id}')",
        "SELECT * FROM clicks SETTINGS log_comment = '{theirs_id}'",
        "WITH x AS (SELECT * FROM tributary.events) SELECT * FROM x",
        "EXPLAIN SELECT * FROM tributary.events",
        "EXPLAIN ESTIMATE SELECT * FROM tributary.events",
        "DESCRIBE tributary.events",
        "EXISTS tributary.events",
        "SHOW CREATE TABLE tributary.events",
        "SHOW TABLES FROM tributary",
        "SHOW PROCESSLIST",
        "SHOW USERS",
        "SHOW GRANTS",
        "SHOW ACCESS",
        "SELECT * FROM system.processes",
        "SELECT * FROM system.errors",
        "SELECT * FROM system.query_log",
        "SELECT * FROM system.users",
        "SELECT * FROM system.parts",
        "SELECT * FROM system.columns WHERE database = 'tributary'",
        "SELECT * FROM system.tables WHERE database = 'tributary'",
        "SELECT * FROM information_schema.tables WHERE table_schema = 'tributary'",
        "SELECT hasColumnInTable('tributary', 'events', 'url')",
        "SELECT count() FROM clicks INTO OUTFILE '{outfile}'",
        "SET ROLE owner",
        "SET log_comment = '{theirs_id}'",
        "SELECT 1; SET ROLE owner; SELECT * FROM tributary.events",
        "USE tributary",
        "KILL QUERY WHERE 1 SYNC",
        "SELECT (SELECT sleep(1)) AS a FORMAT Null PARALLEL WITH KILL QUERY WHERE 1",
        "SELECT 1 PARALLEL WITH SET ROLE owner",
        "SYSTEM SHUTDOWN",
        "CREATE TABLE mine (x Int8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE mine (x Int8)",
        "INSERT INTO tributary.events (event_id) VALUES (generateUUIDv4())",
        "INSERT INTO clicks (click_id) FORMAT CSV\n1\n",
        "ALTER TABLE tributary.events DELETE WHERE 1",
        "DROP VIEW clicks",
        "CREATE USER OR REPLACE x IDENTIFIED WITH sha256_hash BY 'y'",
        "GRANT SELECT ON {theirs}.* TO tributary_ours",
        "DROP USER IF EXISTS tributary_theirs",
        "EXECUTE AS default SELECT * FROM tributary.events",
        "BACKUP DATABASE tributary TO File('/tmp/x')",
    ]
    .iter()
    .map(|sql| {
        [
            ("{theirs}", &*theirs.database),
            ("{ours}", &ours.database),
            ("{theirs_id}", &theirs_id.to_string()),
            ("{outfile}", &outfile.to_string_lossy()),
        ]
        .into_iter()
        .fold((*sql).to_owned(), |sql, (name, value)| sql.replace(name, value))
    })
    .collect();
    let paths = [
        "?database=tributary",
        "?database=system",
        "?readonly=0",
        "?role=owner",
        "?max_execution_time=0",
        "?session_id=s",
        "?log_comment=",
    ];
    let tries = asked
        .iter()
        .map(|sql| (String::new(), sql.as_str()))
        .chain(paths.iter().map(|path| ((*path).to_owned(), "SELECT * FROM events")))
        .chain([
            (format!("?log_comment={theirs_id}"), "SELECT * FROM clicks"),
            ("?param_d=system&param_t=processes".to_owned(), "SELECT * FROM {d:Identifier}.{t:Identifier}"),
            ("?param_d=system".to_owned(), "SELECT * FROM merge({d:String}, 'processes')"),
        ]);
    let mut secrets: Vec<String> = stack
        .clickhouse()
        .query(
            "SELECT toString(arrayJoin([event_id, click_id])) FROM events
             WHERE workspace_id = {id:UUID} AND kind = 'sale'",
        )
        .param("id", theirs_id.to_string())
        .fetch_all()
        .await?;
    assert_eq!(secrets.len(), 6, "of three sales");
    secrets.extend([theirs.world.creator.clone(), ELSEWHERE.to_owned(), "root:".to_owned()]);
    for (path, sql) in tries {
        let (status, text) = ours.asks(&url, &path, sql).await?;
        for secret in &secrets {
            // What was asked may come back in an error.
            let shown = text.replace(sql, "");
            assert!(
                status != 200 && sql.contains(secret.as_str()) || !shown.contains(secret.as_str()),
                "{secret} in {path} {sql}: {status} {text}"
            );
        }
        let writes = [
            "INSERT", "CREATE", "DROP", "ALTER", "KILL", "SET", "GRANT", "SYSTEM", "BACKUP", "USE", "EXECUTE",
        ];
        if writes.iter().any(|word| sql.starts_with(word)) || sql.contains("tributary.") {
            assert_ne!(status, 200, "{sql}: {text}");
        }
    }
    assert!(!outfile.exists());
    assert!(!running.is_finished(), "nobody has ended it");
    running.abort();
    // Nothing was changed on the way.
    for (view, [our_count, their_count]) in VIEWS {
        assert_eq!(ours.count(&url, view).await?, our_count, "{view} of ours");
        assert_eq!(theirs.count(&url, view).await?, their_count, "{view} of theirs");
    }
    Ok(())
}

async fn restart_clickhouse(stack: &Stack) -> anyhow::Result<()> {
    let needle = format!("engine clickhouse --port {}", stack.ports.clickhouse);
    let killed = Command::new("pkill").args(["-KILL", "-f", "--", &needle]).status()?;
    assert!(killed.success());
    let started = Instant::now();
    let ping = format!("{}/ping", stack.clickhouse_url());
    while Http::default().get(&ping, &[]).await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(30), "ClickHouse does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pythons_clickhouse_connect_reads_the_views() -> anyhow::Result<()> {
    let Ok(python) = std::env::var("TRIBUTARY_TEST_PYTHON") else {
        eprintln!(
            "skipped: TRIBUTARY_TEST_PYTHON names no Python with clickhouse-connect; `make test` sets it"
        );
        return Ok(());
    };
    let stack = Stack::start()?;
    let place = Place::create(&stack, "notebook", 2).await?;
    let output = Command::new(python)
        .arg(repository().join("tests/clients/clickhouse_connect_reader.py"))
        .args([&stack.ports.clickhouse.to_string(), &place.database, &place.user, &place.password])
        .output()?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("all good"), "{text}");
    Ok(())
}
