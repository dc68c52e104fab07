//! The collector: takes clicks, events, conversions and sales over HTTP and
//! answers once Kafka has them.
//!
//! | module | job |
//! |---|---|
//! | [`directory`] | links, keys and signing keys, as the collector asks for them |
//! | [`server`] | routes, start and stop |
//! | `redirect` | `GET /{code}` |
//! | `intake` | events from servers, browsers, Segment's clients and webhooks |
//! | `seen` | ids that senders chose, remembered for a day |
//! | `caller` | who is asking: key, address, user agent, visitor cookie |
//! | `agent` | what a user agent says |
//! | `bots` | which callers are no people |
//! | `geo` | where an address is, and whose network it is in |
//! | `remembered` | what was once worked out, for all threads to find |
//! | `links` | links and keys, as requests need them |
//! | `cache` | the directory's answers, remembered |
//! | `target` | a link, ready for redirecting |
//! | `limits` | how much one sender may ask for, and how much is worked on at a time |
//! | `listen` | connections |
//! | `outbox` | makes events durable: in Kafka, or in the spool |
//! | `spool` | events on this machine's disk, until Kafka has them |
//! | `error` | what a caller is told when something is wrong |

mod agent;
mod bots;
mod cache;
mod caller;
pub mod directory;
mod error;
mod geo;
mod intake;
mod limits;
mod links;
mod listen;
mod outbox;
mod redirect;
mod remembered;
mod seen;
pub mod server;
mod spool;
mod target;

pub use geo::{GeoError, GeoSettings};
pub use limits::LimitSettings;
pub use listen::ConnectionSettings;
pub use seen::SeenError;
pub use spool::{SpoolError, SpoolSettings};
