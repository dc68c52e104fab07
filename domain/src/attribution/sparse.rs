//! An event with only that of it which decides something: most of an event's text
//! is about the client, and need not be taken apart here. Nor is it checked: a
//! collector of another version may say more of a client, or say it otherwise,
//! and is understood.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, IgnoredAny, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::event::{Body, BotReason, Event};
use crate::ids::{CampaignId, EventId, LinkId, UserId, VisitorKey, WorkspaceId};

/// An event as attribution reads it from Kafka.
pub type Sparse = Event<Origin>;

/// What attribution reads of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Origin {
    /// The address, cut to its network.
    #[serde(default)]
    pub network: Option<String>,
    /// Whether it came from anywhere.
    #[serde(default, rename = "referrer", deserialize_with = "is_there")]
    pub has_referrer: bool,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<IgnoredAny>::deserialize(deserializer).map(|value| value.is_some())
}

#[derive(Deserialize)]
struct Wire {
    id: EventId,
    workspace: WorkspaceId,
    visitor: VisitorKey,
    #[serde(default)]
    user: Option<VisitorKey>,
    at_ms: i64,
    received_at_ms: i64,
    #[serde(default)]
    payload_hash: String,
    body: SparseBody,
    #[serde(default)]
    client: Origin,
    #[serde(default)]
    bot: Option<BotReason>,
}

impl<'de> Deserialize<'de> for Sparse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Wire { id, workspace, visitor, user, at_ms, received_at_ms, payload_hash, body, client, bot } =
            Wire::deserialize(deserializer)?;
        let body = body.0;
        let event =
            Self { id, workspace, visitor, user, at_ms, received_at_ms, payload_hash, body, client, bot };
        match event.lacks_hash() {
            true => Err(serde::de::Error::missing_field("payload_hash")),
            false => Ok(event),
        }
    }
}

impl From<Event> for Box<Sparse> {
    fn from(event: Event) -> Self {
        let Event { id, workspace, visitor, user, at_ms, received_at_ms, payload_hash, body, client, bot } =
            event;
        let client = Origin { network: client.network, has_referrer: client.referrer.is_some() };
        let SparseBody(body) = body.into();
        Box::new(Event {
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
        })
    }
}

/// What happened. Of a click there is what earns and who; what is seen and done on
/// pages only tells what time it is.
struct SparseBody(Body);

#[derive(Deserialize)]
struct Click {
    link: LinkId,
    campaign: CampaignId,
    creator: UserId,
    #[serde(default)]
    supporter: Option<UserId>,
    #[serde(default)]
    cookieless: bool,
}

impl From<Click> for Body {
    fn from(click: Click) -> Self {
        let Click { link, campaign, creator, supporter, cookieless } = click;
        Self::Click { link, campaign, creator, supporter, variant: None, utm: BTreeMap::new(), cookieless }
    }
}

impl From<Body> for SparseBody {
    fn from(body: Body) -> Self {
        Self(match body {
            Body::Click { link, campaign, creator, supporter, cookieless, .. } => {
                Click { link, campaign, creator, supporter, cookieless }.into()
            }
            Body::Page { .. } | Body::Track { .. } => Body::Tick {},
            body => body,
        })
    }
}

impl<'de> Deserialize<'de> for SparseBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor)
    }
}

