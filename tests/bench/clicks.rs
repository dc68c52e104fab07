//! A click, answered once it is durable, beside a bare 302 under the same load.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tests::{Stack, World};

use crate::bare::Bare;
use crate::load::{Load, Measured};
use crate::table::Table;

const CONNECTIONS: usize = 256;
const WARM_UP: Duration = Duration::from_secs(2);
const ROUND: Duration = Duration::from_secs(5);
/// Rounds of each kind, in turn; the middle one counts.
const ROUNDS: usize = 3;

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
];

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let memory = Collecting::start("in memory", &["--engines-only", "--kafka-in-memory"]).await?;
    let (bare, durable) = in_turn(memory.stack.ports.collector, &memory.code).await?;
    table.limit("bare axum 302", bare.per_second, bare.percentiles());
    let what = "click, acknowledged by Kafka (broker in memory)";
    table.figure(what, durable.per_second, bare.per_second, durable.percentiles());
    drop(memory);
    let disk = Collecting::start("on disk", &["--engines-only"]).await?;
    let (bare, durable) = in_turn(disk.stack.ports.collector, &disk.code).await?;
    let what = "click, acknowledged by Kafka (broker on SQLite)";
    table.figure(what, durable.per_second, bare.per_second, durable.percentiles());
    Ok(())
}

/// Engines and a collector, with one link. What the collector writes is not
/// read by anybody meanwhile, so that it alone is measured.
struct Collecting {
    collector: Child,
    code: String,
    stack: Stack,
}

impl Collecting {
    async fn start(what: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        println!("clicks: a collector with its broker {what} …");
        let stack = Stack::start_with(arguments)?;
        let mut api = serve(stack.command().arg("api"))?;
        let collector = serve(stack.command().arg("ingest"))?;
        let world = made(&stack).await;
        api.kill()?;
        api.wait()?;
        Ok(Self { collector, code: world?, stack })
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        self.collector.kill().ok();
        self.collector.wait().ok();
    }
}

fn serve(command: &mut Command) -> anyhow::Result<Child> {
    let command = command.env("TRIBUTARY_LOG", "error").stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().context("cannot start a service")
}

async fn made(stack: &Stack) -> anyhow::Result<String> {
    // Without money: funding is settlement's, which does not run here.
    Ok(World::create_soon(stack, "bench").await?.campaign("click", 5, 0).await?.code)
}

/// Rounds of the bare server and of the collector, in turn.
async fn in_turn(collector: u16, code: &str) -> anyhow::Result<(Measured, Measured)> {
    let bare = Bare::start()?;
    let requests = Arc::new(requests(code));
    let load = |port, duration| {
        let requests = Arc::clone(&requests);
        Load { port, connections: CONNECTIONS, requests, expected: "HTTP/1.1 302", duration }
    };
    load(bare.port, WARM_UP).run().await?;
    load(collector, WARM_UP).run().await?;
    let (mut bares, mut durables) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bares.push(load(bare.port, ROUND).run().await?);
        durables.push(load(collector, ROUND).run().await?);
    }
    Ok((middle(bares), middle(durables)))
}

fn middle(mut rounds: Vec<Measured>) -> Measured {
    rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    rounds.swap_remove(rounds.len() / 2)
}

/// Clicks of a thousand visitors with a cookie, and as many without.
fn requests(code: &str) -> Vec<Vec<u8>> {
    (0..2_000)
        .map(|number| {
            let agent = AGENTS[number % AGENTS.len()];
            let cookie = match number % 2 {
                0 => String::new(),
                _ => format!("Cookie: tvid=visitor-{number:08}\r\n"),
            };
            format!(
                "GET /{code} HTTP/1.1\r\nHost: go.example\r\nUser-Agent: {agent}\r\n\
                 Referer: https://social.example/post/{number}\r\n{cookie}\r\n"
            )
            .into_bytes()
        })
        .collect()
}
