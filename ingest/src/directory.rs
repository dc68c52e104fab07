//! What the collector has to look up, wherever it is kept.

use domain::ids::LinkId;
use domain::link::Link;
use domain::privacy::{Privacy, Tenant};
use domain::token::SigningKey;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

/// A look-up that did not come through: not the same as finding nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct DirectoryError(pub String);

/// What has changed since it was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The link with this code.
    Link(String),
    /// Some API key.
    Keys,
    /// The keys that click tokens are signed with.
    SigningKeys,
    /// Perhaps anything; and from now on changes are heard of.
    Everything,
    /// From now on changes are not heard of.
    Deaf,
}

/// Who an API key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyOwner {
    /// Its workspace, and what that keeps of visitors.
    pub tenant: Tenant,
    /// Whether the key may stand in a web page.
    pub is_public: bool,
}

/// Who sends webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// <https://docs.stripe.com/webhooks>
    Stripe,
    /// <https://shopify.dev/docs/apps/build/webhooks>
    Shopify,
}

impl Provider {
    /// The name in addresses and SQL.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Shopify => "shopify",
        }
    }
}

/// A workspace's webhooks of one provider.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Whose they are.
    pub tenant: Tenant,
    /// What they are signed with.
    pub secret: String,
}

/// Where links and keys are kept.
pub trait Directory: Send + Sync {
    /// The link with this code, and what its workspace keeps of visitors.
    fn link<'a>(&'a self, code: &'a str) -> BoxFuture<'a, Result<Option<(Link, Privacy)>, DirectoryError>>;

    /// The owner of the key with this SHA-256, unless revoked.
    fn owner_of_key<'a>(
        &'a self,
        key_hash: &'a [u8; 32],
    ) -> BoxFuture<'a, Result<Option<KeyOwner>, DirectoryError>>;

    /// The webhooks of the workspace with this slug or id, if it has set a
    /// secret for them.
    fn webhook<'a>(
        &'a self,
        workspace: &'a str,
        provider: Provider,
    ) -> BoxFuture<'a, Result<Option<Webhook>, DirectoryError>>;

    /// The keys that click tokens may be signed with; the first signs.
    fn signing_keys(&self) -> BoxFuture<'_, Result<Vec<SigningKey>, DirectoryError>>;

    /// A lot of clicks out of a link's limit, which nobody else gets; 0 when
    /// the limit is used up.
    fn draw_clicks(&self, link: LinkId) -> BoxFuture<'_, Result<i64, DirectoryError>>;

    /// The salt that addresses are hashed with on a day (from 1970-01-01), the
    /// same for all collectors, forgotten afterwards.
    fn daily_salt(&self, day: i64) -> BoxFuture<'_, Result<Vec<u8>, DirectoryError>>;

    /// Changes as they happen, without end.
    fn changes(&self) -> BoxStream<'static, Change>;
}
