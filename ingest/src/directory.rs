//! What the collector has to look up, wherever it is kept.

use domain::ids::WorkspaceId;
use domain::link::Link;
use domain::token::SigningKey;
use futures_util::future::BoxFuture;

/// A look-up that did not come through: not the same as finding nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct DirectoryError(pub String);

/// Where links and keys are kept.
pub trait Directory: Send + Sync {
    /// The link with this code.
    fn link<'a>(&'a self, code: &'a str) -> BoxFuture<'a, Result<Option<Link>, DirectoryError>>;

    /// The workspace of the key with this SHA-256, unless revoked.
    fn workspace_of_key<'a>(
        &'a self,
        key_hash: &'a [u8; 32],
    ) -> BoxFuture<'a, Result<Option<WorkspaceId>, DirectoryError>>;

    /// The keys that click tokens may be signed with; the first signs.
    fn signing_keys(&self) -> BoxFuture<'_, Result<Vec<SigningKey>, DirectoryError>>;
}
