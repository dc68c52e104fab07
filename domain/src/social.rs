//! Accounts on social platforms: what is known of them, and when it is asked for
//! again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// YouTube.
    Youtube,
    /// Instagram.
    Instagram,
    /// TikTok.
    Tiktok,
    /// X, once Twitter.
    X,
    /// Twitch.
    Twitch,
    /// Facebook.
    Facebook,
    /// LinkedIn.
    Linkedin,
    /// Any other.
    Other,
}

impl Platform {
    /// Every platform.
    pub const ALL: [Self; 8] = [
        Self::Youtube,
        Self::Instagram,
        Self::Tiktok,
        Self::X,
        Self::Twitch,
        Self::Facebook,
        Self::Linkedin,
        Self::Other,
    ];

    /// The code, as in JSON and SQL.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Youtube => "youtube",
            Self::Instagram => "instagram",
            Self::Tiktok => "tiktok",
            Self::X => "x",
            Self::Twitch => "twitch",
            Self::Facebook => "facebook",
            Self::Linkedin => "linkedin",
            Self::Other => "other",
        }
    }

    /// The platform with this code.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.code() == code)
    }

    /// Whether its figures are fetched; those of the others are only reported.
    #[must_use]
    pub fn is_fetched(self) -> bool {
        matches!(self, Self::Youtube | Self::Instagram)
    }
}

/// How often an account is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// Once a day.
    #[default]
    Free,
    /// Once an hour.
    Pro,
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// An account that keeps failing is tried again after this at the latest.
const LONGEST_WAIT_MS: i64 = 6 * HOUR_MS;

impl Plan {
    /// The code, as in JSON and SQL.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
        }
    }

    /// The plan with this code.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        [Self::Free, Self::Pro].into_iter().find(|plan| plan.code() == code)
    }

    /// Figures older than this are due, in milliseconds.
    #[must_use]
    pub fn refresh_ms(self) -> i64 {
        match self {
            Self::Free => 24 * HOUR_MS,
            Self::Pro => HOUR_MS,
        }
    }
}

/// What a platform says of an account or a post, each as a total from its beginning
/// up to a moment. What is not known is absent: that is not 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Who follows it, or subscribes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub followers: Option<u64>,
    /// Whom it follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub following: Option<u64>,
    /// Posts, or videos.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posts: Option<u64>,
    /// Views of videos.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub views: Option<u64>,
    /// How often posts were shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impressions: Option<u64>,
    /// To how many people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reach: Option<u64>,
    /// Likes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likes: Option<u64>,
    /// Comments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comments: Option<u64>,
    /// Shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares: Option<u64>,
    /// Clicks that the platform counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clicks: Option<u64>,
    /// How often a post was saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saves: Option<u64>,
}

/// No platform has more of anything; databases count it without trouble.
const MAX_FIGURE: u64 = 1_000_000_000_000_000;

impl Figures {
    /// Their names, in the order of [`Figures::values`].
    pub const NAMES: [&'static str; 11] = [
        "followers",
        "following",
        "posts",
        "views",
        "impressions",
        "reach",
        "likes",
        "comments",
        "shares",
        "clicks",
        "saves",
    ];

    /// All of them.
    #[must_use]
    pub fn values(&self) -> [Option<u64>; 11] {
        [
            self.followers,
            self.following,
            self.posts,
            self.views,
            self.impressions,
            self.reach,
            self.likes,
            self.comments,
            self.shares,
            self.clicks,
            self.saves,
        ]
    }

    /// The figures with these names.
    ///
    /// # Errors
    /// When a name is none, there is no figure, or one is beyond belief.
    pub fn named(values: &BTreeMap<String, Option<u64>>) -> Result<Self, String> {
        if let Some(unknown) = values.keys().find(|name| !Self::NAMES.contains(&name.as_str())) {
            return Err(format!("has {unknown:?}, which is none of {}", Self::NAMES.join(", ")));
        }
        let of = |name: &str| values.get(name).copied().flatten();
        let figures = Self {
            followers: of("followers"),
            following: of("following"),
            posts: of("posts"),
            views: of("views"),
            impressions: of("impressions"),
            reach: of("reach"),
            likes: of("likes"),
            comments: of("comments"),
            shares: of("shares"),
            clicks: of("clicks"),
            saves: of("saves"),
        };
        figures.check().map(|()| figures)
    }

    /// Why they cannot be.
    ///
    /// # Errors
    /// When there is none of them, or one is beyond belief.
    pub fn check(&self) -> Result<(), String> {
        let known = || Self::NAMES.into_iter().zip(self.values());
        if known().all(|(_, value)| value.is_none()) {
            return Err(format!("has none of {}", Self::NAMES.join(", ")));
        }
        match known().find(|(_, value)| value.is_some_and(|value| value > MAX_FIGURE)) {
            Some((name, _)) => Err(format!("has more {name} than {MAX_FIGURE}")),
            None => Ok(()),
        }
    }
}

/// Whether a platform's own id of an account or a post can be one: it stands in
/// addresses.
#[must_use]
pub fn is_external_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.@:".contains(c);
    !id.is_empty() && id.len() <= 200 && id.chars().all(plain) && id.chars().any(|c| c != '.')
}

