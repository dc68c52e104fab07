//! A workspace with a business and creators, made over the control API, and
//! people who click.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use hyper::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Answer, Http, Stack};

/// A person's user agent.
pub const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// A workspace of its own.
#[derive(Clone)]
pub struct World {
    pub http: Http,
    pub slug: String,
    pub workspace: Uuid,
    pub key: String,
    pub creator: String,
    collector: String,
    api: String,
    admin: String,
    pub business: String,
}

/// A campaign with one link.
pub struct Campaign {
    pub id: String,
    pub code: String,
}

/// A click that was answered.
#[derive(Clone, Debug)]
pub struct Clicked {
    pub token: String,
    pub id: Uuid,
}

impl World {
    /// As [`World::create`], with an API that has only just been started.
    pub async fn create_soon(stack: &Stack, slug: &str) -> anyhow::Result<Self> {
        for _ in 0..100 {
            if std::net::TcpStream::connect(("127.0.0.1", stack.ports.api)).is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Self::create(stack, slug).await
    }

    pub async fn create(stack: &Stack, slug: &str) -> anyhow::Result<Self> {
        Self::create_in(stack, slug, "USD").await
    }

    /// As [`World::create`], in another currency.
    pub async fn create_in(stack: &Stack, slug: &str, currency: &str) -> anyhow::Result<Self> {
        let admin = format!("Bearer {}", stack.admin_key()?);
        let mut world = Self {
            http: Http::default(),
            slug: slug.to_owned(),
            workspace: Uuid::nil(),
            key: String::new(),
            creator: String::new(),
            collector: stack.collector_url(),
            api: stack.api_url(),
            admin,
            business: String::new(),
        };
        let workspace =
            json!({ "slug": slug, "name": slug, "currency": currency, "platform_fee_bps": 1_000 });
        let made = world.control("/v1/workspaces", &workspace).await?;
        world.workspace = made["workspace"]["id"].as_str().context("an id")?.parse()?;
        world.key = made["api_key"].as_str().context("a key")?.to_owned();
        let business = json!({
            "email": format!("b@{slug}.example"), "username": "shop", "company_name": "Shop",
        });
        world.business = id(&world.control("/v1/businesses", &business).await?)?;
        world.creator = world.add_creator("ada").await?;
        Ok(world)
    }

    /// The same, sending to another collector.
    #[must_use]
    pub fn at(&self, collector: &str) -> Self {
        Self { collector: collector.to_owned(), ..self.clone() }
    }

    /// The same, asking the API with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { admin: format!("Bearer {key}"), ..self.clone() }
    }

    /// The same, asking about another workspace.
    #[must_use]
    pub fn at_workspace(&self, slug: &str) -> Self {
        Self { slug: slug.to_owned(), ..self.clone() }
    }

    pub async fn add_creator(&self, username: &str) -> anyhow::Result<String> {
        let creator = json!({
            "email": format!("{username}@{}.example", self.slug), "username": username,
            "display_name": username,
        });
        id(&self.control("/v1/creators", &creator).await?)
    }

    /// A funded campaign with one link of the first creator.
    pub async fn campaign(
        &self,
        objective: &str,
        payout_minor: i64,
        budget_minor: i64,
    ) -> anyhow::Result<Campaign> {
        self.campaign_with(objective, budget_minor, &json!({ "payout_minor": payout_minor })).await
    }

    /// As [`World::campaign`], with all of its terms.
    pub async fn campaign_with(
        &self,
        objective: &str,
        budget_minor: i64,
        terms: &Value,
    ) -> anyhow::Result<Campaign> {
        let campaign = json!({
            "business_id": self.business, "title": objective, "objective": objective, "terms": terms,
        });
        let campaign = id(&self.control("/v1/campaigns", &campaign).await?)?;
        if budget_minor > 0 {
            self.fund(&campaign, "first", budget_minor).await?;
        }
        let member = json!({ "creator_id": self.creator, "status": "accepted" });
        self.control(&format!("/v1/campaigns/{campaign}/creators"), &member).await?;
        let code = format!("c{}", &campaign[campaign.len() - 12..]);
        let link = json!({
            "campaign_id": campaign, "creator_id": self.creator, "code": code,
            "destination_url": "https://shop.example/p?x=1#top",
        });
        self.control("/v1/links", &link).await?;
        Ok(Campaign { id: campaign, code })
    }

    pub async fn fund(&self, campaign: &str, number: &str, amount_minor: i64) -> anyhow::Result<Value> {
        let funding = json!({ "external_id": format!("{campaign}-{number}"), "amount_minor": amount_minor });
        self.control(&format!("/v1/campaigns/{campaign}/fundings"), &funding).await
    }

