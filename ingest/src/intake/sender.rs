//! Who sends events: on whose behalf, from where, and what they may.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::Guard;
use axum::http::{HeaderMap, header};
use domain::ids::{EventId, VisitorKey};
use domain::native::{Intake, NativeEvent};
use domain::privacy::Tenant;
use domain::refusal::Refusal;
use domain::token::SigningKey;
use runtime::clock::now_ms;
use runtime::random::{hex_id, uuid_v7};

use crate::caller::{
    CallerAddress, Facts, authenticate, client, known_for_a_day, needs_salt, opts_out, text_header,
};
use crate::directory::KeyOwner;
use crate::error::ApiError;
use crate::intake::{NotTaken, Taken};
use crate::server::App;

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// A server that knows what it says.
    Server,
    /// A browser, with a key that anybody can read.
    Browser,
}

/// Somebody who sends events.
pub(crate) struct Sender<'a> {
    app: &'a App,
    pub(crate) tenant: Tenant,
    channel: Channel,
    /// What its events are counted by.
    key: u64,
    address: IpAddr,
    headers: &'a HeaderMap,
    pub(crate) now_ms: i64,
    salt: Option<Arc<[u8]>>,
    keys: Arc<Vec<SigningKey>>,
}

impl<'a> Sender<'a> {
    /// The sender with this key.
    ///
    /// # Errors
    /// When there is none, it is not known, or has been used too often.
    pub(crate) async fn with_key(
        app: &'a App,
        caller: CallerAddress,
        headers: &'a HeaderMap,
        key: Option<&str>,
    ) -> Result<Self, ApiError> {
        let KeyOwner { tenant, is_public } = authenticate(&app.links, key).await?;
        let channel = if is_public { Channel::Browser } else { Channel::Server };
        Ok(Self { key: counted_by(&key), ..Self::of(app, caller, headers, tenant, channel).await })
    }

    /// A sender who is known otherwise.
    pub(crate) async fn of(
        app: &'a App,
        caller: CallerAddress,
        headers: &'a HeaderMap,
        tenant: Tenant,
        channel: Channel,
    ) -> Self {
        let now_ms = now_ms();
        let salt = if needs_salt(&tenant.privacy) { app.salt(now_ms).await } else { None };
        let key = counted_by(&tenant.workspace);
        Self {
            app,
            tenant,
            channel,
            key,
            address: caller.0,
            headers,
            now_ms,
            salt,
            keys: Guard::into_inner(app.links.signing_keys()),
        }
    }

    /// Whether it is a browser, with a key that anybody can read.
    pub(crate) fn is_browser(&self) -> bool {
        self.channel == Channel::Browser
    }

    /// A name for a browser that has none, good for a day.
    pub(crate) async fn anonymous_id(&self) -> String {
        let salt = self.app.salt(self.now_ms).await;
        known_for_a_day(self.headers, self.address, salt.as_deref())
    }

    /// Makes an event of what a client wrote.
    ///
    /// # Errors
    /// When a field is missing, too large or cannot be, or the sender may not
    /// send such events, or so many.
    pub(crate) fn take(&self, native: NativeEvent) -> Result<Taken, NotTaken> {
        self.app.limits.key(self.key).map_err(NotTaken::TooMuch)?;
        Ok(self.read(native)?)
    }

    fn read(&self, mut native: NativeEvent) -> Result<Taken, Refusal> {
        if self.channel == Channel::Browser && matches!(native.kind.as_str(), "sale" | "payment" | "refund") {
            let message = "a public key sends no sales, payments and refunds; send them from a server, with a secret key";
            return Err(Refusal::Invalid { field: "type", message: message.to_owned() });
        }
        // A server speaks for a client, whom it may describe; a browser's
        // request describes it.
        let stated = native.user_agent.take();
        let described = stated.is_some() || self.channel == Channel::Browser;
        let own = || text_header(self.headers, header::USER_AGENT).map(Cow::Borrowed);
        let user_agent = stated.map(Cow::Owned).or_else(own);
        let address = match native.ip.take() {
            Some(ip) => ip.parse().map_err(|_unreadable| Refusal::Invalid {
                field: "ip",
                message: "is no IP address".to_owned(),
            })?,
            None => self.address,
        };
        let referrer = native.referrer.take().map(Cow::Owned);
        let agent = self.app.agents.read(user_agent.as_deref());
        let fresh_id = EventId(uuid_v7(self.now_ms));
        let workspace = self.tenant.workspace;
        let intake = Intake { workspace, now_ms: self.now_ms, fresh_id, keys: &self.keys };
        let mut event = native.accept(&intake)?;
        let place = self.app.geo.place(address);
        event.bot = if described { agent.bot } else { None };
        let privacy = &self.tenant.privacy;
        let opted_out = self.channel == Channel::Browser && privacy.honour_opt_out && opts_out(self.headers);
        if opted_out {
            event.visitor = VisitorKey::derive(workspace, &hex_id());
        }
        let facts = Facts { address, place: &place, user_agent, agent: &agent, referrer };
        event.client = client(facts, privacy, opted_out, self.salt.as_deref()).into_owned();
        let named = event.id != fresh_id;
        Ok(Taken { event, named })
    }
}

/// What the events of a key, or of a workspace's webhooks, are counted by.
fn counted_by(sender: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    sender.hash(&mut hasher);
    hasher.finish()
}