/// Why figures could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The platform wants no more requests for a while.
    #[error("the platform's quota is used up{}", .until_ms.map_or(String::new(), |_| " for now".to_owned()))]
    Quota {
        /// It takes requests again from this moment on, in milliseconds since 1970,
        /// where it says so.
        until_ms: Option<i64>,
    },
    /// The token is no longer, or never was, one.
    #[error("the platform does not take the account's token: {0}; give it another")]
    TokenExpired(String),
    /// Its token cannot be opened, by this deployment as it is set up.
    #[error("the account's token cannot be opened: {0}")]
    Sealed(String),
    /// There is nothing to ask with.
    #[error("there is no token for the account, nor a key of the deployment")]
    NoToken,
    /// The platform knows no such account.
    #[error("the platform knows no such account")]
    NotFound,
    /// It answered, but not as it should.
    #[error("the platform answers {0}")]
    Refused(String),
    /// It did not answer.
    #[error("the platform does not answer: {0}")]
    Unreachable(String),
}

impl FetchError {
    /// The reason, for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Quota { .. } => "quota_exceeded",
            Self::TokenExpired(_) => "token_expired",
            Self::Sealed(_) => "token_sealed",
            Self::NoToken => "no_token",
            Self::NotFound => "account_not_found",
            Self::Refused(_) => "refused",
            Self::Unreachable(_) => "unreachable",
        }
    }
}

/// When an account is fetched next, in milliseconds since 1970, after a try at
/// `now_ms` that was the `failures`th to fail in a row. Never again, where only
/// somebody can help it.
#[must_use]
pub fn next_attempt_ms(
    plan: Plan,
    tried: Result<(), &FetchError>,
    failures: u32,
    now_ms: i64,
) -> Option<i64> {
    let doubling = MINUTE_MS
        .saturating_mul(1_i64.checked_shl(failures.saturating_sub(1).min(20)).unwrap_or(i64::MAX))
        .min(LONGEST_WAIT_MS);
    let wait_ms = match tried {
        Ok(()) => plan.refresh_ms(),
        Err(FetchError::TokenExpired(_)) => return None,
        Err(FetchError::Quota { until_ms: Some(until_ms) }) => until_ms.saturating_sub(now_ms).max(MINUTE_MS),
        Err(FetchError::Quota { until_ms: None }) => doubling.max(HOUR_MS),
        // A deployment may be given a key; an account may come back.
        Err(FetchError::NoToken | FetchError::NotFound) => Plan::Free.refresh_ms(),
        Err(FetchError::Sealed(_) | FetchError::Refused(_) | FetchError::Unreachable(_)) => doubling,
    };
    Some(now_ms.saturating_add(wait_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_fetched_when_it_is_due() {
        let unreachable = FetchError::Unreachable(String::new());
        let quota = |until_ms| FetchError::Quota { until_ms };
        let now_ms = 1_800_000_000_000;
        let hours = |hours: i64| Some(now_ms + hours * HOUR_MS);
        let minutes = |minutes: i64| Some(now_ms + minutes * MINUTE_MS);
        for (plan, tried, failures, expected) in [
            (Plan::Free, Ok(()), 0, hours(24)),
            (Plan::Pro, Ok(()), 0, hours(1)),
            (Plan::Pro, Err(&unreachable), 1, minutes(1)),
            (Plan::Free, Err(&unreachable), 2, minutes(2)),
            (Plan::Pro, Err(&FetchError::Refused(String::new())), 5, minutes(16)),
            (Plan::Pro, Err(&unreachable), 12, hours(6)),
            (Plan::Pro, Err(&unreachable), u32::MAX, hours(6)),
            (Plan::Pro, Err(&quota(None)), 1, hours(1)),
            (Plan::Pro, Err(&quota(None)), 8, minutes(128)),
            (Plan::Pro, Err(&quota(hours(9))), 1, hours(9)),
            (Plan::Pro, Err(&quota(hours(-9))), 1, minutes(1)),
            (Plan::Pro, Err(&FetchError::NotFound), 3, hours(24)),
            (Plan::Pro, Err(&FetchError::TokenExpired(String::new())), 1, None),
            (Plan::Free, Err(&FetchError::NoToken), 1, hours(24)),
            (Plan::Free, Err(&FetchError::Sealed(String::new())), 1, minutes(1)),
        ] {
            assert_eq!(next_attempt_ms(plan, tried, failures, now_ms), expected, "{tried:?}, {failures}");
        }
    }

    #[test]
    fn figures_are_known_or_not() {
        let named = |pairs: &[(&str, Option<u64>)]| {
            Figures::named(&pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect())
        };
        let likes = named(&[("likes", Some(0)), ("reach", None)]).unwrap();
        assert_eq!(likes, Figures { likes: Some(0), ..Figures::default() });
        assert_eq!(serde_json::to_string(&likes).unwrap(), r#"{"likes":0}"#);
        for (pairs, problem) in [
            (vec![], "none of followers"),
            (vec![("likes", None)], "none of followers"),
            (vec![("smiles", Some(1))], "\"smiles\""),
            (vec![("reach", Some(MAX_FIGURE + 1))], "more reach"),
        ] {
            assert!(named(&pairs).unwrap_err().contains(problem), "{pairs:?}");
        }
        // What a later version may have written does not stop this one.
        assert_eq!(serde_json::from_str::<Figures>(r#"{"likes":0,"smiles":7}"#).unwrap(), likes);
        let all: Vec<_> = Figures::NAMES.into_iter().zip((1..).map(Some)).collect();
        assert_eq!(named(&all).unwrap().values(), std::array::from_fn(|index| Some(index as u64 + 1)));
    }

    #[test]
    fn ids_can_stand_in_addresses() {
        for (id, expected) in [
            ("UC_x5XG1OV2P6uZZ5FSM9Ttw", true),
            ("17841405309211844", true),
            ("@ada.l", true),
            ("", false),
            ("..", false),
            ("a/b", false),
            ("a?b", false),
            ("a b", false),
            ("ä", false),
        ] {
            assert_eq!(is_external_id(id), expected, "{id}");
        }
    }
}