    /// Posts to the control API; anything but success is an error.
    pub async fn control(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.controlled(Method::POST, path, body).await
    }

    /// As [`World::control`], with PUT.
    pub async fn replace(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.controlled(Method::PUT, path, body).await
    }

    async fn controlled(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.control_sent(method, path, &body.to_string()).await?;
        if !(200..300).contains(&answer.status) {
            bail!("{path}: {} {}", answer.status, answer.text());
        }
        answer.json()
    }

    pub async fn control_raw(&self, path: &str, body: &str) -> anyhow::Result<Answer> {
        self.control_sent(Method::POST, path, body).await
    }

    /// As [`World::control_raw`], by any method.
    pub async fn control_sent(&self, method: Method, path: &str, body: &str) -> anyhow::Result<Answer> {
        let url = format!("{}{path}?workspace={}", self.api, self.slug);
        let headers = [("authorization", self.admin.as_str()), ("content-type", "application/json")];
        self.http.send(method, &url, &headers, body.to_owned()).await
    }

    /// Gets a report; `path` may have a query.
    pub async fn report(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.report_raw(path).await?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text());
        answer.json()
    }

    /// As [`World::report`], whatever text it is.
    pub async fn text(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.report_raw(path).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        Ok(answer.text())
    }

    /// As [`World::report`], whatever is answered.
    pub async fn report_raw(&self, path: &str) -> anyhow::Result<Answer> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let url = format!("{}{path}{joint}workspace={}", self.api, self.slug);
        self.http.get(&url, &[("authorization", self.admin.as_str())]).await
    }

    /// Makes another link of the first creator, with whatever `settings` say.
    pub async fn link(&self, campaign: &Campaign, code: &str, settings: &Value) -> anyhow::Result<String> {
        let mut link = json!({ "campaign_id": campaign.id, "creator_id": self.creator, "code": code,
            "destination_url": "https://shop.example/" });
        let fields = link.as_object_mut().context("an object")?;
        fields.extend(settings.as_object().context("an object")?.clone());
        id(&self.control("/v1/links", &link).await?)
    }

    /// Follows a short address with these headers; gives status, location and
    /// cookie.
    pub async fn follow(&self, address: &str, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.http.get(&format!("{}/{address}", self.collector), headers).await
    }

    /// A person follows a link.
    pub async fn click(&self, code: &str, visitor: &str) -> anyhow::Result<Clicked> {
        self.click_as(BROWSER, code, visitor).await
    }

    /// Whoever has this user agent follows a link.
    pub async fn click_as(&self, agent: &str, code: &str, visitor: &str) -> anyhow::Result<Clicked> {
        let cookie = format!("tvid={visitor}");
        let headers = [("user-agent", agent), ("cookie", cookie.as_str())];
        let answer = self.http.get(&format!("{}/{code}", self.collector), &headers).await?;
        ensure!(answer.status == 302, "{code}: {} {}", answer.status, answer.text());
        let location = answer.header("location");
        let (_, token) = location.split_once("tcid=").with_context(|| location.to_owned())?;
        let token = token.split('#').next().unwrap_or_default().to_owned();
        Ok(Clicked { id: click_id(&token)?, token })
    }

    /// Sends an event to one of the collector's addresses.
    pub async fn send(&self, path: &str, event: &Value) -> anyhow::Result<Answer> {
        let authorization = format!("Bearer {}", self.key);
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
            ("user-agent", BROWSER),
        ];
        self.http.post(&format!("{}{path}", self.collector), &headers, event.to_string()).await
    }

    /// As [`World::send`], for one event that must be accepted; gives its id.
    pub async fn accepted(&self, path: &str, event: &Value) -> anyhow::Result<Uuid> {
        let answer = self.send(path, event).await?;
        let body = answer.json()?;
        ensure!(answer.status == 200, "{path}: {} {body}", answer.status);
        Ok(body["results"][0]["event_id"].as_str().context("an id")?.parse()?)
    }
}

fn id(made: &Value) -> anyhow::Result<String> {
    Ok(made["id"].as_str().with_context(|| format!("no id in {made}"))?.to_owned())
}

/// The click id inside a token: bytes 2 to 17.
fn click_id(token: &str) -> anyhow::Result<Uuid> {
    let mut bits = Vec::new();
    for letter in token.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => bail!("{token:?} is no token"),
        };
        bits.extend((0..6).rev().map(|bit| value >> bit & 1));
    }
    let bytes: Vec<u8> =
        bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit)).collect();
    Ok(Uuid::from_slice(bytes.get(2..18).context("a longer token")?)?)
}
