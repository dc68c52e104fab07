//! A small HTTP client for tests.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// A request without an answer is a test's failure, not its end.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// Sends requests as they are given.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer, wholly read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.text()))
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http() }
    }
}

impl Http {
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into()))?;
        let answer = async {
            let response = self.client.request(request).await?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            anyhow::Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
        };
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(answer) => answer.with_context(|| url.to_owned()),
            Err(_) => {
                bail!("{url}: no answer within {ANSWER_WITHIN:?}; its connections:\n{}", connections(url))
            }
        }
    }

    pub async fn get(&self, url: &str, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.send(Method::GET, url, headers, "").await
    }

    pub async fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        self.send(Method::POST, url, headers, body).await
    }
}

/// Who has connections with the port of `url`, as Linux tells it, with what has
/// been sent and not read: whether a request that nobody answers has got there.
fn connections(url: &str) -> String {
    let port = url.split(':').nth(2).and_then(|rest| rest.split('/').next()?.parse::<u16>().ok());
    let Some(port) = port else { return String::new() };
    let port = format!(":{port:04X} ");
    let all = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let ours = all.lines().enumerate().filter(|(number, line)| *number == 0 || line.contains(&port));
    ours.map(|(_, line)| format!("{line}\n")).collect()
}
