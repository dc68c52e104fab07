//! Instagram's Graph API: a professional account and its media
//! (<https://developers.facebook.com/docs/instagram-platform/instagram-graph-api/reference/ig-user>,
//! …`/ig-user/media`; errors: <https://developers.facebook.com/docs/graph-api/guides/error-handling>,
//! limits: …`/docs/graph-api/overview/rate-limiting`).

use domain::social::{FetchError, Figures, is_external_id};
use domain::timestamp::read_rfc3339;
use form_urlencoded::Serializer;
use hyper::StatusCode;
use runtime::clock::now_ms;
use serde_json::Value;
use store::social::{DueAccount, Reading};

use super::fetch::{Answer, Fetcher, short};

/// Media in an answer, and answers that are asked for at most.
const PAGE: &str = "100";
const MAX_PAGES: usize = 10;

/// What an account has, and each of its latest posts, as of now.
pub(super) async fn fetch(
    fetcher: &Fetcher,
    account: &DueAccount,
    token: Option<&str>,
) -> Result<Vec<Reading>, FetchError> {
    let token = token.ok_or(FetchError::NoToken)?;
    let base = fetcher.settings.instagram_url.trim_end_matches('/');
    let ask = async |edge: &str, pairs: &[(&str, &str)]| {
        let query =
            Serializer::new(String::new()).extend_pairs(pairs).append_pair("access_token", token).finish();
        let answer = fetcher.get(&format!("{base}/{}{edge}?{query}", account.external_id), None).await?;
        if answer.status == StatusCode::OK { Ok(answer.json) } else { Err(error(&answer, now_ms())) }
    };
    let profile = ask("", &[("fields", "followers_count,follows_count,media_count")]).await?;
    let mut media = Vec::new();
    let mut after = None;
    for _ in 0..MAX_PAGES {
        let mut pairs = vec![("fields", "id,like_count,comments_count,timestamp"), ("limit", PAGE)];
        pairs.extend(after.as_deref().map(|after| ("after", after)));
        let page = ask("/media", &pairs).await?;
        media.extend(page.get("data").and_then(Value::as_array).into_iter().flatten().filter_map(post));
        after = next(&page);
        if after.is_none() {
            break;
        }
    }
    readings(account, &profile, media, after.is_none(), now_ms())
}

/// Where the next page begins, if there is one.
fn next(page: &Value) -> Option<String> {
    page.pointer("/paging/next")?;
    page.pointer("/paging/cursors/after").and_then(Value::as_str).map(ToOwned::to_owned)
}

/// A post.
struct Post {
    id: String,
    published_at_ms: Option<i64>,
    figures: Figures,
}

fn post(media: &Value) -> Option<Post> {
    let id = media.get("id")?.as_str().filter(|id| is_external_id(id))?.to_owned();
    // As 2026-11-01T12:00:00+0000, which RFC 3339 writes with a colon.
    let published_at_ms = media.get("timestamp").and_then(Value::as_str).and_then(|text| {
        let (moment, zone) = text.split_at_checked(text.len().checked_sub(2)?)?;
        read_rfc3339(text).or_else(|| read_rfc3339(&format!("{moment}:{zone}")))
    });
    let count = |name: &str| media.get(name).and_then(Value::as_u64);
    let figures =
        Figures { likes: count("like_count"), comments: count("comments_count"), ..Figures::default() };
    Some(Post { id, published_at_ms, figures })
}

/// The account's reading, and those of its posts. Its likes and comments are the sums of
/// its posts', where all of them are there and say so.
fn readings(
    account: &DueAccount,
    profile: &Value,
    media: Vec<Post>,
    is_all: bool,
    now_ms: i64,
) -> Result<Vec<Reading>, FetchError> {
    let count = |name: &str| profile.get(name).and_then(Value::as_u64);
    let sum = |of: fn(&Figures) -> Option<u64>| {
        let sum: Option<u64> = media.iter().map(|post| of(&post.figures)).sum();
        sum.filter(|_| is_all)
    };
    let figures = Figures {
        followers: count("followers_count"),
        following: count("follows_count"),
        posts: count("media_count"),
        likes: sum(|figures| figures.likes),
        comments: sum(|figures| figures.comments),
        ..Figures::default()
    };
    let reading = |post: String, published_at_ms: Option<i64>, figures: Figures| Reading {
        account: account.id,
        post,
        published_at_ms,
        captured_at_ms: now_ms,
        figures,
    };
    if figures.followers.is_none() {
        return Err(FetchError::Refused("without followers_count".to_owned()));
    }
    figures.check().map_err(FetchError::Refused)?;
    let mut readings = vec![reading(String::new(), None, figures)];
    let of_posts = media.into_iter().filter(|post| post.figures.check().is_ok());
    readings.extend(of_posts.map(|post| reading(post.id, post.published_at_ms, post.figures)));
    Ok(readings)
}

