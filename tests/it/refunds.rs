//! Refunds: what they take back, of whom, and when.

use domain::command::{Basis, Command, Credit, Decision};
use domain::event::order_key;
use domain::ids::{EventId, VisitorKey, WorkspaceId};
use domain::refund::Refund;
use domain::rules::Objective;
use processors::settlement::{Range, settle_batch};
use serde_json::{Value, json};
use tests::{Campaign, Stack, World};
use uuid::Uuid;

/// A day after today's earnings are free, whatever the hold.
const FAR_MS: i64 = 400 * 24 * 60 * 60 * 1_000;

fn sale(number: &str, amount_minor: i64, token: &str) -> Value {
    json!({ "order_id": number, "value": { "amount_minor": amount_minor, "currency": "USD" }, "tcid": token })
}

fn refund(number: &str, refund_id: &str, amount_minor: Option<i64>) -> Value {
    let mut refund = json!({ "order_id": number, "refund_id": refund_id, "user_id": "the-shop" });
    if let Some(amount_minor) = amount_minor {
        refund["value"] = json!({ "amount_minor": amount_minor, "currency": "USD" });
    }
    refund
}

/// Pending, available, debt.
async fn wallet(world: &World) -> anyhow::Result<(i64, i64, i64)> {
    let wallet = world.report(&format!("/v1/wallets/{}", world.creator)).await?;
    let minor = |field: &str| wallet[field].as_i64().unwrap();
    Ok((minor("pending_minor"), minor("available_minor"), minor("debt_minor")))
}

async fn budget(world: &World, campaign: &Campaign) -> anyhow::Result<(i64, i64)> {
    let answer = world.report(&format!("/v1/campaigns/{}", campaign.id)).await?;
    let minor = |field: &str| answer["campaign"][field].as_i64().unwrap();
    Ok((minor("remaining_budget_minor"), minor("spent_minor")))
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_take_back_what_was_paid() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "refunds").await?;
    let campaign = world.campaign("sale", 600, 1_200).await?;
    let click = world.click(&campaign.code, "visitor-0001").await?;

    // One that is there before its sale waits for it.
    world.accepted("/v1/refunds", &refund("A-1", "early", Some(3_300))).await?;
    stack.settle()?;
    assert_eq!(wallet(&world).await?, (0, 0, 0));
    world.accepted("/v1/sales", &sale("A-1", 9_900, &click.token)).await?;
    stack.settle()?;
    // 600 was paid, 540 of it to the creator; a third of that goes back.
    assert_eq!(wallet(&world).await?, (360, 0, 0));
    assert_eq!(budget(&world, &campaign).await?, (800, 400));

    // The same again; the same number for another; then all that is left.
    world.accepted("/v1/refunds", &refund("A-1", "early", Some(3_300))).await?;
    let mut again = refund("A-1", "early", Some(3_300));
    again["id"] = "another".into();
    let again = world.accepted("/v1/refunds", &again).await?;
    world.accepted("/v1/refunds", &refund("A-1", "rest", None)).await?;
    let more = world.accepted("/v1/refunds", &refund("A-1", "more", Some(1))).await?;
    let unpaid = world.accepted("/v1/refunds", &refund("never sold", "x", None)).await?;
    stack.settle()?;
    assert_eq!(wallet(&world).await?, (0, 0, 0));
    assert_eq!(budget(&world, &campaign).await?, (1_200, 0));
    for (event, reason) in [(again, "duplicate_transaction"), (more, "already_refunded")] {
        let explained = world.report(&format!("/v1/conversions/{event}/explain")).await?;
        assert_eq!(explained["legs"][0]["reason"], reason, "{explained}");
    }
    assert!(world.report(&format!("/v1/conversions/{unpaid}/explain")).await.is_err());
    stack.reconcile()?;

    // After the hold: out of what is available, and then as a debt, which what
    // is earned next covers first.
    let pool = stack.pool().await?;
    let far_ms = runtime::clock::now_ms() + FAR_MS;
    for (number, visitor) in [("B-1", "visitor-0002"), ("B-2", "visitor-0003")] {
        let click = world.click(&campaign.code, visitor).await?;
        world.accepted("/v1/sales", &sale(number, 5_000, &click.token)).await?;
    }
    stack.settle()?;
    assert_eq!(wallet(&world).await?, (1_080, 0, 0));
    assert_eq!(processors::wallets::release_due(&pool, runtime::clock::now_ms()).await?, 0);
    assert_eq!(processors::wallets::release_due(&pool, far_ms).await?, 1);
    assert_eq!(wallet(&world).await?, (0, 1_080, 0));
    let withdrawal = json!({
        "creator_id": world.creator, "amount_minor": 1_000, "method": "ach", "external_id": "w-1",
    });
    world.control("/v1/withdrawals", &withdrawal).await?;
    assert_eq!(wallet(&world).await?, (0, 80, 0));
    world.accepted("/v1/refunds", &refund("B-1", "b1", None)).await?;
    stack.settle()?;
    assert_eq!(wallet(&world).await?, (0, 0, 460));
    let click = world.click(&campaign.code, "visitor-0004").await?;
    world.accepted("/v1/sales", &sale("B-3", 5_000, &click.token)).await?;
    stack.settle()?;
    assert_eq!(wallet(&world).await?, (540, 0, 460));
    assert_eq!(processors::wallets::release_due(&pool, far_ms).await?, 1);
    assert_eq!(wallet(&world).await?, (0, 80, 0));
    stack.reconcile()
}

