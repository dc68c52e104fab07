//! An event with only that of its client which decides something: most of an
//! event's text is about the client, and need not be taken apart here. Nor is
//! it checked: a collector of another version may say more of a client, or say
//! it otherwise, and is understood.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::event::{Body, BotReason, Client, Event};
use crate::ids::{EventId, VisitorKey, WorkspaceId};

/// Reads an event as it stands on Kafka. Of its client there is the network,
/// and an empty referrer where there was any.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse(pub Box<Event>);

#[derive(Deserialize)]
struct Wire {
    id: EventId,
    workspace: WorkspaceId,
    visitor: VisitorKey,
    #[serde(default)]
    user: Option<VisitorKey>,
    at_ms: i64,
    received_at_ms: i64,
    payload_hash: String,
    body: Body,
    #[serde(default)]
    client: WireClient,
    #[serde(default)]
    bot: Option<BotReason>,
}

#[derive(Default, Deserialize)]
struct WireClient {
    #[serde(default)]
    network: Option<String>,
    #[serde(default)]
    referrer: Option<IgnoredAny>,
}

impl<'de> Deserialize<'de> for Sparse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Wire { id, workspace, visitor, user, at_ms, received_at_ms, payload_hash, body, client, bot } =
            Wire::deserialize(deserializer)?;
        let referrer = client.referrer.map(|_| String::new());
        let client = Client { network: client.network, referrer, ..Client::default() };
        Ok(Self(Box::new(Event {
            id,
            workspace,
            visitor,
            user,
            at_ms,
            received_at_ms,
            payload_hash,
            body,
            client,
            bot,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CampaignId, LinkId, UserId};
    use uuid::Uuid;

    /// Fails unless all but the client is read of an event, and of its client
    /// what decides something.
    fn check(event: &Event) {
        let json = serde_json::to_vec(event).unwrap();
        let Sparse(read) = serde_json::from_slice(&json).unwrap();
        let client = Client {
            network: event.client.network.clone(),
            referrer: event.client.referrer.as_ref().map(|_| String::new()),
            ..Client::default()
        };
        assert_eq!(*read, Event { client, ..event.clone() });
    }

    #[test]
    fn what_decides_something_is_read() {
        let bare = Event::tick(7);
        check(&bare);
        let click = Body::Click {
            link: LinkId(Uuid::from_u128(1)),
            campaign: CampaignId(Uuid::from_u128(2)),
            creator: UserId(Uuid::from_u128(3)),
            supporter: Some(UserId(Uuid::from_u128(4))),
            variant: Some("b".to_owned()),
            utm: [("utm_source".to_owned(), "news".to_owned())].into(),
            cookieless: true,
        };
        let client = Client {
            network: Some("10.0.0.0".to_owned()),
            user_agent: Some("curl/8".to_owned()),
            referrer: Some("https://news.example/\u{fc}".to_owned()),
            country: Some("DE".to_owned()),
            ..Client::default()
        };
        let user = Some(VisitorKey([3; 16]));
        let full = Event { user, body: click, client, bot: Some(BotReason::Preview), ..bare };
        check(&full);
        let direct = Client { referrer: None, ..full.client.clone() };
        check(&Event { client: direct, ..full });
    }

    #[test]
    fn what_decides_nothing_is_not_checked() {
        let mut json = serde_json::to_value(Event::tick(7)).unwrap();
        json["client"] = serde_json::json!({ "device": "a newer one", "country": 7, "network": "10.0.0.0" });
        let Sparse(read) = serde_json::from_str(&json.to_string()).unwrap();
        assert_eq!(read.client, Client { network: Some("10.0.0.0".to_owned()), ..Client::default() });
        json["client"]["network"] = 7.into();
        assert!(serde_json::from_str::<Sparse>(&json.to_string()).is_err());
    }

    #[test]
    fn what_is_no_event_is_none() {
        for json in ["{}", "[]", "7", r#"{"id":"x"}"#] {
            assert!(serde_json::from_str::<Sparse>(json).is_err(), "{json}");
        }
    }
}
