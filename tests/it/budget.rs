//! A hard budget: never a cent more, whatever comes at once.

use futures_util::future::try_join_all;
use serde_json::json;
use tests::{Stack, World};

#[tokio::test(flavor = "multi_thread")]
async fn ten_payouts_for_a_thousand_clicks() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "budget").await?;
    let campaign = world.campaign("click", 25, 250).await?;
    let clicks = (0..1_000).map(|visitor| {
        let (world, code) = (&world, &campaign.code);
        async move { world.click(code, &format!("visitor-{visitor:05}")).await }
    });
    try_join_all(clicks).await?;
    stack.settle()?;
    let answer = world.report(&format!("/v1/campaigns/{}", campaign.id)).await?;
    assert_eq!(
        answer["outcomes"],
        json!([
            { "status": "posted", "reason": null, "count": 10 },
            { "status": "rejected_budget", "reason": "budget_exhausted", "count": 990 },
        ])
    );
    let campaign = &answer["campaign"];
    assert_eq!(campaign["status"], "completed");
    assert_eq!(
        (campaign["remaining_budget_minor"].as_i64(), campaign["spent_minor"].as_i64()),
        (Some(0), Some(250))
    );
    stack.reconcile()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_funds_once() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "fund").await?;
    let campaign = world.campaign("click", 25, 0).await?;
    world.click(&campaign.code, "visitor-0001").await?;
    stack.settle()?;
    for _ in 0..3 {
        world.fund(&campaign.id, "1", 1_000).await?;
    }
    // The same number with another amount is somebody's mistake.
    let error = world.fund(&campaign.id, "1", 2_000).await.unwrap_err().to_string();
    assert!(error.contains("409") && error.contains("other payload"), "{error}");
    world.click(&campaign.code, "visitor-0002").await?;
    stack.settle()?;
    let answer = world.report(&format!("/v1/campaigns/{}", campaign.id)).await?;
    assert_eq!(answer["campaign"]["total_budget_minor"], 1_000);
    assert_eq!(answer["campaign"]["remaining_budget_minor"], 975);
    assert_eq!(answer["campaign"]["status"], "active");
    stack.reconcile()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_campaign_returns_the_rest() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "closing").await?;
    let campaign = world.campaign("sale", 600, 10_000).await?;
    let click = world.click(&campaign.code, "visitor-0001").await?;
    let value = json!({ "amount_minor": 5_000, "currency": "USD" });
    world.accepted("/v1/sales", &json!({ "order_id": "A-1", "value": value, "tcid": click.token })).await?;
    stack.settle()?;
    let path = |action: &str| format!("/v1/campaigns/{}/{action}", campaign.id);
    for status in ["paused", "active"] {
        let answer = world.replace(&path("status"), &json!({ "status": status })).await?;
        assert_eq!(answer["status"], status);
    }
    for _ in 0..2 {
        assert_eq!(world.control(&path("close"), &json!({})).await?["state"], "posted");
    }
    let error = world.fund(&campaign.id, "late", 1_000).await.unwrap_err().to_string();
    assert!(error.contains("409") && error.contains("closed"), "{error}");
    assert!(world.replace(&path("status"), &json!({ "status": "active" })).await.is_err());
    // What comes back by a refund goes on to the business.
    world
        .accepted("/v1/refunds", &json!({ "order_id": "A-1", "refund_id": "1", "user_id": "the-shop" }))
        .await?;
    stack.settle()?;
    let answer = world.report(&format!("/v1/campaigns/{}", campaign.id)).await?;
    let campaign = &answer["campaign"];
    let minor = |field: &str| campaign[field].as_i64().unwrap();
    let is = (minor("remaining_budget_minor"), minor("spent_minor"), minor("returned_minor"));
    assert_eq!(is, (0, 0, 10_000));
    assert_eq!(campaign["status"], "completed");
    stack.reconcile()
}
