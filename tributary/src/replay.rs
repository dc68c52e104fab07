//! `tributary replay`: sends a web server's access log through the collector,
//! open-loop, and measures the answers.
//!
//! Open-loop: each request has its moment, whatever became of those before it.
//! Latency counts from that moment, not from when a connection was free, so a
//! collector that falls behind shows it (no coordinated omission).

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use hdrhistogram::Histogram;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, REFERER, USER_AGENT};
use runtime::clock::now_ms;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::combined::Line;
use crate::http_client::{ApiClient, HttpClient};
use crate::settings::Settings;

mod combined;

/// Requests in progress at once, at most; what waits beyond it counts as
/// latency.
const MAX_IN_PROGRESS: usize = 512;
/// Bad lines shown.
const MAX_SHOWN: usize = 5;

#[derive(Args)]
pub(crate) struct ReplayArgs {
    /// The log
    file: PathBuf,

    /// The log's format
    #[arg(long, default_value = "combined", value_name = "FORMAT")]
    format: LogFormat,

    /// Requests per second
    #[arg(long, default_value_t = 500.0, value_name = "N")]
    rate: f64,

    /// Workspace, by id or slug; its links make a line a click
    #[arg(long, default_value = "oros-demo", value_name = "ID|SLUG")]
    workspace: String,

    /// Which time the page events carry
    #[arg(long, default_value = "shifted", value_name = "WHICH")]
    time: TimeMode,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Apache's and nginx's combined format
    Combined,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TimeMode {
    /// The log's times, moved so that the last is now
    Shifted,
    /// The log's own times
    Original,
    /// The time of sending
    Now,
}

/// A line that cannot be read: its number, and why.
type BadLine = (usize, String);

/// What one request measured.
struct Measured {
    is_click: bool,
    latency: Duration,
    outcome: Result<(), String>,
}

pub(crate) async fn run(settings: &Settings, args: ReplayArgs) -> anyhow::Result<()> {
    if !(args.rate > 0.0 && args.rate <= 1_000_000.0) {
        bail!("--rate is {}; it must be above 0 and at most 1000000", args.rate);
    }
    let (lines, bad) = read(&args)?;
    let http = HttpClient::new();
    let api = ApiClient::new(http.clone(), settings.api_listen, &settings.admin_key()?);
    let codes = link_codes(&api, &args.workspace).await?;
    let key =
        api.post(&format!("/v1/keys?workspace={}", args.workspace), &json!({ "name": "replay" })).await?;
    let key = key["api_key"].as_str().context("the API gave no key")?.to_owned();
    let target = Arc::new(Target {
        http,
        base: format!("http://{}", settings.listen),
        authorization: format!("Bearer {key}"),
        codes,
        shift_ms: shift(&lines, args.time),
    });
    let started = Instant::now();
    let measured = send_all(&target, lines, args.rate).await;
    report(&args, &measured, &bad, started.elapsed())
}

/// The lines that can be read, and those that cannot with their numbers.
fn read(args: &ReplayArgs) -> anyhow::Result<(Vec<Line>, Vec<BadLine>)> {
    let file = std::fs::File::open(&args.file).with_context(|| args.file.display().to_string())?;
    let mut lines = Vec::new();
    let mut bad = Vec::new();
    for (number, text) in (1..).zip(BufReader::new(file).split(b'\n')) {
        let text = text.with_context(|| args.file.display().to_string())?;
        match combined::parse(&String::from_utf8_lossy(&text)) {
            Ok(line) => lines.push(line),
            Err(reason) => bad.push((number, reason.to_string())),
        }
    }
    Ok((lines, bad))
}

async fn link_codes(api: &ApiClient, workspace: &str) -> anyhow::Result<HashSet<String>> {
    let links = api.get(&format!("/v1/links?workspace={workspace}")).await?;
    let links = links["links"].as_array().context("the API gave no links")?;
    Ok(links.iter().filter_map(|link| Some(link["code"].as_str()?.to_owned())).collect())
}

/// What is added to the log's times; `None` for the time of sending.
fn shift(lines: &[Line], mode: TimeMode) -> Option<i64> {
    match mode {
        TimeMode::Now => None,
        TimeMode::Original => Some(0),
        TimeMode::Shifted => {
            let last_ms = lines.iter().map(|line| line.at_ms).max()?;
            Some(now_ms() - last_ms)
        }
    }
}

/// Where requests go.
struct Target {
    http: HttpClient,
    base: String,
    authorization: String,
    codes: HashSet<String>,
    shift_ms: Option<i64>,
}

impl Target {
    async fn send(&self, line: &Line) -> (bool, Result<(), String>) {
        let code = line.path.trim_start_matches('/').split(['?', '#']).next().unwrap_or_default();
        let is_click = self.codes.contains(code);
        let answer = if is_click { self.click(line, code).await } else { self.page(line).await };
        let outcome = match answer {
            Ok(answer) if answer.status.is_success() || answer.status.is_redirection() => Ok(()),
            Ok(answer) => Err(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body))),
            Err(error) => Err(format!("{error:#}")),
        };
        (is_click, outcome)
    }

    async fn click(&self, line: &Line, code: &str) -> anyhow::Result<crate::http_client::Answer> {
        let mut headers = vec![];
        headers.extend(line.user_agent.as_deref().map(|agent| (USER_AGENT, agent)));
        headers.extend(line.referrer.as_deref().map(|referrer| (REFERER, referrer)));
        self.http.send(Method::GET, &format!("{}/{code}", self.base), &headers, "").await
    }

    async fn page(&self, line: &Line) -> anyhow::Result<crate::http_client::Answer> {
        let mut event = json!({
            "type": "page",
            "visitor_id": line.visitor_id(),
            "url": line.path.chars().take(500).collect::<String>(),
            "ip": line.address,
            "properties": { "method": line.method, "status": line.status, "bytes": line.bytes },
        });
        if let Some(shift_ms) = self.shift_ms {
            event["timestamp"] = (line.at_ms + shift_ms).into();
        }
        // An agent that is not there stays away: the collector would else take
        // this program's own.
        event["user_agent"] = line.user_agent.as_deref().unwrap_or(" ").into();
        if let Some(referrer) = &line.referrer {
            event["referrer"] = referrer.as_str().into();
        }
        let headers = [(AUTHORIZATION, self.authorization.as_str()), (CONTENT_TYPE, "application/json")];
        let url = format!("{}/v1/events", self.base);
        self.http.send(Method::POST, &url, &headers, serde_json::to_vec(&event)?).await
    }
}

