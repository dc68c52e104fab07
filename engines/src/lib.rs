//! The three engines Tributary runs on one machine: Kafka (Tansu), ClickHouse
//! (libchdb) and Postgres (the machine's own), each real, each in a child
//! process of its own, so that the rest of the program talks to all of them
//! only through their public protocols.
//!
//! * [`kafka`] and [`clickhouse`] are what the children run;
//! * [`postgres`] finds the machine's Postgres and knows how to start it;
//! * [`supervisor`] starts, watches, restarts and stops all three.

pub mod clickhouse;
pub mod kafka;
pub mod parent;
pub mod postgres;
pub mod supervisor;
