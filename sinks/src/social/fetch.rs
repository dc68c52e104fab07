//! Asks platforms over HTTP, and reads their JSON.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::social::FetchError;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use runtime::clock::now_ms;
use runtime::sealed::SealingKey;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use store::social::DueAccount;

/// A platform that has not answered after this is away.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// No answer is larger.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Where platforms are asked, and with what.
#[derive(Clone, Debug)]
pub struct FetchSettings {
    /// YouTube's Data API, without `/youtube/v3`.
    pub youtube_url: String,
    /// The deployment's key for it, for accounts without a token of their own.
    pub youtube_key: Option<String>,
    /// Instagram's Graph API, with its version.
    pub instagram_url: String,
}

/// Asks platforms.
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    pub(super) settings: FetchSettings,
    key: Option<SealingKey>,
}

/// What a platform answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) json: Value,
}

impl Answer {
    /// From when on it may be asked again, by its `Retry-After`, in milliseconds since
    /// 1970.
    pub(super) fn retry_at_ms(&self) -> Option<i64> {
        let seconds: i64 = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        (0..=86_400 * 7).contains(&seconds).then(|| now_ms() + seconds * 1_000)
    }

    /// What it says, where nothing better is known of it.
    pub(super) fn refused(&self, message: &str) -> FetchError {
        FetchError::Refused(format!("{}: {}", self.status.as_u16(), short(message)))
    }
}

/// Messages of others are shown, and kept, up to here.
pub(super) fn short(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).take(300).collect()
}

impl Fetcher {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(settings: FetchSettings, key: Option<SealingKey>) -> Result<Self, rustls::Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        let config = match builder.clone().with_native_roots() {
            Ok(config) => config,
            Err(error) => {
                // Accounts then tell what they failed of.
                tracing::warn!(%error, "this machine has no root certificates; install ca-certificates");
                builder.with_root_certificates(RootCertStore::empty())
            }
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config.with_no_client_auth())
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), settings, key })
    }

    /// The account's own token, opened.
    pub(super) fn token(&self, account: &DueAccount, now_ms: i64) -> Result<Option<String>, FetchError> {
        let Some(sealed) = &account.token.sealed else { return Ok(None) };
        if account.token.expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= now_ms) {
            return Err(FetchError::TokenExpired("its time is over".to_owned()));
        }
        let sealed_up = FetchError::Sealed;
        let key = self.key.as_ref().ok_or_else(|| sealed_up("set --secrets-key".to_owned()))?;
        let opened = key.open(account.id.as_bytes(), sealed).map_err(|error| sealed_up(error.to_string()))?;
        String::from_utf8(opened).map(Some).map_err(|_| sealed_up("it is no text".to_owned()))
    }

    /// Asks, and reads the answer's JSON, whatever its status. Neither the address, which
    /// may hold it, nor the answer shows `secret`.
    pub(super) async fn get(
        &self,
        address: &str,
        bearer: Option<&str>,
        secret: &str,
    ) -> Result<Answer, FetchError> {
        let mut request = Request::get(address).header(ACCEPT, "application/json");
        if let Some(token) = bearer {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| FetchError::TokenExpired("it has characters that no token has".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let request = request
            .body(Empty::new())
            .map_err(|_| FetchError::Refused("nothing: its address cannot be read".to_owned()))?;
        let asked = async {
            let response =
                self.client.request(request).await.map_err(|error| FetchError::Unreachable(told(&error)))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES)
                .collect()
                .await
                .map_err(|error| FetchError::Unreachable(told(error.as_ref())))?
                .to_bytes();
            // What is no JSON has nothing in it.
            let mut json = serde_json::from_slice(&body).unwrap_or_default();
            take_out(&mut json, secret);
            Ok(Answer { status: parts.status, headers: parts.headers, json })
        };
        let late = |_| FetchError::Unreachable(format!("nothing within {} s", ANSWER_WITHIN.as_secs()));
        tokio::time::timeout(ANSWER_WITHIN, asked).await.map_err(late)?
    }
}

/// Takes a secret out of all texts of an answer, as it is or as it is written in addresses.
fn take_out(json: &mut Value, secret: &str) {
    match json {
        Value::String(text) if !secret.is_empty() => {
            let escaped: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            *text = text.replace(secret, "…").replace(&escaped, "…");
        }
        Value::Array(values) => values.iter_mut().for_each(|value| take_out(value, secret)),
        Value::Object(fields) => fields.values_mut().for_each(|value| take_out(value, secret)),
        _ => {}
    }
}

/// An error and what is behind it.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    short(&text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_not_told_on() {
        let answer = r#"{"error":{"message":"bad token a\/b","urls":["?t=a%2Fb&x",1]},"a":"b"}"#;
        let mut json = serde_json::from_str(answer).unwrap();
        take_out(&mut json, "a/b");
        assert_eq!(json, json!({ "error": { "message": "bad token …", "urls": ["?t=…&x", 1] }, "a": "b" }));
        take_out(&mut json, "");
        assert_eq!(json["a"], "b");
    }
}
