//! Who sees what: users' keys, and the row-level policies behind them.

use axum::http::Method;
use domain::timestamp::rfc3339;
use serde_json::{Value, json};
use store::access::{KeyUser, begin_as};
use tests::{Stack, World};
use uuid::Uuid;

const FAR_MS: i64 = 400 * 24 * 60 * 60 * 1_000;

/// A workspace with a campaign that has paid one creator, of two.
struct Place {
    world: World,
    /// The creator who earned nothing.
    other: String,
}

impl Place {
    async fn create(stack: &Stack, slug: &str) -> anyhow::Result<Self> {
        let world = World::create(stack, slug).await?;
        let other = world.add_creator("bea").await?;
        let campaign = world.campaign("sale", 300, 10_000).await?;
        let click = world.click(&campaign.code, &format!("buyer-of-{slug}")).await?;
        let value = json!({ "amount_minor": 2_000, "currency": "USD" });
        let sale = json!({ "order_id": "1", "value": value, "tcid": click.token });
        world.accepted("/v1/sales", &sale).await?;
        let boost = json!({ "external_id": "B-1", "amount_minor": 100, "supporter_id": other });
        world.control(&format!("/v1/campaigns/{}/boosts", campaign.id), &boost).await?;
        stack.settle()?;
        processors::wallets::release_due(&stack.pool().await?, runtime::clock::now_ms() + FAR_MS).await?;
        let body = json!({ "creator_id": world.creator, "amount_minor": 100, "method": "ach",
            "external_id": "w-1" });
        world.control("/v1/withdrawals", &body).await?;
        let now = json!({ "creator_id": world.creator, "before": rfc3339(runtime::clock::now_ms()) });
        world.control("/v1/statements", &now).await?;
        world
            .replace(&format!("/v1/campaigns/{}/status", campaign.id), &json!({ "status": "paused" }))
            .await?;
        let closed = world.campaign("sale", 300, 0).await?;
        world.control(&format!("/v1/campaigns/{}/close", closed.id), &json!({})).await?;
        // Active campaigns are public; this one is none any more, in four seconds.
        tokio::time::sleep(std::time::Duration::from_millis(4_500)).await;
        Ok(Self { world, other })
    }

    /// The API as one of its users sees it.
    async fn with_key(&self, user: &str, role: &str) -> anyhow::Result<(World, String)> {
        let body = json!({ "name": "test", "role": role });
        let made = self.world.control(&format!("/v1/users/{user}/keys"), &body).await?;
        let key = made["user_key"].as_str().unwrap();
        Ok((self.world.with_key(key), made["id"].as_str().unwrap().to_owned()))
    }

    async fn staff(&self, role: &str) -> anyhow::Result<String> {
        let body = json!({ "email": format!("{role}@example.com"), "username": role,
            "display_name": role, "role": role });
        let made = self.world.control("/v1/staff", &body).await?;
        Ok(made["id"].as_str().unwrap().to_owned())
    }
}

