//! A tracking link, as clicks need it.

use crate::ids::{CampaignId, LinkId, UserId, WorkspaceId};

/// What stands behind a link's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The campaign it is for.
    pub campaign: CampaignId,
    /// Who earns by it.
    pub creator: UserId,
    /// The supporter who shares it, if any.
    pub supporter: Option<UserId>,
    /// Where it leads.
    pub destination_url: String,
    /// Where it leads once it has expired.
    pub fallback_url: Option<String>,
    /// When it expires, milliseconds since 1970.
    pub expires_at_ms: Option<i64>,
}
