//! Reports: analytics out of ClickHouse, wallets and explanations out of the
//! books. What each figure means stands in `docs/METRICS.md`.
//!
//! | module | job |
//! |---|---|
//! | [`leaderboards`] | creators by a metric |
//! | [`period`] | which time a report is about |
//! | [`form`] | rows as JSON, CSV or NDJSON |
//! | [`wallet`] | what a user has |
//! | [`explain`] | why something was credited |

pub(crate) mod explain;
mod form;
pub(crate) mod leaderboards;
mod period;
pub(crate) mod wallet;
