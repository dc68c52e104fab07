//! The control and report API.
//!
//! | module | job |
//! |---|---|
//! | [`server`] | routes, start and stop |
//! | `access` | who may ask, and about which workspace |
//! | `control` | workspaces, creators, campaigns, funding, links |
//! | `me` | what users ask for themselves |
//! | `reports` | leaderboards, wallets, explanations |
//! | `kept_answers` | costly answers, kept for seconds |
//! | `error` | what a caller is told when something is wrong |

mod access;
mod control;
mod error;
mod kept_answers;
mod me;
mod reports;
pub mod server;

pub use access::hash_key;
pub use control::sql_access::{renew_views, views_prefix};