fn status(error: anyhow::Error) -> String {
    error.to_string().split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn users_see_and_do_what_is_theirs() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let place = Place::create(&stack, "one").await?;
    let elsewhere = Place::create(&stack, "two").await?;
    let (ada, key) = place.with_key(&place.world.creator, "creator").await?;
    let (bea, _) = place.with_key(&place.other, "creator").await?;
    let (shop, _) = place.with_key(&place.world.business, "business").await?;
    let (finance, _) = place.with_key(&place.staff("finance").await?, "finance").await?;
    let (admin, _) = place.with_key(&place.staff("admin").await?, "admin").await?;
    let (foreign, _) = elsewhere.with_key(&elsewhere.staff("finance").await?, "finance").await?;
    let count = async |world: &World, what: &str| -> anyhow::Result<usize> {
        let answer = world.report(&format!("/v1/me/{what}")).await?;
        Ok(answer[what].as_array().unwrap().len())
    };
    for (who, expected) in
        [(&ada, [2, 1, 1, 1]), (&bea, [0, 0, 0, 0]), (&shop, [2, 1, 0, 0]), (&finance, [2, 1, 1, 1])]
    {
        let kinds = ["campaigns", "outcomes", "withdrawals", "statements"];
        for (what, expected) in kinds.into_iter().zip(expected) {
            assert_eq!(count(who, what).await?, expected, "{what} of {}", who.report("/v1/me").await?);
        }
    }
    let balance = |wallet: &Value, kind: &str| -> Option<i64> {
        let of = wallet["balances"].as_array().unwrap().iter().find(|balance| balance["kind"] == kind)?;
        of["balance_minor"].as_i64()
    };
    // 3.00 less 10 %; 1.00 of it is on its way.
    let wallet = ada.report("/v1/me/wallet").await?;
    assert_eq!(balance(&wallet, "creator_available"), Some(170));
    assert_eq!(bea.report("/v1/me/wallet").await?["balances"], json!([]));
    let budget = |answer: Value| answer["campaigns"][0]["total_budget_minor"].as_i64();
    assert_eq!(budget(shop.report("/v1/me/campaigns").await?), Some(10_100));
    assert_eq!(budget(ada.report("/v1/me/campaigns").await?), None, "not hers to know");
    let statements = ada.report("/v1/me/statements").await?;
    let statement = format!("/v1/me/statements/{}", statements["statements"][0]["id"].as_str().unwrap());
    ada.report(&statement).await?;
    assert_eq!(status(bea.report(&statement).await.unwrap_err()), "404");

    // Creators withdraw what is theirs; finance lets it go; nobody does both.
    let ask = |number: &str| json!({ "amount_minor": 50, "method": "ach", "external_id": number });
    let made = ada.control("/v1/me/withdrawals", &ask("w-2")).await?;
    let withdrawal = made["withdrawal"]["id"].as_str().unwrap();
    assert_eq!(made["withdrawal"]["actor"], format!("creator:{}", place.world.creator));
    assert_eq!(status(bea.control("/v1/me/withdrawals", &ask("w-3")).await.unwrap_err()), "422");
    assert_eq!(status(shop.control("/v1/me/withdrawals", &ask("w-3")).await.unwrap_err()), "403");
    let approve = format!("/v1/withdrawals/{withdrawal}/approve");
    for who in [&ada, &bea, &shop] {
        assert_eq!(status(who.control(&approve, &json!({})).await.unwrap_err()), "403");
    }
    assert_eq!(status(foreign.at_workspace("one").control(&approve, &json!({})).await.unwrap_err()), "404");
    assert_eq!(status(foreign.control(&approve, &json!({})).await.unwrap_err()), "404");
    let approved = finance.control(&approve, &json!({})).await?;
    assert!(approved["withdrawal"]["actor"].as_str().unwrap().starts_with("finance:"));
    // Finance runs no campaigns; an admin of the workspace does, there alone.
    assert_eq!(status(finance.report("/v1/campaigns").await.unwrap_err()), "403");
    admin.report("/v1/campaigns").await?;
    assert_eq!(status(admin.at_workspace("two").report("/v1/campaigns").await.unwrap_err()), "404");
    for report in [
        "leaderboards?metric=clicks",
        "reports/timeseries",
        "reports/breakdown?by=os",
        "reports/pages",
        "reports/sessions",
        "reports/retention",
    ] {
        let path = format!("/v1/{report}");
        finance.report(&path).await?;
        assert_eq!(status(finance.at_workspace("two").report(&path).await.unwrap_err()), "404", "{path}");
        assert_eq!(status(ada.report(&path).await.unwrap_err()), "403", "{path}");
    }
    assert_eq!(status(admin.report("/v1/workspaces").await.unwrap_err()), "403");
    assert_eq!(status(place.world.report("/v1/me").await.unwrap_err()), "403");
    // Nobody makes a second person of themselves.
    let staff = json!({ "email": "x@example.com", "username": "x", "display_name": "x", "role": "finance" });
    assert_eq!(status(admin.control("/v1/staff", &staff).await.unwrap_err()), "403");
    let me = admin.report("/v1/me").await?;
    let path = format!("/v1/users/{}/keys", me["user_id"].as_str().unwrap());
    let body = json!({ "name": "test", "role": "admin" });
    assert_eq!(status(admin.control(&path, &body).await.unwrap_err()), "403");
    // No key in a role that the user does not have.
    let body = json!({ "name": "test", "role": "admin" });
    let path = format!("/v1/users/{}/keys", place.world.creator);
    assert_eq!(status(place.world.control(&path, &body).await.unwrap_err()), "404");
    // A key that is revoked opens nothing.
    let revoked = format!("/v1/user-keys/{key}");
    assert_eq!(place.world.control_sent(Method::DELETE, &revoked, "").await?.status, 200);
    assert_eq!(status(ada.report("/v1/me").await.unwrap_err()), "401");
    let audit = "SELECT DISTINCT split_part(actor, ':', 1) FROM audit_log ORDER BY 1";
    assert_eq!(store::migrate::strings(&stack.pool().await?, audit).await?, ["admin", "creator", "finance"]);
    stack.reconcile()
}

