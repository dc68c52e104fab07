//! An event's JSON, byte for byte as serde writes it, and faster: names and ids need
//! no looking at, and a text only one look, since there is hardly ever anything in it
//! to escape. What happened is left to serde, but for a click.

use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::{Body, Client, Event};

/// A JSON object that is being written.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    /// Begins a member; its value is to follow.
    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// A text that has nothing to escape.
    fn plain(&mut self, name: &str, text: &[u8]) {
        let out = self.name(name);
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
    }

    fn uuid(&mut self, name: &str, id: Uuid) {
        let mut text = [0; Hyphenated::LENGTH];
        id.hyphenated().encode_lower(&mut text);
        self.plain(name, &text);
    }

    fn number(&mut self, name: &str, number: i64) {
        serde_json::to_writer(self.name(name), &number).expect("a number is JSON");
    }

    fn text(&mut self, name: &str, text: &str) {
        if is_plain(text) {
            self.plain(name, text.as_bytes());
        } else {
            serde_json::to_writer(self.name(name), text).expect("a text is JSON");
        }
    }

    fn text_if_any(&mut self, name: &str, text: Option<&impl AsRef<str>>) {
        if let Some(text) = text {
            self.text(name, text.as_ref());
        }
    }

    fn end(self) {
        self.out.push(b'}');
    }
}

/// Whether JSON escapes nothing of it. Every byte is looked at, so that many are at
/// a time.
fn is_plain(text: &str) -> bool {
    !text.bytes().fold(false, |is_found, byte| is_found | (byte < b' ') | (byte == b'"') | (byte == b'\\'))
}

impl<T: AsRef<str> + Default + PartialEq> Event<Client<T>> {
    /// Appends the event as it stands on Kafka.
    ///
    /// # Panics
    /// Never: all of it can be JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let Self { id, workspace, visitor, user, at_ms, received_at_ms, payload_hash, body, client, bot } =
            self;
        let mut event = Object::new(out);
        event.uuid("id", id.0);
        event.uuid("workspace", workspace.0);
        event.plain("visitor", &visitor.hex());
        if let Some(user) = user {
            event.plain("user", &user.hex());
        }
        event.number("at_ms", *at_ms);
        event.number("received_at_ms", *received_at_ms);
        if !payload_hash.is_empty() {
            event.text("payload_hash", payload_hash);
        }
        body.write_json(event.name("body"));
        if *client != Client::default() {
            client.write_json(event.name("client"));
        }
        if let Some(bot) = bot {
            event.plain("bot", bot.code().as_bytes());
        }
        event.end();
    }
}

impl Body {
    fn write_json(&self, out: &mut Vec<u8>) {
        let Self::Click { link, campaign, creator, supporter, variant, utm, cookieless } = self else {
            return serde_json::to_writer(out, self).expect("what happened is JSON");
        };
        let mut click = Object::new(out);
        click.plain("kind", b"click");
        click.uuid("link", link.0);
        click.uuid("campaign", campaign.0);
        click.uuid("creator", creator.0);
        if let Some(supporter) = supporter {
            click.uuid("supporter", supporter.0);
        }
        click.text_if_any("variant", variant.as_ref());
        if !utm.is_empty() {
            serde_json::to_writer(click.name("utm"), utm).expect("texts are JSON");
        }
        if *cookieless {
            click.name("cookieless").extend_from_slice(b"true");
        }
        click.end();
    }
}

impl<T: AsRef<str>> Client<T> {
    fn write_json(&self, out: &mut Vec<u8>) {
        let Self { network, user_agent, referrer, country, city, device, os, browser } = self;
        let mut client = Object::new(out);
        client.text_if_any("network", network.as_ref());
        client.text_if_any("user_agent", user_agent.as_ref());
        client.text_if_any("referrer", referrer.as_ref());
        client.text_if_any("country", country.as_ref());
        client.text_if_any("city", city.as_ref());
        if let Some(device) = device {
            client.plain("device", device.code().as_bytes());
        }
        client.text_if_any("os", os.as_ref());
        client.text_if_any("browser", browser.as_ref());
        client.end();
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::event::BotReason;
    use crate::ids::{CampaignId, EventId, LinkId, UserId, VisitorKey, WorkspaceId};
    use crate::link::Device;

    fn click() -> impl Strategy<Value = Body> {
        let ids = (any::<[u128; 3]>(), option::of(any::<u128>()));
        let rest = (option::of(any::<String>()), btree_map(".*", ".*", 0..3), any::<bool>());
        (ids, rest).prop_map(|((ids, supporter), (variant, utm, cookieless))| {
            let [link, campaign, creator] = ids.map(Uuid::from_u128);
            Body::Click {
                link: LinkId(link),
                campaign: CampaignId(campaign),
                creator: UserId(creator),
                supporter: supporter.map(|id| UserId(Uuid::from_u128(id))),
                variant,
                utm,
                cookieless,
            }
        })
    }

    fn body() -> impl Strategy<Value = Body> {
        let page = (".*", option::of(".*")).prop_map(|(url, title)| Body::Page {
            url,
            title,
            properties: Default::default(),
        });
        prop_oneof![3 => click(), 1 => page, 1 => Just(Body::Erase {})]
    }

    fn client() -> impl Strategy<Value = Client> {
        let texts = proptest::array::uniform7(option::of(any::<String>()));
        let devices = [Device::Ios, Device::Android, Device::Desktop, Device::Other];
        (texts, option::of(proptest::sample::select(devices.to_vec())), any::<bool>()).prop_map(
            |([network, user_agent, referrer, country, city, os, browser], device, is_known)| match is_known {
                true => Client { network, user_agent, referrer, country, city, device, os, browser },
                false => Client::default(),
            },
        )
    }

    fn event() -> impl Strategy<Value = Event> {
        let bots = [
            BotReason::UserAgent,
            BotReason::NoUserAgent,
            BotReason::Head,
            BotReason::Prefetch,
            BotReason::Preview,
            BotReason::DataCentre,
        ];
        let ids = (any::<[u128; 2]>(), any::<[u8; 16]>(), option::of(any::<[u8; 16]>()));
        let rest = (any::<[i64; 2]>(), "[0-9a-f]{0,64}", option::of(proptest::sample::select(bots.to_vec())));
        (ids, rest, body(), client()).prop_map(|(ids, (times, payload_hash, bot), body, client)| {
            let ([id, workspace], visitor, user) = ids;
            Event {
                id: EventId(Uuid::from_u128(id)),
                workspace: WorkspaceId(Uuid::from_u128(workspace)),
                visitor: VisitorKey(visitor),
                user: user.map(VisitorKey),
                at_ms: times[0],
                received_at_ms: times[1],
                payload_hash,
                body,
                client,
                bot,
            }
        })
    }

    proptest! {
        #[test]
        fn it_is_what_serde_writes(event in event()) {
            let mut written = Vec::new();
            event.write_json(&mut written);
            let by_serde = serde_json::to_string(&event).unwrap();
            prop_assert_eq!(std::str::from_utf8(&written).unwrap(), by_serde);
        }
    }

    #[test]
    fn what_is_escaped_is_not_plain() {
        for character in (0..=0x300).filter_map(char::from_u32) {
            let text = format!("some text, long enough to be looked at in one go{character}");
            let by_serde = serde_json::to_string(&text).unwrap();
            assert_eq!(is_plain(&text), by_serde == format!("\"{text}\""), "{character:?}");
        }
    }
}