fn error(answer: &Answer, now_ms: i64) -> FetchError {
    let error = &answer.json["error"];
    let number = |name: &str| error.get(name).and_then(Value::as_i64);
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
    match (number("code"), number("error_subcode")) {
        // The token expired, was revoked, or its session is over.
        (Some(102 | 190), _) => FetchError::TokenExpired(short(message)),
        // Limits of the app, the user, the page, and of business use cases.
        (Some(4 | 17 | 32 | 613 | 80_001..=80_014), _) => {
            FetchError::Quota { until_ms: answer.retry_at_ms().or_else(|| regained_at_ms(answer, now_ms)) }
        }
        (Some(803), _) | (Some(100), Some(33)) => FetchError::NotFound,
        _ if answer.status == StatusCode::TOO_MANY_REQUESTS => {
            FetchError::Quota { until_ms: answer.retry_at_ms() }
        }
        _ => answer.refused(message),
    }
}

/// When requests are taken again, by the header that tells how much was used.
fn regained_at_ms(answer: &Answer, now_ms: i64) -> Option<i64> {
    let header = answer.headers.get("x-business-use-case-usage")?.to_str().ok()?;
    let usage: Value = serde_json::from_str(header).ok()?;
    let uses = usage.as_object()?.values().filter_map(Value::as_array).flatten();
    let minutes = uses.filter_map(|used| used.get("estimated_time_to_regain_access")?.as_i64()).max()?;
    (1..=7 * 24 * 60).contains(&minutes).then(|| now_ms + minutes * 60_000)
}

#[cfg(test)]
mod tests {
    use domain::social::{Plan, Platform};
    use hyper::HeaderMap;
    use serde_json::json;
    use store::social::Token;
    use uuid::Uuid;

    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn account() -> DueAccount {
        DueAccount {
            id: Uuid::nil(),
            platform: Platform::Instagram,
            external_id: "17".to_owned(),
            plan: Plan::Pro,
            token: Token::default(),
            failures: 0,
        }
    }

    #[test]
    fn accounts_have_the_likes_of_all_their_posts() {
        let profile = json!({ "followers_count": 7, "follows_count": 2, "media_count": 2, "id": "17" });
        let media = [
            json!({ "id": "1", "like_count": 5, "comments_count": 1, "timestamp": "2026-11-01T12:00:00+0000" }),
            json!({ "id": "2", "comments_count": 2, "timestamp": "at noon" }),
            json!({ "like_count": 9 }),
        ];
        let posts = || media.iter().filter_map(post).collect::<Vec<_>>();
        let read = |media, is_all| readings(&account(), &profile, media, is_all, NOW_MS).unwrap();
        let all = read(posts(), true);
        let told: Vec<_> = all
            .iter()
            .map(|reading| {
                (
                    reading.post.as_str(),
                    reading.published_at_ms,
                    reading.figures.likes,
                    reading.figures.comments,
                )
            })
            .collect();
        // One post hides its likes.
        assert_eq!(
            told,
            [
                ("", None, None, Some(3)),
                ("1", Some(1_793_534_400_000), Some(5), Some(1)),
                ("2", None, None, Some(2))
            ]
        );
        assert_eq!((all[0].figures.followers, all[0].figures.posts), (Some(7), Some(2)));
        // There are more than were asked for.
        assert_eq!(read(posts(), false)[0].figures.comments, None);
        assert_eq!(read(Vec::new(), true)[0].figures.likes, Some(0));
        let nothing = readings(&account(), &Value::Null, Vec::new(), true, NOW_MS);
        assert_eq!(nothing.unwrap_err().code(), "refused");
    }

    #[test]
    fn pages_follow_each_other() {
        let cursors = json!({ "cursors": { "before": "a", "after": "b" } });
        assert_eq!(next(&json!({ "data": [], "paging": cursors })), None);
        let mut paging = cursors;
        paging["next"] = json!("https://graph.facebook.com/…");
        assert_eq!(next(&json!({ "data": [], "paging": paging })).as_deref(), Some("b"));
    }

    #[test]
    fn errors_say_what_helps() {
        let of = |code: i64, subcode: i64, headers: HeaderMap| {
            let json = json!({ "error": { "message": "m", "type": "OAuthException", "code": code, "error_subcode": subcode } });
            error(&Answer { status: StatusCode::BAD_REQUEST, headers, json }, NOW_MS)
        };
        for (code, subcode, expected) in [
            (190, 463, "token_expired"),
            (102, 0, "token_expired"),
            (4, 0, "quota_exceeded"),
            (80_002, 0, "quota_exceeded"),
            (100, 33, "account_not_found"),
            (100, 0, "refused"),
            (2, 0, "refused"),
        ] {
            assert_eq!(of(code, subcode, HeaderMap::new()).code(), expected, "{code}");
        }
        let mut headers = HeaderMap::new();
        let usage = r#"{"17":[{"type":"instagram","call_count":100,"estimated_time_to_regain_access":19}]}"#;
        headers.insert("x-business-use-case-usage", usage.parse().unwrap());
        assert_eq!(of(80_002, 0, headers), FetchError::Quota { until_ms: Some(NOW_MS + 19 * 60_000) });
        let json = Value::Null;
        let answer = Answer { status: StatusCode::BAD_GATEWAY, headers: HeaderMap::new(), json };
        assert_eq!(error(&answer, NOW_MS).code(), "refused");
    }
}
