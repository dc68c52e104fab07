//! Links and keys, cached: a look-up costs a trip to the directory once per
//! [`FRESH_FOR`], and what is known goes on working while the directory is
//! away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use domain::ids::WorkspaceId;
use domain::link::Link;
use sha2::{Digest as _, Sha256};

use crate::directory::{Directory, DirectoryError};

/// An answer is used for this long without asking again.
const FRESH_FOR: Duration = Duration::from_secs(5);
/// Unknown codes and keys remembered; beyond it they are forgotten together,
/// so that guessing codes cannot fill the memory.
const MAX_UNKNOWN: usize = 100_000;

struct Cached<T> {
    answer: Option<T>,
    asked: Instant,
}

/// A link, ready for redirecting.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) link: Link,
    /// The destination up to and including `tcid=`.
    head: String,
    /// Its fragment, with the `#`.
    tail: String,
}

impl Target {
    fn new(link: Link) -> Result<Self, DirectoryError> {
        let broken = |what: &str| DirectoryError(format!("link {}: its destination {what}", link.id));
        let url = url::Url::parse(&link.destination_url).map_err(|error| broken(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(broken("is neither http nor https"));
        }
        let text = url.as_str();
        let (before, tail) = text.find('#').map_or((text, ""), |at| text.split_at(at));
        let joint = match before.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        let (head, tail) = (format!("{before}{joint}tcid="), tail.to_owned());
        Ok(Self { link, head, tail })
    }

    /// The destination with `tcid` appended; its own query and fragment stay.
    pub(crate) fn destination(&self, tcid: &str) -> String {
        [self.head.as_str(), tcid, self.tail.as_str()].concat()
    }
}

/// Asks the directory and remembers.
pub(crate) struct Links {
    directory: Arc<dyn Directory>,
    targets: DashMap<String, Cached<Arc<Target>>>,
    keys: DashMap<[u8; 32], Cached<WorkspaceId>>,
}

impl Links {
    pub(crate) fn new(directory: Arc<dyn Directory>) -> Self {
        Self { directory, targets: DashMap::new(), keys: DashMap::new() }
    }

    /// The link with this code.
    pub(crate) async fn target(&self, code: &str) -> Result<Option<Arc<Target>>, DirectoryError> {
        let known = self.targets.get(code).map(|c| (c.answer.clone(), c.asked.elapsed() < FRESH_FOR));
        if let Some((answer, true)) = known {
            return Ok(answer);
        }
        let asked = Instant::now();
        match self.directory.link(code).await {
            Ok(link) => {
                let answer = link.map(Target::new).transpose()?.map(Arc::new);
                if answer.is_none() && self.targets.len() >= MAX_UNKNOWN {
                    self.targets.retain(|_, cached| cached.answer.is_some());
                }
                self.targets.insert(code.to_owned(), Cached { answer: answer.clone(), asked });
                Ok(answer)
            }
            Err(error) => stale(known.map(|(answer, _)| answer), error),
        }
    }

    /// The workspace that `key` belongs to.
    pub(crate) async fn workspace_of_key(&self, key: &str) -> Result<Option<WorkspaceId>, DirectoryError> {
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let known = self.keys.get(&hash).map(|c| (c.answer, c.asked.elapsed() < FRESH_FOR));
        if let Some((answer, true)) = known {
            return Ok(answer);
        }
        let asked = Instant::now();
        match self.directory.workspace_of_key(&hash).await {
            Ok(answer) => {
                if answer.is_none() && self.keys.len() >= MAX_UNKNOWN {
                    self.keys.retain(|_, cached| cached.answer.is_some());
                }
                self.keys.insert(hash, Cached { answer, asked });
                Ok(answer)
            }
            Err(error) => stale(known.map(|(answer, _)| answer), error),
        }
    }
}

/// While the directory is away, an old yes is better than none; an old no is
/// not.
fn stale<T>(known: Option<Option<T>>, error: DirectoryError) -> Result<Option<T>, DirectoryError> {
    match known {
        Some(Some(answer)) => {
            tracing::warn!(%error, "directory is away; using what is known");
            Ok(Some(answer))
        }
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::{CampaignId, LinkId, UserId};
    use uuid::Uuid;

    use super::*;

    fn link(destination: &str) -> Link {
        Link {
            id: LinkId(Uuid::nil()),
            workspace: WorkspaceId(Uuid::nil()),
            campaign: CampaignId(Uuid::nil()),
            creator: UserId(Uuid::nil()),
            supporter: None,
            destination_url: destination.to_owned(),
            fallback_url: None,
            expires_at_ms: None,
        }
    }

    #[test]
    fn the_token_joins_what_is_there() {
        for (destination, expected) in [
            ("https://a.example", "https://a.example/?tcid=T"),
            ("https://a.example/p", "https://a.example/p?tcid=T"),
            ("https://a.example/p?", "https://a.example/p?tcid=T"),
            ("https://a.example/p?x=1&y=%20", "https://a.example/p?x=1&y=%20&tcid=T"),
            ("https://a.example/p?x=1#part", "https://a.example/p?x=1&tcid=T#part"),
            ("http://a.example/#a?b", "http://a.example/?tcid=T#a?b"),
        ] {
            assert_eq!(Target::new(link(destination)).unwrap().destination("T"), expected);
        }
        for bad in ["javascript:alert(1)", "ftp://a.example/", "not a url", "//a.example"] {
            assert!(Target::new(link(bad)).is_err(), "{bad}");
        }
    }
}
