//! YouTube's and Instagram's APIs, as their documentation says they answer, on this
//! machine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

pub(super) const YOUTUBE_KEY: &str = "key-of-the-deployment";

/// How an account answers.
#[derive(Clone)]
pub(super) enum Account {
    /// A channel with subscribers and views.
    Channel { subscribers: u64, views: u64 },
    /// A profile with followers, and the likes of each of its posts; for whoever has the token.
    Profile { token: String, followers: u64, likes: Vec<u64> },
    /// Its project has used up its quota.
    OutOfQuota,
}

#[derive(Default)]
struct Served {
    accounts: HashMap<String, Account>,
    asked: HashMap<String, usize>,
}

/// The platforms.
#[derive(Clone, Default)]
pub(super) struct Platforms {
    served: Arc<Mutex<Served>>,
}

type Parameters = Query<HashMap<String, String>>;

impl Platforms {
    /// Starts them; gives their address.
    pub(super) async fn start(&self) -> anyhow::Result<String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let router = Router::new()
            .route("/youtube/v3/channels", get(channels))
            .route("/v23.0/{id}", get(profile))
            .route("/v23.0/{id}/media", get(media))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(address)
    }

    pub(super) fn set(&self, id: &str, account: Account) {
        self.served.lock().unwrap().accounts.insert(id.to_owned(), account);
    }

    /// How many requests there were about an account.
    pub(super) fn asked(&self, id: &str) -> usize {
        self.served.lock().unwrap().asked.get(id).copied().unwrap_or_default()
    }

    fn ask(&self, id: &str) -> Option<Account> {
        let mut served = self.served.lock().unwrap();
        *served.asked.entry(id.to_owned()).or_default() += 1;
        served.accounts.get(id).cloned()
    }
}

fn youtube_error(status: StatusCode, reason: &str) -> Response {
    let error = json!({ "code": status.as_u16(), "message": format!("{reason}, they say"),
        "errors": [{ "domain": "youtube.quota", "reason": reason, "message": reason }] });
    (status, Json(json!({ "error": error }))).into_response()
}

async fn channels(
    State(platforms): State<Platforms>,
    headers: HeaderMap,
    Query(query): Parameters,
) -> Response {
    let answer = match platforms.ask(&query["id"]) {
        _ if headers.contains_key("authorization") => {
            return youtube_error(StatusCode::UNAUTHORIZED, "authError");
        }
        _ if query.get("key").map(String::as_str) != Some(YOUTUBE_KEY) => {
            return youtube_error(StatusCode::BAD_REQUEST, "keyInvalid");
        }
        Some(Account::OutOfQuota) => return youtube_error(StatusCode::FORBIDDEN, "quotaExceeded"),
        Some(Account::Channel { subscribers, views }) => {
            let statistics = json!({ "viewCount": views.to_string(), "subscriberCount": subscribers.to_string(),
                "hiddenSubscriberCount": false, "videoCount": "12" });
            json!({ "kind": "youtube#channelListResponse",
                "items": [{ "kind": "youtube#channel", "id": query["id"], "statistics": statistics }] })
        }
        _ => json!({ "kind": "youtube#channelListResponse", "pageInfo": { "totalResults": 0 } }),
    };
    Json(answer).into_response()
}

/// A profile's followers and its posts' likes, for whoever has its token.
fn opened(
    platforms: &Platforms,
    id: &str,
    query: &HashMap<String, String>,
) -> Result<(u64, Vec<u64>), Box<Response>> {
    let error = |code: u32, subcode: u32| {
        // They tell on whoever asked.
        let message = format!("no: {}", query["access_token"]);
        let error = json!({ "message": message, "type": "OAuthException", "code": code,
            "error_subcode": subcode, "fbtrace_id": "A" });
        Err(Box::new((StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response()))
    };
    match platforms.ask(id) {
        Some(Account::Profile { token, followers, likes }) if query["access_token"] == token => {
            Ok((followers, likes))
        }
        Some(Account::Profile { .. }) => error(190, 463),
        _ => error(100, 33),
    }
}

async fn profile(
    State(platforms): State<Platforms>,
    Path(id): Path<String>,
    Query(query): Parameters,
) -> Response {
    match opened(&platforms, &id, &query) {
        Ok((followers, likes)) => Json(json!({ "followers_count": followers, "follows_count": 3,
            "media_count": likes.len(), "id": id }))
        .into_response(),
        Err(error) => *error,
    }
}

/// Two posts a page, whatever was asked for.
async fn media(
    State(platforms): State<Platforms>,
    Path(id): Path<String>,
    Query(query): Parameters,
) -> Response {
    let likes = match opened(&platforms, &id, &query) {
        Ok((_, likes)) => likes,
        Err(error) => return *error,
    };
    let from: usize = query.get("after").map_or(0, |after| after.parse().unwrap());
    let to = likes.len().min(from + 2);
    let posts: Vec<Value> = (from..to)
        .map(|number| {
            json!({ "id": format!("{id}_{number}"), "like_count": likes[number], "comments_count": 1,
            "timestamp": "2026-01-02T03:04:05+0000" })
        })
        .collect();
    let mut paging = json!({ "cursors": { "before": from.to_string(), "after": to.to_string() } });
    if to < likes.len() {
        paging["next"] = json!("https://graph.facebook.com/somewhere");
    }
    Json(json!({ "data": posts, "paging": paging })).into_response()
}
