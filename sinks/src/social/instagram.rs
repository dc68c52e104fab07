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
        let answer =
            fetcher.get(&format!("{base}/{}{edge}?{query}", account.external_id), None, token).await?;
        if answer.status == StatusCode::OK { Ok(answer.json) } else { Err(error(&answer, now_ms())) }
    };
    let profile = ask("", &[("fields", "followers_count,follows_count,media_count")]).await?;
    let mut media = Media { posts: Vec::new(), is_all: true };
    let mut after: Option<String> = None;
    for number in 1..=MAX_PAGES {
        let mut pairs = vec![("fields", "id,like_count,comments_count,timestamp"), ("limit", PAGE)];
        pairs.extend(after.as_deref().map(|after| ("after", after)));
        let page = ask("/media", &pairs).await?;
        media.add(&page)?;
        if page.pointer("/paging/next").is_none() {
            break;
        }
        after = page.pointer("/paging/cursors/after").and_then(Value::as_str).map(ToOwned::to_owned);
        if after.is_none() || number == MAX_PAGES {
            media.is_all = false;
            break;
        }
    }
    readings(account, &profile, media, now_ms())
}

/// Posts, and whether there are no others.
struct Media {
    posts: Vec<Post>,
    is_all: bool,
}

impl Media {
    /// Adds a page of them.
    fn add(&mut self, page: &Value) -> Result<(), FetchError> {
        let data = page.get("data").and_then(Value::as_array);
        let data = data.ok_or_else(|| FetchError::Refused("no list of media".to_owned()))?;
        let before = self.posts.len();
        self.posts.extend(data.iter().filter_map(post));
        self.is_all &= self.posts.len() == before + data.len();
        Ok(())
    }
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
    media: Media,
    now_ms: i64,
) -> Result<Vec<Reading>, FetchError> {
    let count = |name: &str| profile.get(name).and_then(Value::as_u64);
    let is_all = media.is_all && count("media_count") == Some(media.posts.len() as u64);
    let sum = |of: fn(&Figures) -> Option<u64>| {
        let sum: Option<u64> = media.posts.iter().map(|post| of(&post.figures)).sum();
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
    let of_posts = media.posts.into_iter().filter(|post| post.figures.check().is_ok());
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

    fn post_of(id: &str, likes: Option<u64>) -> Value {
        let mut post = json!({ "id": id, "comments_count": 1, "timestamp": "2026-11-01T12:00:00+0000" });
        if let Some(likes) = likes {
            post["like_count"] = json!(likes);
        }
        post
    }

    #[test]
    fn accounts_have_the_likes_of_all_their_posts() {
        let check = |media_count: u64, pages: &[Value], expected: (Option<u64>, Option<u64>)| {
            let mut media = Media { posts: Vec::new(), is_all: true };
            pages.iter().for_each(|page| media.add(&json!({ "data": page })).unwrap());
            let profile = json!({ "followers_count": 7, "follows_count": 2, "media_count": media_count });
            let read = readings(&account(), &profile, media, NOW_MS).unwrap();
            let figures = read[0].figures;
            assert_eq!((figures.followers, figures.posts), (Some(7), Some(media_count)));
            assert_eq!((figures.likes, figures.comments), expected, "{pages:?}");
            read
        };
        let (one, two, hidden) = (post_of("1", Some(5)), post_of("2", Some(6)), post_of("3", None));
        let read = check(2, &[json!([one]), json!([two])], (Some(11), Some(2)));
        assert_eq!(
            (&*read[1].post, read[1].published_at_ms, read[1].figures.likes),
            ("1", Some(1_793_534_400_000), Some(5))
        );
        check(0, &[json!([])], (Some(0), Some(0)));
        // One hides its likes; there are more than were listed; one cannot be read.
        check(2, &[json!([one, hidden])], (None, Some(2)));
        check(3, &[json!([one, two])], (None, None));
        check(2, &[json!([one, { "like_count": 9 }])], (None, None));
    }

    #[test]
    fn what_is_no_list_is_none() {
        let mut media = Media { posts: Vec::new(), is_all: true };
        assert_eq!(media.add(&Value::Null).unwrap_err().code(), "refused");
        assert_eq!(readings(&account(), &Value::Null, media, NOW_MS).unwrap_err().code(), "refused");
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
