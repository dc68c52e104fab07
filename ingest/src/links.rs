//! Links and keys, as requests need them: out of the cache, which hears of
//! changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use dashmap::DashMap;
use domain::ids::LinkId;
use domain::token::SigningKey;
use futures_util::StreamExt as _;
use runtime::shutdown::CancellationToken;
use sha2::{Digest as _, Sha256};

use crate::cache::Cache;
use crate::directory::{Change, Directory, DirectoryError, KeyOwner, Provider, Webhook};
use crate::target::Target;

/// Signing keys are read again after this, though no change was heard of: a
/// key may be retired at a time set long before.
const SIGNING_KEYS_EVERY: Duration = Duration::from_secs(60);
/// A link whose clicks are used up is asked about again after this.
const USED_UP_FOR: Duration = Duration::from_secs(1);
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Clicks of a limited link that this collector may still lead on.
#[derive(Default)]
struct Allowance {
    left: AtomicI64,
    /// Held while more are drawn; until when there are none.
    drawing: tokio::sync::Mutex<Option<Instant>>,
}

/// What a collector has looked up.
pub(crate) struct Links {
    directory: Arc<dyn Directory>,
    targets: Cache<String, Arc<Target>>,
    keys: Cache<[u8; 32], KeyOwner>,
    webhooks: Cache<(String, Provider), Arc<Webhook>>,
    allowances: DashMap<LinkId, Arc<Allowance>>,
    signing_keys: ArcSwap<Vec<SigningKey>>,
    salts: Cache<i64, Arc<[u8]>>,
}

impl Links {
    /// # Errors
    /// When the directory does not answer, or has no key to sign with.
    pub(crate) async fn new(directory: Arc<dyn Directory>) -> Result<Self, DirectoryError> {
        let salts = Cache::new();
        // A day's salt does not change.
        salts.set_deaf(false);
        let signing_keys = ArcSwap::from_pointee(signing_keys(directory.as_ref()).await?);
        Ok(Self {
            directory,
            targets: Cache::new(),
            keys: Cache::new(),
            webhooks: Cache::new(),
            allowances: DashMap::new(),
            signing_keys,
            salts,
        })
    }

    /// The link with this code.
    pub(crate) async fn target(&self, code: &str) -> Result<Option<Arc<Target>>, DirectoryError> {
        if !domain::link::is_code(code) {
            return Ok(None);
        }
        let look_up = || async {
            let found = self.directory.link(code).await?;
            found.map(|(link, privacy)| Target::new(link, privacy).map(Arc::new)).transpose()
        };
        self.targets.get(code, look_up).await
    }

    /// Who `key` belongs to.
    pub(crate) async fn owner_of_key(&self, key: &str) -> Result<Option<KeyOwner>, DirectoryError> {
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        self.keys.get(&hash, || self.directory.owner_of_key(&hash)).await
    }

    /// The webhooks of the workspace with this slug or id.
    pub(crate) async fn webhook(
        &self,
        workspace: &str,
        provider: Provider,
    ) -> Result<Option<Arc<Webhook>>, DirectoryError> {
        let look_up = || async { Ok(self.directory.webhook(workspace, provider).await?.map(Arc::new)) };
        self.webhooks.get(&(workspace.to_owned(), provider), look_up).await
    }

    /// The keys that click tokens may be signed with; the first signs.
    pub(crate) fn signing_keys(&self) -> Guard<Arc<Vec<SigningKey>>> {
        self.signing_keys.load()
    }

    /// The salt of the day of `now_ms`.
    pub(crate) async fn daily_salt(&self, now_ms: i64) -> Result<Arc<[u8]>, DirectoryError> {
        let day = now_ms.div_euclid(DAY_MS);
        let look_up = || async {
            self.salts.forget(&(day - 1));
            Ok(Some(Arc::from(self.directory.daily_salt(day).await?)))
        };
        let salt = self.salts.get(&day, look_up).await?;
        salt.ok_or_else(|| DirectoryError("there is no salt for today".to_owned()))
    }

    /// Takes one click out of a link's limit; `false` when it is used up.
    /// While the directory is away a known link goes on, beyond its limit if
    /// need be.
    pub(crate) async fn take_click(&self, target: &Target) -> bool {
        if target.link.click_limit.is_none() {
            return true;
        }
        let allowance = Arc::clone(&self.allowances.entry(target.link.id).or_default());
        let take = || {
            allowance
                .left
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| (left > 0).then(|| left - 1))
        };
        if take().is_ok() {
            return true;
        }
        let mut used_up_until = allowance.drawing.lock().await;
        if take().is_ok() {
            return true;
        }
        if used_up_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        match self.directory.draw_clicks(target.link.id).await {
            Ok(drawn) if drawn > 0 => {
                allowance.left.store(drawn - 1, Ordering::Release);
                true
            }
            Ok(_) => {
                *used_up_until = Some(Instant::now() + USED_UP_FOR);
                false
            }
            Err(error) => {
                tracing::warn!(%error, link = %target.link.id, "a click limit cannot be checked; the link goes on");
                true
            }
        }
    }

    /// Follows changes until told to stop.
    pub(crate) async fn follow(&self, stop: &CancellationToken) {
        let mut changes = self.directory.changes();
        let mut every = tokio::time::interval(SIGNING_KEYS_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                change = changes.next() => match change {
                    Some(change) => self.apply(change).await,
                    None => return,
                },
                _ = every.tick() => self.read_signing_keys().await,
            }
        }
    }

    async fn apply(&self, change: Change) {
        match change {
            Change::Link(code) => self.targets.forget(&code),
            Change::Keys => self.keys.doubt_all(),
            Change::SigningKeys => self.read_signing_keys().await,
            Change::Everything => {
                self.targets.doubt_all();
                self.keys.doubt_all();
                self.webhooks.doubt_all();
                self.set_deaf(false);
                self.read_signing_keys().await;
            }
            Change::Deaf => self.set_deaf(true),
        }
    }

    fn set_deaf(&self, deaf: bool) {
        self.targets.set_deaf(deaf);
        self.keys.set_deaf(deaf);
        self.webhooks.set_deaf(deaf);
    }

    async fn read_signing_keys(&self) {
        match signing_keys(self.directory.as_ref()).await {
            Ok(keys) => self.signing_keys.store(Arc::new(keys)),
            Err(error) => tracing::warn!(%error, "signing keys cannot be read; going on with those known"),
        }
    }
}

async fn signing_keys(directory: &dyn Directory) -> Result<Vec<SigningKey>, DirectoryError> {
    let keys = directory.signing_keys().await?;
    if keys.is_empty() {
        return Err(DirectoryError("there is no key to sign click tokens with".to_owned()));
    }
    Ok(keys)
}
