//! A small HTTP client: what replays, the demo and reports need, and no more.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Keeps connections open; cheap to clone.
#[derive(Clone)]
pub(crate) struct HttpClient {
    inner: Client<HttpConnector, Full<Bytes>>,
}

/// An answer, wholly read.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// A header's text, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl HttpClient {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { inner: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Sends a request; headers that cannot be are an error.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(HeaderName, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value.as_bytes())
                .with_context(|| format!("the header {name} cannot be {value:?}"))?;
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.into()))?;
        let response = self.inner.request(request).await.with_context(|| format!("no answer from {url}"))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.with_context(|| format!("the answer from {url} broke off"))?;
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }
}

/// The control and report API, with its admin key.
#[derive(Clone)]
pub(crate) struct ApiClient {
    http: HttpClient,
    base: String,
    authorization: String,
}

impl ApiClient {
    pub(crate) fn new(http: HttpClient, address: std::net::SocketAddr, admin_key: &str) -> Self {
        let base = format!("http://{address}");
        Self { http, base, authorization: format!("Bearer {admin_key}") }
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, &Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, body).await
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.base);
        let headers = [(AUTHORIZATION, self.authorization.as_str()), (CONTENT_TYPE, "application/json")];
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
        let answer = self.http.send(method.clone(), &url, &headers, body).await?;
        if !answer.status.is_success() {
            bail!("{method} {url}: {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        serde_json::from_slice(&answer.body)
            .with_context(|| format!("{method} {url} did not answer with JSON"))
    }
}
