//! What a workspace keeps of its visitors.

use crate::ids::WorkspaceId;

/// What is kept of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Its network: the /24 of a v4 address, the /48 of a v6 one.
    #[default]
    Truncate,
    /// A hash under a salt that is drawn for one day and then forgotten.
    Hash,
    /// Nothing.
    Drop,
}

impl AddressPolicy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Truncate, Self::Hash, Self::Drop];

    /// The code, as in JSON and SQL.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Truncate => "truncate",
            Self::Hash => "hash",
            Self::Drop => "drop",
        }
    }

    /// The policy with this code.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.code() == code)
    }
}

/// A workspace, and what it keeps of its visitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// What it keeps.
    pub privacy: Privacy,
}

/// A workspace's choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privacy {
    /// What is kept of an address.
    pub address: AddressPolicy,
    /// Whether `DNT: 1` and `Sec-GPC: 1` keep a visitor from being known again.
    pub honour_opt_out: bool,
    /// How long the visitor cookie lasts; 0: none is set, and a visitor is
    /// known by a hash of address and user agent for one day.
    pub cookie_days: u16,
}

impl Default for Privacy {
    fn default() -> Self {
        Self { address: AddressPolicy::default(), honour_opt_out: true, cookie_days: 365 }
    }
}
