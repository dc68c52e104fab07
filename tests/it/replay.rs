//! `tributary replay` on a web server's log.

use std::fmt::Write as _;

use serde_json::Value;
use tests::{Stack, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_replayed() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "log").await?;
    let campaign = world.campaign("click", 5, 1_000).await?;
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let mut log = String::new();
    for number in 0..200 {
        let path = if number % 10 == 0 { campaign.code.clone() } else { format!("page/{number}?q=1") };
        writeln!(
            log,
            "203.0.113.{} - - [17/May/2015:10:{:02}:{:02} +0000] \"GET /{path} HTTP/1.1\" 200 {number} \"-\" \"{agent}\"",
            number % 250,
            number / 60,
            number % 60,
        )?;
    }
    log.push_str("this is no log line\n");
    log.push_str("203.0.113.9 - - [17/May/2015:10:10:00 +0000] \"GET /robot HTTP/1.1\" 200 1 \"-\" \"-\"\n");
    let path = stack.data_dir().join("access.log");
    std::fs::write(&path, log)?;
    let path = path.display().to_string();
    let output = stack.run(&[
        "replay",
        "--format",
        "combined",
        "--workspace",
        "log",
        "--rate",
        "400",
        "--json",
        &path,
    ])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    for (field, expected) in
        [("sent", 201), ("clicks", 20), ("pages", 181), ("ok", 201), ("failed", 0), ("bad_lines", 1)]
    {
        assert_eq!(report[field], expected, "{field}: {report}");
    }
    let latency = &report["latency_ms"];
    assert!(
        latency["p50"].as_f64() > Some(0.0) && latency["p50"].as_f64() <= latency["p99"].as_f64(),
        "{report}"
    );
    stack.settle()?;
    let query = "SELECT kind, count(), countIf(bot != ''), uniqExact(network) FROM events FINAL GROUP BY kind ORDER BY kind FORMAT TSV";
    let url = format!("{}/?database=tributary", stack.clickhouse_url());
    let answer = world.http.post(&url, &[], query).await?;
    assert_eq!(answer.text(), "click\t20\t0\t1\npage\t181\t1\t1\n");
    // For people, with the bad line named.
    let output = stack.run(&["replay", "--workspace", "log", "--rate", "2000", &path])?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("line 201: its address cannot be read"), "{text}");
    stack.reconcile()
}
