//! The demo workspace: 12 creators, 4 campaigns of the three objectives, 60
//! links, made over the control API like anybody's.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::SLUG;
use crate::http_client::ApiClient;

const CREATORS: [(&str, &str); 12] = [
    ("Amara Okafor", "fashion"),
    ("Ben Castillo", "tech"),
    ("Chloé Martin", "travel"),
    ("Dev Patel", "gaming"),
    ("Elif Yıldız", "food"),
    ("Felix Brandt", "music"),
    ("Grace Kim", "beauty"),
    ("Hugo Lindqvist", "outdoor"),
    ("Ines Moreau", "fitness"),
    ("Jonas Weber", "film"),
    ("Kaya Nakamura", "art"),
    ("Leo Rossi", "cars"),
];

/// Title, objective, payout and budget in cents. The second runs out of money.
const CAMPAIGNS: [(&str, &str, i64, i64); 4] = [
    ("Summer Sneakers Launch", "click", 5, 25_000),
    ("Indie Game Wishlist", "click", 8, 1_200),
    ("Meal Kit Sign-ups", "conversion", 250, 60_000),
    ("Studio Headphones", "sale", 600, 150_000),
];
/// Links per creator and campaign: 12 × (1 + 1 + 1 + 2) = 60.
const LINKS_PER_CREATOR: [usize; 4] = [1, 1, 1, 2];

/// What the script needs to know of the world, kept beside the data so that an
/// interrupted stream can go on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct World {
    /// For the collector.
    pub(crate) api_key: String,
    /// The campaigns' ids, in the order of [`CAMPAIGNS`].
    pub(crate) campaigns: Vec<String>,
    /// The creators' ids.
    pub(crate) creators: Vec<String>,
    /// Every link.
    pub(crate) links: Vec<WorldLink>,
    /// Steps of the script that have been played.
    pub(crate) done: usize,
    #[serde(skip)]
    path: PathBuf,
}

/// A link of the demo.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WorldLink {
    /// Its code.
    pub(crate) code: String,
    /// What its campaign pays for.
    pub(crate) objective: String,
}

impl World {
    /// Writes the state down, all or nothing.
    pub(crate) fn save(&self) -> anyhow::Result<()> {
        let at = || format!("demo state {}", self.path.display());
        let temporary = self.path.with_extension("json.new");
        std::fs::write(&temporary, serde_json::to_vec_pretty(self)?).with_context(at)?;
        std::fs::rename(&temporary, &self.path).with_context(at)
    }
}

/// Makes the world, or reads what an earlier start has made.
pub(crate) async fn create_or_load(api: &ApiClient, path: &Path) -> anyhow::Result<World> {
    if path.exists() {
        let text = std::fs::read(path).with_context(|| format!("demo state {}", path.display()))?;
        let mut world: World = serde_json::from_slice(&text)
            .with_context(|| format!("demo state {} is damaged; remove it", path.display()))?;
        path.clone_into(&mut world.path);
        return Ok(world);
    }
    say!(
        "Creating the demo workspace: {} creators, {} campaigns, 60 links …",
        CREATORS.len(),
        CAMPAIGNS.len()
    );
    let world = create(api, path).await?;
    world.save()?;
    Ok(world)
}

fn text(value: &Value, field: &str) -> anyhow::Result<String> {
    Ok(value[field].as_str().with_context(|| format!("the API's answer has no {field}: {value}"))?.to_owned())
}

fn in_workspace(path: &str) -> String {
    format!("{path}?workspace={SLUG}")
}

/// The id of the thing in the collection at `path` whose `field` is that of
/// `wanted`; it is made if it is not there. An earlier start may have been
/// killed half-way through.
async fn ensure(api: &ApiClient, path: &str, field: &str, wanted: Value) -> anyhow::Result<String> {
    let listed = api.get(&in_workspace(path)).await?;
    let items = listed.as_object().and_then(|fields| fields.values().next()?.as_array());
    let existing = items.and_then(|items| items.iter().find(|item| item[field] == wanted[field]));
    match existing {
        Some(item) => text(item, "id"),
        None => text(&api.post(&in_workspace(path), &wanted).await?, "id"),
    }
}

/// The workspace, and a key to it.
async fn ensure_workspace(api: &ApiClient) -> anyhow::Result<String> {
    let listed = api.get("/v1/workspaces").await?;
    let exists = listed["workspaces"].as_array().is_some_and(|all| all.iter().any(|one| one["slug"] == SLUG));
    let answer = if exists {
        api.post(&in_workspace("/v1/keys"), &json!({ "name": "demo" })).await?
    } else {
        let workspace =
            json!({ "slug": SLUG, "name": "OROS demo", "currency": "USD", "platform_fee_bps": 1_000 });
        api.post("/v1/workspaces", &workspace).await?
    };
    text(&answer, "api_key")
}

async fn create(api: &ApiClient, path: &Path) -> anyhow::Result<World> {
    let api_key = ensure_workspace(api).await?;
    let business = json!({
        "email": "hello@oros.example", "username": "oros", "company_name": "Oros Goods",
        "website": "https://oros.example",
    });
    let business = ensure(api, "/v1/businesses", "email", business).await?;
    let mut creators = Vec::new();
    for (name, hashtag) in CREATORS {
        let username = name.split(' ').next().unwrap_or(name).to_lowercase();
        let creator = json!({
            "email": format!("{hashtag}@creators.example"), "username": username, "display_name": name,
            "hashtags": [hashtag],
        });
        creators.push(ensure(api, "/v1/creators", "email", creator).await?);
    }
    let mut campaigns = Vec::new();
    let mut links = Vec::new();
    for (number, (title, objective, payout_minor, budget_minor)) in CAMPAIGNS.into_iter().enumerate() {
        let campaign = json!({
            "business_id": business, "title": title, "objective": objective,
            "terms": { "payout_minor": payout_minor },
        });
        let id = ensure(api, "/v1/campaigns", "title", campaign).await?;
        let funding = json!({ "external_id": format!("demo-{number}"), "amount_minor": budget_minor });
        api.post(&in_workspace(&format!("/v1/campaigns/{id}/fundings")), &funding).await?;
        for (creator_number, creator) in creators.iter().enumerate() {
            let member = json!({ "creator_id": creator, "status": "accepted" });
            api.post(&in_workspace(&format!("/v1/campaigns/{id}/creators")), &member).await?;
            for link_number in 0..LINKS_PER_CREATOR[number] {
                let code = format!("d{number}{link_number}{creator_number:02}");
                let link = json!({
                    "campaign_id": id, "creator_id": creator, "code": code,
                    "destination_url": format!("https://shop.example/{objective}/{number}?utm_source=creator"),
                });
                ensure(api, "/v1/links", "code", link).await?;
                links.push(WorldLink { code, objective: objective.to_owned() });
            }
        }
        campaigns.push(id);
    }
    Ok(World { api_key, campaigns, creators, links, done: 0, path: path.to_owned() })
}
