//! Answers that were costly are kept for who asked, and for nobody else.

use std::time::Duration;

use serde_json::json;
use sinks::EventRow;
use tests::{Random, Stack, World};
use uuid::Uuid;

use crate::figures::fill;

/// Pages of a month by some visitors: enough that to tell sessions of them takes a while.
fn pages(workspace: Uuid, count: usize, until_ms: i64) -> Vec<EventRow> {
    let mut random = Random::new(3);
    let page = |_| {
        let mut visitor = [0; 16];
        visitor[..4].copy_from_slice(&(random.below(100_000) as u32).to_be_bytes());
        let at = until_ms - 1 - random.below(30 * 86_400_000) as i64;
        EventRow {
            event_id: Uuid::from_u128(random.bits()),
            workspace_id: workspace,
            kind: "page".to_owned(),
            at,
            received_at: at,
            visitor,
            ..EventRow::default()
        }
    };
    (0..count).map(page).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_kept_for_who_asked() -> anyhow::Result<()> {
    let stack = Stack::start_with(&["--report-cache-seconds", "60"])?;
    let ours = World::create(&stack, "ours").await?;
    let theirs = World::create(&stack, "theirs").await?;
    let now_ms = runtime::clock::now_ms();
    fill(&stack.clickhouse(), "events", &pages(ours.workspace, 400_000, now_ms)).await?;
    // Pauses that short are told from the events.
    let path =
        format!("/v1/reports/sessions?gap_minutes=7&from_ms={}&to_ms={now_ms}", now_ms - 31 * 86_400_000);
    let asked = async |world: &World, key: &str, extra: &[(&str, &str)]| -> anyhow::Result<_> {
        let url = format!("{}{path}&workspace={}", stack.api_url(), world.slug);
        let authorization = format!("Bearer {key}");
        let headers = [&[("authorization", authorization.as_str())], extra].concat();
        let answer = world.http.get(&url, &headers).await?;
        let page_views = answer.json()?["rows"][0]["page_views"].as_u64();
        Ok((answer.status, !answer.header("age").is_empty(), page_views))
    };
    let admin = stack.admin_key()?;
    let all = Some(400_000);
    assert_eq!(asked(&ours, &admin, &[]).await?, (200, false, all));
    fill(&stack.clickhouse(), "events", &pages(theirs.workspace, 1, now_ms)).await?;
    // One more.
    let one = EventRow { event_id: Uuid::from_u128(1), ..pages(ours.workspace, 1, now_ms)[0].clone() };
    fill(&stack.clickhouse(), "events", &[one]).await?;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    // The same, and older than a second.
    assert_eq!(asked(&ours, &admin, &[]).await?, (200, true, all));
    // Nobody else's, whether it is another workspace or another key.
    assert_eq!(asked(&theirs, &admin, &[]).await?, (200, false, Some(1)));
    let staff =
        json!({ "username": "boss", "email": "boss@ours.example", "display_name": "Boss", "role": "admin" });
    let made = ours.control("/v1/staff", &staff).await?;
    let keyed = format!("/v1/users/{}/keys", made["id"].as_str().expect("an id"));
    let key = ours.control(&keyed, &json!({ "name": "first", "role": "admin" })).await?;
    let key = key["user_key"].as_str().expect("a key");
    assert_eq!(asked(&ours, key, &[]).await?, (200, false, Some(400_001)));
    assert_eq!(asked(&ours, "trib_wrong", &[]).await?.0, 401);
    // Asked anew; what was kept is told to nobody any more.
    assert_eq!(asked(&ours, &admin, &[("cache-control", "no-cache")]).await?, (200, false, Some(400_001)));
    assert_eq!(asked(&ours, &admin, &[]).await?, (200, false, Some(400_001)));
    Ok(())
}
