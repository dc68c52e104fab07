//! The collector: takes clicks, events, conversions and sales over HTTP and
//! answers once Kafka has them.
//!
//! | module | job |
//! |---|---|
//! | [`directory`] | links, keys and signing keys, as the collector asks for them |
//! | [`server`] | routes, start and stop |
//! | `redirect` | `GET /{code}` |
//! | `intake` | `/v1/events`, `/v1/conversions`, `/v1/sales` |
//! | `caller` | who is asking: key, address, user agent, visitor cookie |
//! | `bots` | which callers are robots |
//! | `geo` | where an address is |
//! | `links` | links and keys, cached |
//! | `outbox` | makes events durable: in Kafka, or in the spool |
//! | `spool` | events on this machine's disk, until Kafka has them |
//! | `error` | what a caller is told when something is wrong |

mod bots;
mod caller;
pub mod directory;
mod error;
mod geo;
mod intake;
mod links;
mod outbox;
mod redirect;
pub mod server;
mod spool;

pub use geo::{GeoError, GeoReader};
pub use spool::{SpoolError, SpoolSettings};
