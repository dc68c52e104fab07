//! The control and report API.
//!
//! | module | job |
//! |---|---|
//! | [`server`] | routes, start and stop |
//! | `access` | who may ask, and about which workspace |
//! | `control` | workspaces, creators, campaigns, funding, links |
//! | `reports` | leaderboards, wallets, explanations |
//! | `error` | what a caller is told when something is wrong |

mod access;
mod control;
mod error;
mod reports;
pub mod server;

pub use access::hash_key;
