//! End-to-end tests, through the public interfaces, on real engines. One
//! binary; each test has a stack of its own.
#![allow(clippy::print_stderr, reason = "tests say what they do")]

mod access;
mod anything;
mod architecture;
mod attribute;
mod books;
mod budget;
mod by_day;
mod clickhouse;
mod clients;
mod crash;
mod dashboards;
mod engines;
mod errors;
mod explain;
mod export;
mod figures;
mod flow;
mod intake;
mod kept_answers;
mod killed;
mod leaderboards;
mod links;
mod loading;
mod machine;
mod outage;
mod payouts;
mod platforms;
mod points;
mod refunds;
mod replay;
mod schema;
mod social;
mod sql_access;
mod withdrawals;
