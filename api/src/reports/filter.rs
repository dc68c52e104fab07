//! Whose clicks count.

use clickhouse::query::Query;
use store::control::WorkspaceRow;
use uuid::Uuid;

use crate::error::ApiError;
use crate::server::App;

/// One campaign's, creator's or link's; all, where none is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// The campaign.
    pub(crate) campaign: Option<Uuid>,
    /// The creator.
    pub(crate) creator: Option<Uuid>,
    /// The link.
    pub(crate) link: Option<Uuid>,
}

impl Filter {
    /// Whether the workspace has them.
    pub(crate) async fn check(&self, app: &App, workspace: &WorkspaceRow) -> Result<(), ApiError> {
        if *self == Self::default() {
            return Ok(());
        }
        let Self { campaign, creator, link } = *self;
        match store::control::missing(&app.pool, workspace.id, campaign, creator, link).await? {
            Some(what) => Err(ApiError::not_found(&what)),
            None => Ok(()),
        }
    }

    /// Says it in a query: `{none}` stands for nobody.
    pub(crate) fn param(self, query: Query) -> Query {
        let text = |id: Option<Uuid>| id.unwrap_or_default().to_string();
        query
            .param("none", Uuid::nil().to_string())
            .param("campaign", text(self.campaign))
            .param("creator", text(self.creator))
            .param("link", text(self.link))
    }
}