/// The collector writes the kind first, so what follows need not be kept until it
/// is known how to read it.
struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = SparseBody;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("what happened, with its kind")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SparseBody, A::Error> {
        let (key, value) = match map.next_key()? {
            Some(Key::Kind) => match map.next_value()? {
                Kind::Click => {
                    let click = Click::deserialize(MapAccessDeserializer::new(map))?;
                    return Ok(SparseBody(click.into()));
                }
                Kind::Page | Kind::Track => {
                    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                    return Ok(SparseBody(Body::Tick {}));
                }
                Kind::Other(kind) => (Some("kind".to_owned()), Some(kind)),
            },
            Some(Key::Other(key)) => (Some(key), None),
            None => (None, None),
        };
        Body::deserialize(MapAccessDeserializer::new(Again { key, value, map })).map(SparseBody::from)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Kind,
    Other(String),
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Kind {
    Click,
    Page,
    Track,
    Other(String),
}

/// A map, of which the first key was read already, and perhaps its value.
struct Again<A> {
    key: Option<String>,
    value: Option<String>,
    map: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Again<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        match self.key.take() {
            Some(key) => seed.deserialize(key.into_deserializer()).map(Some),
            None => self.map.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        match self.value.take() {
            Some(value) => seed.deserialize(value.into_deserializer()),
            None => self.map.next_value_seed(seed),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::event::{Client, Properties};
    use crate::money::{Currency, Money};

    /// Fails unless what decides something is read of an event, in whatever order
    /// it stands there.
    fn check(event: &Event) {
        let json = serde_json::to_vec(event).unwrap();
        let read: Box<Sparse> = serde_json::from_slice(&json).unwrap();
        assert_eq!(read, event.clone().into());
        // Sorted by name, a click's kind is not the first.
        let sorted = serde_json::to_value(event).unwrap().to_string();
        assert_eq!(*read, serde_json::from_str::<Sparse>(&sorted).unwrap());
        let (origin, client) = (&read.client, &event.client);
        assert_eq!((&origin.network, origin.has_referrer), (&client.network, client.referrer.is_some()));
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
    fn every_kind_is_read() {
        let (text, id) = (|| "a \u{fc}\"b".to_owned(), EventId(Uuid::from_u128(5)));
        let value = Money { amount_minor: 4_990, currency: Currency::new("USD").unwrap() };
        let properties: Properties = [(text(), serde_json::json!({ "kind": "click" }))].into();
        let items = vec![crate::event::Item { sku: text(), quantity: 2, unit_price_minor: 5 }];
        let bodies = [
            Body::Page { url: text(), title: Some(text()), properties: properties.clone() },
            Body::Track { name: text(), properties: properties.clone() },
            Body::Identify { user_id: text(), properties },
            Body::Conversion {
                goal: text(),
                value: Some(value),
                order_id: Some(text()),
                click: Some(id),
                coupon: Some(text()),
            },
            Body::Sale { order_id: text(), value, items, click: Some(id), coupon: None },
            Body::Refund {
                order_id: text(),
                of_payment: true,
                refund_id: text(),
                value: None,
                items: Vec::new(),
            },
            Body::Erase {},
            Body::Stitch { visitor: VisitorKey([3; 16]) },
            Body::Handed { action: Box::new(crate::event::Action::of_click(&Event::tick(7))) },
            Body::Tick {},
        ];
        for body in bodies {
            let decides = !matches!(body, Body::Page { .. } | Body::Track { .. });
            let event = Event { body, payload_hash: "a hash".to_owned(), ..Event::tick(7) };
            check(&event);
            let read = Box::<Sparse>::from(event.clone()).body;
            assert_eq!(read, if decides { event.body } else { Body::Tick {} });
        }
    }

    #[test]
    fn what_decides_nothing_is_not_checked() {
        let mut json = serde_json::to_value(Event::tick(7)).unwrap();
        json["client"] = serde_json::json!({ "device": "a newer one", "country": 7, "network": "10.0.0.0" });
        let read: Sparse = serde_json::from_str(&json.to_string()).unwrap();
        assert_eq!(read.client, Origin { network: Some("10.0.0.0".to_owned()), has_referrer: false });
        json["client"]["network"] = 7.into();
        assert!(serde_json::from_str::<Sparse>(&json.to_string()).is_err());
        let page = serde_json::json!({ "kind": "page", "url": 7 });
        let event = serde_json::json!({ "body": page, "client": {} });
        let mut json = serde_json::to_value(Event::tick(7)).unwrap();
        json.as_object_mut().unwrap().extend(event.as_object().unwrap().clone());
        assert_eq!(serde_json::from_value::<Sparse>(json).unwrap().body, Body::Tick {});
    }

    #[test]
    fn what_may_earn_has_a_hash() {
        let value = Money { amount_minor: 4_990, currency: Currency::new("USD").unwrap() };
        let order_id = "7".to_owned();
        let sale = Body::Sale { order_id, value, items: Vec::new(), click: None, coupon: None };
        let page = Body::Page { url: "/".to_owned(), title: None, properties: Properties::new() };
        for (body, lacks_one) in [(sale, true), (Body::Erase {}, true), (page, false), (Body::Tick {}, false)]
        {
            let event = Event { body, ..Event::tick(7) };
            let json = serde_json::to_string(&event).unwrap();
            // Whoever loads it into ClickHouse asks the event itself.
            assert_eq!(event.lacks_hash(), lacks_one, "{json}");
            assert_eq!(serde_json::from_str::<Sparse>(&json).is_err(), lacks_one, "{json}");
        }
    }

    #[test]
    fn what_is_no_event_is_none() {
        for json in ["{}", "[]", "7", r#"{"id":"x"}"#] {
            assert!(serde_json::from_str::<Sparse>(json).is_err(), "{json}");
        }
        let bodies = [
            "{}",
            "7",
            r#"{"kind":"other"}"#,
            r#"{"kind":7}"#,
            r#"{"kind":"click"}"#,
            r#"{"link":"","kind":"click"}"#,
            r#"{"kind":"page","kind"}"#,
        ];
        for body in bodies {
            let tick = serde_json::to_string(&Event::tick(7)).unwrap();
            let json = tick.replace(r#"{"kind":"tick"}"#, body);
            assert_ne!(json, tick);
            assert!(serde_json::from_str::<Sparse>(&json).is_err(), "{json}");
        }
    }
}
