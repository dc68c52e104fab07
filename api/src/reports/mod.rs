//! Reports: analytics out of ClickHouse, wallets and explanations out of the
//! books. What each figure means stands in `docs/METRICS.md`.
//!
//! | module | job |
//! |---|---|
//! | [`leaderboards`] | creators by a metric |
//! | [`timeseries`] | figures by hour, day, week or month |
//! | [`breakdowns`] | clicks by what is known of them; pages |
//! | [`sessions`] | what visitors did in one go |
//! | [`retention`] | who came again |
//! | [`funnel`] | how far visitors came through steps |
//! | [`experiment`] | which variant made more of them do something |
//! | [`social`] | what creators have on social platforms |
//! | [`trending`] | hashtags, by what came lately |
//! | [`asked`] | what a request says |
//! | [`filter`] | whose clicks count |
//! | [`period`] | which time a report is about |
//! | [`form`] | rows as JSON, CSV or NDJSON |
//! | [`wallet`] | what a user has |
//! | [`explain`] | why something was credited |

mod asked;
pub(crate) mod breakdowns;
pub(crate) mod experiment;
pub(crate) mod explain;
mod filter;
mod form;
pub(crate) mod funnel;
pub(crate) mod leaderboards;
mod period;
pub(crate) mod retention;
pub(crate) mod sessions;
pub(crate) mod social;
pub(crate) mod timeseries;
pub(crate) mod trending;
pub(crate) mod wallet;

/// Long lists of ids and moments stand in a query.
const MAX_QUERY_BYTES: &str = "16777216";