/// Sends every line at its moment.
async fn send_all(target: &Arc<Target>, lines: Vec<Line>, rate: f64) -> Vec<Measured> {
    let total = lines.len();
    let permits = Arc::new(Semaphore::new(MAX_IN_PROGRESS));
    let started = Instant::now();
    let mut sending = JoinSet::new();
    let mut measured = Vec::with_capacity(total);
    for (index, line) in (0_u32..).zip(lines) {
        let due = started + Duration::from_secs_f64(f64::from(index) / rate);
        tokio::time::sleep_until(due.into()).await;
        let (target, permits) = (Arc::clone(target), Arc::clone(&permits));
        sending.spawn(async move {
            let _permit = permits.acquire().await.expect("never closed");
            let (is_click, outcome) = target.send(&line).await;
            Measured { is_click, latency: due.elapsed(), outcome }
        });
        while let Some(done) = sending.try_join_next() {
            measured.extend(done.ok());
        }
        if index.is_multiple_of(500) {
            progress(measured.len(), total);
        }
    }
    while let Some(done) = sending.join_next().await {
        measured.extend(done.ok());
    }
    progress(total, total);
    measured
}

#[allow(clippy::print_stderr, reason = "progress for whoever watches")]
fn progress(done: usize, total: usize) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{done} of {total} ");
        if done == total {
            eprintln!();
        }
        let _flushed = std::io::stderr().flush();
    }
}

fn report(args: &ReplayArgs, measured: &[Measured], bad: &[BadLine], took: Duration) -> anyhow::Result<()> {
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3)?;
    for one in measured.iter().filter(|one| one.outcome.is_ok()) {
        latencies.saturating_record(u64::try_from(one.latency.as_micros()).unwrap_or(u64::MAX));
    }
    let ok = measured.iter().filter(|one| one.outcome.is_ok()).count();
    let clicks = measured.iter().filter(|one| one.is_click).count();
    let failures: Vec<&String> = measured.iter().filter_map(|one| one.outcome.as_ref().err()).collect();
    #[allow(clippy::cast_precision_loss, reason = "milliseconds for people")]
    let ms = |quantile: f64| latencies.value_at_quantile(quantile) as f64 / 1_000.0;
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let achieved = measured.len() as f64 / took.as_secs_f64();
    if args.json {
        let report = json!({
            "sent": measured.len(), "clicks": clicks, "pages": measured.len() - clicks, "ok": ok,
            "failed": failures.len(), "bad_lines": bad.len(), "rate_wanted": args.rate,
            "rate_achieved": achieved,
            "latency_ms": { "p50": ms(0.5), "p90": ms(0.9), "p99": ms(0.99), "p999": ms(0.999), "max": ms(1.0) },
        });
        say!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        say!(
            "sent      {} requests in {:.1} s ({achieved:.0}/s, {:.0}/s wanted): {clicks} clicks, {} page events",
            measured.len(),
            took.as_secs_f64(),
            args.rate,
            measured.len() - clicks
        );
        say!("answered  {ok} with success, {} not", failures.len());
        say!("bad lines {}", bad.len());
        for (number, reason) in bad.iter().take(MAX_SHOWN) {
            say!("          line {number}: {reason}");
        }
        say!(
            "latency   p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms (from the moment each was due)",
            ms(0.5),
            ms(0.9),
            ms(0.99),
            ms(0.999),
            ms(1.0)
        );
        for failure in failures.iter().take(MAX_SHOWN) {
            say!("failed    {failure}");
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!("{} requests failed", failures.len()) }
}
