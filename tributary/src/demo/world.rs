//! The demo workspace: 12 creators, 4 campaigns of the three objectives, 60
//! links, made over the control API like anybody's.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::SLUG;
use crate::http_client::ApiClient;

const CREATORS: [(&str, &str); 12] = [
    ("Amara Okafor", "fashion"), ("Ben Castillo", "tech"), ("Chloé Martin", "travel"),
    ("Dev Patel", "gaming"), ("Elif Yıldız", "food"), ("Felix Brandt", "music"),
    ("Grace Kim", "beauty"), ("Hugo Lindqvist", "outdoor"), ("Ines Moreau", "fitness"),
    ("Jonas Weber", "film"), ("Kaya Nakamura", "art"), ("Leo Rossi", "cars"),
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
pub struct World {
    /// For the collector.
    pub api_key: String,
    /// The campaigns' ids, in the order of [`CAMPAIGNS`].
    pub campaigns: Vec<String>,
    /// The creators' ids.
    pub creators: Vec<String>,
    /// Every link.
    pub links: Vec<WorldLink>,
    /// Steps of the script that have been played.
    pub done: usize,
    #[serde(skip)]
    path: PathBuf,
}

/// A link of the demo.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorldLink {
    /// Its code.
    pub code: String,
    /// What its campaign pays for.
    pub objective: String,
}

impl World {
    /// Writes the state down, all or nothing.
    pub fn save(&self) -> anyhow::Result<()> {
        let at = || format!("demo state {}", self.path.display());
        let temporary = self.path.with_extension("json.new");
        std::fs::write(&temporary, serde_json::to_vec_pretty(self)?).with_context(at)?;
        std::fs::rename(&temporary, &self.path).with_context(at)
    }
}

/// Makes the world, or reads what an earlier start has made.
pub async fn create_or_load(api: &ApiClient, path: &Path) -> anyhow::Result<World> {
    if path.exists() {
        let text = std::fs::read(path).with_context(|| format!("demo state {}", path.display()))?;
        let mut world: World = serde_json::from_slice(&text)
            .with_context(|| format!("demo state {} is damaged; remove it", path.display()))?;
        path.clone_into(&mut world.path);
        return Ok(world);
    }
    println!("Creating the demo workspace: {} creators, {} campaigns, 60 links …", CREATORS.len(), CAMPAIGNS.len());
    let world = create(api, path).await?;
    world.save()?;
    Ok(world)
}

fn text(value: &Value, field: &str) -> anyhow::Result<String> {
    Ok(value[field].as_str().with_context(|| format!("the API's answer has no {field}: {value}"))?.to_owned())
}

async fn create(api: &ApiClient, path: &Path) -> anyhow::Result<World> {
    let workspace = json!({ "slug": SLUG, "name": "OROS demo", "currency": "USD", "platform_fee_bps": 1_000 });
    let answer = api.post("/v1/workspaces", &workspace).await.context(
        "the demo was interrupted while it was being set up; remove the data directory to begin anew",
    )?;
    let api_key = text(&answer, "api_key")?;
    let in_workspace = |path: &str| format!("{path}?workspace={SLUG}");
    let business = json!({
        "email": "hello@oros.example", "username": "oros", "company_name": "Oros Goods",
        "website": "https://oros.example",
    });
    let business = text(&api.post(&in_workspace("/v1/businesses"), &business).await?, "id")?;
    let mut creators = Vec::new();
    for (name, hashtag) in CREATORS {
        let username = name.split(' ').next().unwrap_or(name).to_lowercase();
        let creator = json!({
            "email": format!("{hashtag}@creators.example"), "username": username, "display_name": name,
            "hashtags": [hashtag],
        });
        creators.push(text(&api.post(&in_workspace("/v1/creators"), &creator).await?, "id")?);
    }
    let mut campaigns = Vec::new();
    let mut links = Vec::new();
    for (number, (title, objective, payout_minor, budget_minor)) in CAMPAIGNS.into_iter().enumerate() {
        let campaign = json!({
            "business_id": business, "title": title, "objective": objective,
            "terms": { "payout_minor": payout_minor },
        });
        let id = text(&api.post(&in_workspace("/v1/campaigns"), &campaign).await?, "id")?;
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
                api.post(&in_workspace("/v1/links"), &link).await?;
                links.push(WorldLink { code, objective: objective.to_owned() });
            }
        }
        campaigns.push(id);
    }
    Ok(World { api_key, campaigns, creators, links, done: 0, path: path.to_owned() })
}
