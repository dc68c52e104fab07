//! The embedded ClickHouse, as its clients see it: plain HTTP, the Rust client,
//! Python's clickhouse-connect.

use std::process::Command;

use serde::{Deserialize, Serialize};
use sinks::Client;
use tests::{Http, Stack, repository};

#[derive(clickhouse::Row, Serialize, Deserialize, PartialEq, Debug)]
struct Row {
    number: u64,
    text: String,
    #[serde(with = "clickhouse::serde::uuid")]
    id: uuid::Uuid,
}

fn row(number: u64) -> Row {
    Row { number, text: format!("text {number} 'quoted' \\ ü"), id: uuid::Uuid::from_u128(number.into()) }
}

const TABLE: &str = "CREATE TABLE t (number UInt64, text String, id UUID) ENGINE = MergeTree ORDER BY number
                     SETTINGS non_replicated_deduplication_window = 100";

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_client_works_as_it_comes() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    // With its defaults: LZ4 blocks both ways, schema validation.
    let client = Client::default().with_url(stack.clickhouse_url());
    client.query(TABLE).execute().await?;
    for _ in 0..2 {
        let mut insert = client.insert::<Row>("t").await?.with_setting("insert_deduplication_token", "one");
        for number in 0..100_000 {
            insert.write(&row(number)).await?;
        }
        insert.end().await?;
    }
    let count: u64 = client.query("SELECT count() FROM t").fetch_one().await?;
    assert_eq!(count, 100_000, "the second insert has the first one's token");
    let found: Vec<Row> = client
        .query("SELECT ?fields FROM t WHERE number = {number:UInt64} OR text = {text:String} ORDER BY number")
        .param("number", 7)
        .param("text", row(8).text)
        .fetch_all()
        .await?;
    assert_eq!(found, [row(7), row(8)]);
    let error = client.query("SELECT nonsense").execute().await.unwrap_err().to_string();
    assert!(error.contains("Code: 47"), "{error}");
    // An insert that is never ended inserts nothing.
    let mut insert = client.insert::<Row>("t").await?;
    insert.write(&row(1_000_000)).await?;
    drop(insert);
    let many = (0..20).map(|_| client.query("SELECT sum(number) FROM t").fetch_one::<u64>());
    let sums = futures_util::future::try_join_all(many).await?;
    assert!(sums.iter().all(|sum| *sum == 4_999_950_000), "{sums:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_works() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let (http, url) = (Http::default(), stack.clickhouse_url());
    for (path, body, status, expected) in [
        ("/ping", None, 200, "Ok.\n"),
        ("/", None, 200, "Ok.\n"),
        ("/?query=SELECT%201", None, 200, "1\n"),
        ("/", Some(TABLE), 200, ""),
        ("/", Some("INSERT INTO t VALUES (1, 'a', generateUUIDv4())"), 200, ""),
        ("/?query=INSERT%20INTO%20t(number,text)%20FORMAT%20CSV", Some("2,b\n3,c\n"), 200, ""),
        (
            "/",
            Some("INSERT INTO t (number, text) FORMAT JSONEachRow\n{\"number\":4,\"text\":\"d\"}"),
            200,
            "",
        ),
        (
            "/",
            Some("SELECT groupArray(text) FROM (SELECT text FROM t ORDER BY number)"),
            200,
            "['a','b','c','d']\n",
        ),
        ("/?default_format=JSONEachRow", Some("SELECT 1 AS x"), 200, "{\"x\":1}\n"),
        ("/?param_x=it%27s&query=SELECT%20%7Bx%3AString%7D", None, 200, "it\\'s\n"),
        ("/?max_result_rows=1&query=SELECT%20number%20FROM%20numbers(5)", None, 500, "Code: 396"),
        ("/?database=system&query=SELECT%20count()%3E0%20FROM%20tables", None, 200, "1\n"),
        ("/?no_such_setting=1&query=SELECT%201", None, 404, "Code: 115"),
        ("/", Some("SELEC 1"), 400, "Code: 62"),
        ("/?query=SELECT%20*%20FROM%20nowhere", None, 404, "Code: 60"),
        ("/?query=DROP%20TABLE%20t", None, 403, "Code: 164"),
        ("/?user=somebody&query=SELECT%201", None, 403, "Code: 516"),
        ("/", Some("INSERT INTO t (number, text) FORMAT CSV\n5,x\nnot a number,y\n"), 400, "Code: 27"),
        ("/?query=SELECT%20count()%20FROM%20t", None, 200, "4\n"),
    ] {
        let address = format!("{url}{path}");
        let answer = match body {
            None => http.get(&address, &[]).await?,
            Some(body) => http.post(&address, &[], body).await?,
        };
        let text = answer.text();
        assert_eq!(answer.status, status, "{path} {body:?}: {text}");
        let matches = if status == 200 { text == expected } else { text.starts_with(expected) };
        assert!(matches, "{path} {body:?}: {text}");
        if status != 200 {
            let code = expected.trim_start_matches("Code: ");
            assert_eq!(answer.header("x-clickhouse-exception-code"), code, "{path}");
        }
    }
    Ok(())
}

#[test]
fn pythons_clickhouse_connect_works() -> anyhow::Result<()> {
    let Ok(python) = std::env::var("TRIBUTARY_TEST_PYTHON") else {
        eprintln!(
            "skipped: TRIBUTARY_TEST_PYTHON names no Python with clickhouse-connect; `make test` sets it"
        );
        return Ok(());
    };
    let stack = Stack::start()?;
    let output = Command::new(python)
        .arg(repository().join("tests/clients/clickhouse_connect_client.py"))
        .arg(stack.ports.clickhouse.to_string())
        .output()?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("all good"), "{text}");
    Ok(())
}
