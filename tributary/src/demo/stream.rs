//! Acts the script out over the collector's public endpoints.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use domain::ids::hash_uuid;
use futures_util::future::try_join_all;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, USER_AGENT};
use runtime::shutdown::CancellationToken;
use serde_json::{Value, json};

use super::script::{Action, Step};
use super::world::World;
use crate::http_client::HttpClient;

/// The demo's day takes this long.
const DAY_TAKES: Duration = Duration::from_secs(12);
const DAY_MS: f64 = 27.0 * 3_600_000.0;
/// Steps between two notes of how far the script has been played.
const CHUNK: usize = 200;

/// Where the script is played.
struct Stage<'a> {
    http: &'a HttpClient,
    base: &'a str,
    authorization: String,
    world: &'a World,
    /// The newest click token of each visitor and link.
    tokens: Arc<Mutex<HashMap<(u64, usize), String>>>,
}

/// Plays the rest of the script; stops between two chunks when told to.
pub(crate) async fn play(
    http: &HttpClient,
    base: &str,
    world: &mut World,
    script: &[Step],
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    say!("Playing a day of clicks, conversions and sales ({} requests) …", script.len() - world.done);
    let tokens = Arc::default();
    let started = Instant::now();
    let from_ms = script[world.done].at_ms;
    while world.done < script.len() && !stop.is_cancelled() {
        let chunk = &script[world.done..script.len().min(world.done + CHUNK)];
        let authorization = format!("Bearer {}", world.api_key);
        let stage = Stage { http, base, authorization, world, tokens: Arc::clone(&tokens) };
        // Each visitor's steps in order; visitors beside each other.
        let mut by_visitor: HashMap<u64, Vec<&Step>> = HashMap::new();
        for step in chunk {
            by_visitor.entry(step.visitor).or_default().push(step);
        }
        try_join_all(by_visitor.into_values().map(|steps| stage.act(steps))).await?;
        world.done += chunk.len();
        world.save()?;
        progress(world.done, script.len());
        let last_ms = chunk.last().map_or(from_ms, |step| step.at_ms);
        #[allow(clippy::cast_precision_loss, reason = "a pace, not money")]
        let due = DAY_TAKES.mul_f64((last_ms - from_ms) as f64 / DAY_MS);
        tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
    }
    Ok(())
}

fn progress(done: usize, total: usize) {
    let bar = "█".repeat(done * 40 / total);
    if std::io::stdout().is_terminal() {
        print!("\r  {bar:<40} {done:>5} of {total}");
        if done == total {
            say!();
        }
        let _flushed = std::io::stdout().flush();
    } else if done == total || done.is_multiple_of(1_000) {
        say!("  {done:>5} of {total}");
    }
}

/// A visitor's cookie; the demo's people have all been here before.
fn visitor_id(visitor: u64) -> String {
    hash_uuid("demo-visitor", &[&visitor.to_be_bytes()]).simple().to_string()
}

impl Stage<'_> {
    async fn act(&self, steps: Vec<&Step>) -> anyhow::Result<()> {
        for step in steps {
            match &step.action {
                Action::Click { link, agent } => self.click(step.visitor, *link, agent).await?,
                Action::Page { link } => {
                    let url = format!("https://shop.example/{}", self.world.links[*link].objective);
                    let page = json!({ "type": "page", "url": url, "title": "Shop" });
                    self.event("/v1/events", step.visitor, *link, page).await?;
                }
                Action::Conversion { link, number } => {
                    let conversion = json!({ "id": format!("goal-{number}"), "goal": "signup" });
                    self.event("/v1/conversions", step.visitor, *link, conversion).await?;
                }
                Action::Sale { link, number, amount_minor } => {
                    let value = json!({ "amount_minor": amount_minor, "currency": "USD" });
                    let sale = json!({ "order_id": format!("order-{number}"), "value": value });
                    self.event("/v1/sales", step.visitor, *link, sale).await?;
                }
            }
        }
        Ok(())
    }

    async fn click(&self, visitor: u64, link: usize, agent: &str) -> anyhow::Result<()> {
        let url = format!("{}/{}", self.base, self.world.links[link].code);
        let cookie = format!("tvid={}", visitor_id(visitor));
        let headers = [(USER_AGENT, agent), (COOKIE, cookie.as_str())];
        let answer = self.http.send(Method::GET, &url, &headers, "").await?;
        let location = answer.header("location");
        let (_, token) = location.rsplit_once("tcid=").with_context(|| {
            format!("{url} answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body))
        })?;
        self.tokens.lock().expect("no panic while held").insert((visitor, link), token.to_owned());
        Ok(())
    }

    async fn event(&self, path: &str, visitor: u64, link: usize, mut event: Value) -> anyhow::Result<()> {
        let token = self.tokens.lock().expect("no panic while held").get(&(visitor, link)).cloned();
        match token {
            Some(token) => event["tcid"] = token.into(),
            None => event["visitor_id"] = visitor_id(visitor).into(),
        }
        let agent = super::script::PEOPLE[0];
        let headers = [
            (AUTHORIZATION, self.authorization.as_str()),
            (CONTENT_TYPE, "application/json"),
            (USER_AGENT, agent),
        ];
        let url = format!("{}{path}", self.base);
        let answer = self.http.send(Method::POST, &url, &headers, serde_json::to_vec(&event)?).await?;
        if !answer.status.is_success() {
            bail!("{url} answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        Ok(())
    }
}
