//! What creators have on social platforms.
//!
//! | module | job |
//! |---|---|
//! | [`refresh`] | fetches accounts that are due |
//! | `fetch` | asks platforms over HTTP |
//! | `youtube` | YouTube's Data API |
//! | `instagram` | Instagram's Graph API |
//! | `load` | readings → table `social_metrics` |

mod fetch;
mod instagram;
pub(crate) mod load;
pub mod refresh;
mod youtube;

pub use fetch::{FetchSettings, Fetcher};