/// Two settlers, each with a partition of its own, come to the two at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_and_its_sale_settled_at_once_find_each_other() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let pool = stack.pool().await?;
    let workspace = WorkspaceId(Uuid::from_u128(1));
    for partition in [0, 1] {
        store::offsets::next_offset(&pool, "at-once", partition).await?;
    }
    for number in 0..150_i64 {
        let order = order_key(workspace, &number.to_string());
        let sale = Command::Credit(Credit {
            event: EventId(Uuid::now_v7()),
            leg: 0,
            legs: 1,
            order: Some(order),
            kind: Objective::Sale.into(),
            workspace,
            at_ms: 1,
            visitor: VisitorKey([0; 16]),
            payload_hash: number.to_string(),
            campaign: None,
            creator: None,
            link: None,
            click: None,
            value: None,
            decision: Decision::Nonpayable { reason: domain::command::Reason::NoTouch },
            limits: None,
            basis: Basis::none(),
        });
        let refund = Command::Refund(Refund {
            event: EventId(Uuid::now_v7()),
            workspace,
            visitor: VisitorKey([0; 16]),
            at_ms: 1,
            order,
            refund_id: "1".to_owned(),
            value: None,
            payload_hash: number.to_string(),
        });
        let range =
            |partition| Range { topic: "at-once", partition, first_offset: number, last_offset: number };
        let (sale, refund) = ([sale], [refund]);
        let (one, two) = (range(0), range(1));
        tokio::try_join!(settle_batch(&pool, one, &sale), settle_batch(&pool, two, &refund))?;
        let (waiting, _) = store::refunds::counts(&pool).await?;
        assert_eq!(waiting, 0, "refund {number} waits for a sale that is there");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_and_sales_side_by_side_never_miss_each_other() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "side-by-side").await?;
    let campaign = world.campaign("sale", 100, 1_000_000).await?;
    let orders = 300;
    let selling = async {
        for order in 0..orders {
            let click = world.click(&campaign.code, &format!("visitor-{order:05}")).await?;
            world.accepted("/v1/sales", &sale(&format!("o-{order}"), 1_000, &click.token)).await?;
        }
        anyhow::Ok(())
    };
    let refunding = async {
        for order in 0..orders {
            world.accepted("/v1/refunds", &refund(&format!("o-{order}"), "r", None)).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(selling, refunding)?;
    stack.settle()?;
    assert_eq!(wallet(&world).await?, (0, 0, 0));
    assert_eq!(budget(&world, &campaign).await?, (1_000_000, 0));
    let answer = world.report(&format!("/v1/campaigns/{}", campaign.id)).await?;
    assert_eq!(answer["outcomes"], json!([{ "status": "posted", "reason": null, "count": 2 * orders }]));
    stack.reconcile()
}
