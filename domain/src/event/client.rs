//! What an event says of its client: what sort of browser it is and where, and
//! whether it is a person's.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::link::Device;

/// What the collector knows of the client, in texts that may be borrowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client<T = String> {
    /// The address, cut to its network (v4 /24, v6 /48).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<T>,
    /// Its user agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<T>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrer: Option<T>,
    /// ISO 3166 code of its country, by the GeoIP file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<T>,
    /// Its city, in English.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<T>,
    /// What sort of device it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// Its system, by its user agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<T>,
    /// Its browser, by its user agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser: Option<T>,
}

impl Client<Cow<'_, str>> {
    /// The same, in texts of its own.
    #[must_use]
    pub fn into_owned(self) -> Client {
        let Self { network, user_agent, referrer, country, city, device, os, browser } = self;
        let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        Client {
            network: owned(network),
            user_agent: owned(user_agent),
            referrer: owned(referrer),
            country: owned(country),
            city: owned(city),
            device,
            os: owned(os),
            browser: owned(browser),
        }
    }
}

/// Why an event does not count as human.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BotReason {
    /// The user agent is a known robot's.
    UserAgent,
    /// There is no user agent.
    NoUserAgent,
    /// A HEAD request.
    Head,
    /// Fetched ahead of a person's decision.
    Prefetch,
    /// The user agent is that of a service that shows a preview of a link.
    Preview,
    /// The address is a hosting provider's.
    DataCentre,
}

impl BotReason {
    /// The reason's code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::UserAgent => "user_agent",
            Self::NoUserAgent => "no_user_agent",
            Self::Head => "head",
            Self::Prefetch => "prefetch",
            Self::Preview => "preview",
            Self::DataCentre => "data_centre",
        }
    }
}
