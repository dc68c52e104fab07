//! Tributary's rules, as pure functions over plain data.
//!
//! Nothing here reads a clock, draws a random number or does I/O: time and ids
//! are arguments. Money is whole minor units; floats do not occur.
//!
//! | module | rule |
//! |---|---|
//! | [`ids`] | names of things; ids derived from content |
//! | [`money`] | amounts, currencies, fees, exact splits |
//! | [`event`] | an event as it stands on Kafka |
//! | [`native`] | an event as a client writes it, and its limits |
//! | [`timestamp`] | moments as clients write them |
//! | [`refusal`] | why a client's event is refused |
//! | [`token`] | the signed click id (`tcid`) |
//! | [`link`] | what stands behind a link's code, and which destination a click gets |
//! | [`privacy`] | what a workspace keeps of its visitors |
//! | [`dedupe`] | same id, same payload: ignored; other payload: quarantined |
//! | [`pay`] | what an action pays |
//! | [`payment`] | what becomes of a payment from one person to another |
//! | [`rules`] | campaign terms, versioned by time |
//! | [`attribution`] | which click earned a conversion, and why |
//! | [`command`] | what attribution and the control API ask of settlement |
//! | [`budget`] | what a campaign can still pay |
//! | [`limits`] | caps per day and in all, one reward a customer |
//! | [`refund`] | what a refund takes back |
//! | [`wallet`] | holds, debts and withdrawals of a creator's money |
//! | [`payout`] | withdrawals that are sent together, and the files that banks take |
//! | [`ledger`] | balanced postings |
//! | [`settlement`] | commands to outcomes and postings |
//! | [`social`] | accounts on social platforms, and when they are looked at |
//! | [`audit`] | what must hold of a settled batch, told from its rows |
//! | [`chain`] | the hash chain over batches, the digest of the books |
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::cast_possible_truncation)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod attribution;
pub mod audit;
pub mod budget;
pub mod chain;
pub mod command;
pub mod dedupe;
pub mod event;
pub mod ids;
pub mod ledger;
pub mod limits;
pub mod link;
pub mod money;
pub mod native;
pub mod pay;
pub mod payment;
pub mod payout;
pub mod privacy;
pub mod refund;
pub mod refusal;
pub mod rules;
pub mod settlement;
pub mod social;
pub mod timestamp;
pub mod token;
pub mod wallet;
