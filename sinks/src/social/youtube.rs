//! YouTube's Data API: `channels.list`, part `statistics`
//! (<https://developers.google.com/youtube/v3/docs/channels/list>; errors:
//! <https://developers.google.com/youtube/v3/docs/errors>).

use domain::social::{FetchError, Figures};
use form_urlencoded::Serializer;
use hyper::StatusCode;
use runtime::clock::now_ms;
use serde_json::Value;
use store::social::{DueAccount, Reading};

use super::fetch::{Answer, Fetcher, short};

/// What a channel has, as of now.
pub(super) async fn fetch(
    fetcher: &Fetcher,
    account: &DueAccount,
    token: Option<&str>,
) -> Result<Vec<Reading>, FetchError> {
    let key = match token {
        Some(_) => None,
        None => Some(fetcher.settings.youtube_key.as_deref().ok_or(FetchError::NoToken)?),
    };
    let query = Serializer::new(String::new())
        .append_pair("part", "statistics")
        .append_pair("id", &account.external_id)
        .extend_pairs(key.map(|key| ("key", key)))
        .finish();
    let base = fetcher.settings.youtube_url.trim_end_matches('/');
    let secret = token.or(key).unwrap_or_default();
    let answer = fetcher.get(&format!("{base}/youtube/v3/channels?{query}"), token, secret).await?;
    let figures = read(&answer, token.is_some())?;
    Ok(vec![Reading {
        account: account.id,
        post: String::new(),
        published_at_ms: None,
        captured_at_ms: now_ms(),
        figures,
    }])
}

/// The figures in an answer.
fn read(answer: &Answer, has_token: bool) -> Result<Figures, FetchError> {
    if answer.status != StatusCode::OK {
        return Err(error(answer, has_token));
    }
    let Some(statistics) = answer.json.pointer("/items/0/statistics") else {
        // A channel that is not there is left out of the list.
        let is_list = answer.json.pointer("/pageInfo").is_some() || answer.json.get("items").is_some();
        return Err(if is_list { FetchError::NotFound } else { answer.refused("no list of channels") });
    };
    // Counts are written as texts.
    let count = |name: &str| statistics.get(name).and_then(Value::as_str).and_then(|text| text.parse().ok());
    let hides_subscribers = statistics.get("hiddenSubscriberCount") == Some(&Value::Bool(true));
    let figures = Figures {
        followers: count("subscriberCount").filter(|_| !hides_subscribers),
        views: count("viewCount"),
        posts: count("videoCount"),
        ..Figures::default()
    };
    figures.check().map_err(|problem| answer.refused(&problem))?;
    Ok(figures)
}

fn error(answer: &Answer, has_token: bool) -> FetchError {
    let text = |pointer: &str| answer.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (reason, message) = (text("/error/errors/0/reason"), text("/error/message"));
    match (answer.status, reason) {
        (_, "quotaExceeded" | "dailyLimitExceeded" | "rateLimitExceeded" | "userRateLimitExceeded")
        | (StatusCode::TOO_MANY_REQUESTS, _) => FetchError::Quota { until_ms: answer.retry_at_ms() },
        (StatusCode::UNAUTHORIZED, _) if has_token => FetchError::TokenExpired(short(message)),
        (StatusCode::NOT_FOUND, _) => FetchError::NotFound,
        _ => answer.refused(if message.is_empty() { reason } else { message }),
    }
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use serde_json::json;

    use super::*;

    fn check(status: u16, json: Value, expected: Result<Figures, &str>) {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers: HeaderMap::new(), json };
        let read = read(&answer, true);
        assert_eq!(
            read.as_ref().map_err(FetchError::code),
            expected.as_ref().map_err(|code| *code),
            "{answer:?}"
        );
    }

    #[test]
    fn channels_have_figures() {
        let list = |statistics: Value| json!({ "items": [{ "id": "UC", "statistics": statistics }] });
        let figures = |followers| Figures { followers, views: Some(9), posts: Some(0), ..Figures::default() };
        let counts = json!({ "viewCount": "9", "subscriberCount": "4", "videoCount": "0", "hiddenSubscriberCount": false });
        check(200, list(counts.clone()), Ok(figures(Some(4))));
        let mut hidden = counts;
        hidden["hiddenSubscriberCount"] = json!(true);
        check(200, list(hidden), Ok(figures(None)));
        check(200, json!({ "pageInfo": { "totalResults": 0 } }), Err("account_not_found"));
        check(200, json!({ "items": [] }), Err("account_not_found"));
        check(200, list(json!({})), Err("refused"));
        check(200, Value::Null, Err("refused"));
    }

    #[test]
    fn errors_say_what_helps() {
        let error = |reason: &str| json!({ "error": { "message": "m", "errors": [{ "reason": reason }] } });
        for (status, reason, expected) in [
            (403, "quotaExceeded", "quota_exceeded"),
            (403, "rateLimitExceeded", "quota_exceeded"),
            (429, "", "quota_exceeded"),
            (401, "authError", "token_expired"),
            (403, "forbidden", "refused"),
            (400, "keyInvalid", "refused"),
            (404, "channelNotFound", "account_not_found"),
            (500, "backendError", "refused"),
        ] {
            check(status, error(reason), Err(expected));
        }
        check(502, Value::Null, Err("refused"));
    }
}
