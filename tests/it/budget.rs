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