/// Table by table, as the database itself sees it: whose rows there are for the
/// creator who earned, the one who did not, their business, finance.
#[tokio::test(flavor = "multi_thread")]
async fn every_table_shows_each_user_their_own_rows() -> anyhow::Result<()> {
    const SEEN: [(&str, [bool; 4]); 19] = [
        ("workspaces", [true, true, true, true]),
        ("users", [true, true, true, true]),
        ("wallets", [true, true, true, true]),
        ("campaigns", [true, false, true, true]),
        ("campaign_terms", [true, false, true, true]),
        ("campaign_creators", [true, false, true, true]),
        ("campaign_budgets", [false, false, true, true]),
        ("fundings", [false, true, true, true]),
        ("closings", [false, false, true, true]),
        ("tracking_links", [true, false, true, true]),
        ("outcomes", [true, false, true, true]),
        ("ledger_accounts", [true, false, true, true]),
        ("ledger_entries", [true, false, true, true]),
        ("ledger_transactions", [true, false, true, true]),
        ("wallet_buckets", [true, false, false, true]),
        ("withdrawals", [true, false, false, true]),
        ("withdrawal_states", [true, false, false, true]),
        ("statements", [true, false, false, true]),
        ("statement_lines", [true, false, false, true]),
    ];
    let stack = Stack::start()?;
    let place = Place::create(&stack, "one").await?;
    let elsewhere = Place::create(&stack, "two").await?;
    let pool = stack.pool().await?;
    let user = |place: &Place, user: &str, role: &str| -> anyhow::Result<KeyUser> {
        let workspace_id = place.world.workspace;
        Ok(KeyUser { user_id: user.parse()?, workspace_id, role: role.to_owned() })
    };
    let of = |place: &Place| -> anyhow::Result<[KeyUser; 4]> {
        Ok([
            user(place, &place.world.creator, "creator")?,
            user(place, &place.other, "creator")?,
            user(place, &place.world.business, "business")?,
            user(place, &Uuid::now_v7().to_string(), "finance")?,
        ])
    };
    let rows = async |user: &KeyUser, table: &str| -> anyhow::Result<Vec<String>> {
        let mut transaction = begin_as(&pool, user).await?;
        Ok(store::migrate::strings(&mut *transaction, &format!("SELECT {table}::text FROM {table}")).await?)
    };
    let (here, there) = (of(&place)?, of(&elsewhere)?);
    for (table, expected) in SEEN {
        for ((user, stranger), expected) in here.iter().zip(&there).zip(expected) {
            let seen = rows(user, table).await?;
            assert_eq!(!seen.is_empty(), expected, "{table}: {user:?} sees {seen:?}");
            let foreign = rows(stranger, table).await?;
            assert!(seen.iter().all(|row| !foreign.contains(row)), "{table}: {user:?} and {stranger:?}");
        }
        // Creators of one workspace share no row that is about money.
        if !["workspaces", "campaigns", "campaign_terms"].contains(&table) {
            let (ada, bea) = (rows(&here[0], table).await?, rows(&here[1], table).await?);
            assert!(ada.iter().all(|row| !bea.contains(row)), "{table}");
        }
    }
    // Nobody at all sees nothing; a reader changes nothing; no table was left out.
    let mut nobody = store::begin(&pool).await?;
    store::migrate::execute(&mut *nobody, "SET LOCAL ROLE tributary_reader").await?;
    for (table, _) in SEEN {
        let seen =
            store::migrate::strings(&mut *nobody, &format!("SELECT {table}::text FROM {table}")).await?;
        assert!(seen.is_empty(), "{table}: {seen:?}");
    }
    let may = "SELECT table_name::text FROM information_schema.role_table_grants
        WHERE grantee = 'tributary_reader' AND privilege_type = 'SELECT' ORDER BY 1";
    let mut tables: Vec<&str> = SEEN.iter().map(|(table, _)| *table).collect();
    tables.sort_unstable();
    assert_eq!(store::migrate::strings(&pool, may).await?, tables);
    let may_more = "SELECT table_name || ' ' || privilege_type FROM information_schema.role_table_grants
        WHERE grantee = 'tributary_reader' AND privilege_type <> 'SELECT'";
    assert!(store::migrate::strings(&pool, may_more).await?.is_empty());
    Ok(())
}
