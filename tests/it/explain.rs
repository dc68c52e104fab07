//! Why an action earned what it did: each answer, as people and programs see
//! it, against a file beside this one. `UPDATE_SNAPSHOTS=1` writes them anew.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Stack, World, repository};
use uuid::Uuid;

/// Gives ids names and times a form that is the same in every run.
fn plain(value: &mut Value, names: &mut HashMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                match field.as_str() {
                    "at_ms" | "waited_ms" | "batch_id" if value.is_number() => *value = json!("a number"),
                    _ => plain(value, names),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| plain(item, names)),
        Value::String(text) if Uuid::parse_str(text).is_ok() => {
            let next = names.len() + 1;
            *text = names.entry(text.clone()).or_insert_with(|| format!("id-{next}")).clone();
        }
        _ => {}
    }
}

/// Lengths of time are no two runs' the same.
fn without_times(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in line.split(' ') {
        match words.last() {
            Some(last) if ["s", "min", "h"].contains(&word) && last.parse::<f64>().is_ok() => {
                words.pop();
                words.push("a-while");
            }
            _ => words.push(word),
        }
    }
    words.join(" ")
}

/// What is explained of `id`, in both forms.
async fn explained(stack: &Stack, world: &World, id: &str) -> anyhow::Result<String> {
    let mut answer = world.report(&format!("/v1/conversions/{id}/explain")).await?;
    let mut names = HashMap::from([(id.to_owned(), "the-action".to_owned())]);
    plain(&mut answer, &mut names);
    let said = stack.run(&["explain", id, "--workspace", &world.slug])?;
    let mut said = String::from_utf8(said.stdout)?;
    for (id, name) in &names {
        said = said.replace(id, name);
    }
    let lines: Vec<String> = said.lines().map(without_times).collect();
    Ok(format!("{}\n\n{}\n", lines.join("\n"), serde_json::to_string_pretty(&answer)?))
}

fn check(case: &str, said: &str) -> anyhow::Result<()> {
    let path: PathBuf = repository().join("tests/it/explained").join(format!("{case}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a directory"))?;
        std::fs::write(&path, said)?;
    }
    let expected = std::fs::read_to_string(&path)?;
    assert_eq!(said, expected, "{case}: if this is as it should be, run with UPDATE_SNAPSHOTS=1");
    Ok(())
}

fn order(number: &str, extra: &Value) -> Value {
    let mut order = json!({ "order_id": number, "value": { "amount_minor": 9_900, "currency": "USD" } });
    let fields = order.as_object_mut().expect("an object");
    fields.extend(extra.as_object().expect("an object").clone());
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_is_explained() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "explained").await?;
    let clicks = world.campaign("click", 5, 1_000).await?;
    let sales = world.campaign("sale", 600, 100_000).await?;
    let poor = world.campaign("sale", 600, 500).await?;
    let linear = world
        .campaign_with("sale", 100_000, &json!({ "payout_minor": 100, "model": { "name": "linear" } }))
        .await?;
    let brief =
        world.campaign_with("sale", 100_000, &json!({ "payout_minor": 100, "window_days": 0 })).await?;
    let coupon = json!({ "code": "ada10", "campaign_id": sales.id, "creator_id": world.creator });
    world.control("/v1/coupons", &coupon).await?;

    let click = world.click(&sales.code, "visitor-credited").await?;
    let credited = world.accepted("/v1/sales", &order("A-1", &json!({ "tcid": click.token }))).await?;
    world.click(&clicks.code, "visitor-twice").await?;
    let duplicate = world.click(&clicks.code, "visitor-twice").await?.id;
    let robot = world.click_as("curl/8.0", &clicks.code, "visitor-robot").await?.id;
    let early = world.click(&brief.code, "visitor-expired").await?;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let expired = world.accepted("/v1/sales", &order("A-2", &json!({ "tcid": early.token }))).await?;
    let click = world.click(&poor.code, "visitor-poor").await?;
    let budget = world.accepted("/v1/sales", &order("A-3", &json!({ "tcid": click.token }))).await?;
    for code in ["linear-2", "linear-3"] {
        world.link(&linear, code, &json!({})).await?;
    }
    // The second is a repeat: it has no share.
    for code in [&linear.code, &linear.code, "linear-2", "linear-3"] {
        world.click(code, "visitor-linear").await?;
    }
    let shared =
        world.accepted("/v1/sales", &order("A-4", &json!({ "visitor_id": "visitor-linear" }))).await?;
    let again = json!({ "id": "another", "tcid": click.token });
    let reported = world.accepted("/v1/sales", &order("A-3", &again)).await?;
    let click = world.click(&sales.code, "visitor-returns").await?;
    let refunded = world.accepted("/v1/sales", &order("A-7", &json!({ "tcid": click.token }))).await?;
    let back = json!({ "order_id": "A-7", "refund_id": "R-1", "user_id": "the-shop",
        "value": { "amount_minor": 3_300, "currency": "USD" } });
    let refund = world.accepted("/v1/refunds", &back).await?;
    // A sale that knows its user alone, whose browser is named only later.
    world.click(&sales.code, "visitor-browser").await?;
    let waited = world.accepted("/v1/sales", &order("A-5", &json!({ "user_id": "anna" }))).await?;
    // Longer than it is held: it is parked by then.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let identify = json!({ "type": "identify", "visitor_id": "visitor-browser", "user_id": "anna" });
    world.accepted("/v1/events", &identify).await?;
    // A coupon counts from four seconds after it was made.
    tokio::time::sleep(Duration::from_millis(3_000)).await;
    let couponed = json!({ "visitor_id": "a stranger", "coupon": " Ada10 " });
    let couponed = world.accepted("/v1/sales", &order("A-6", &couponed)).await?;
    stack.settle()?;

    for (case, id) in [
        ("credited", credited),
        ("duplicate", duplicate),
        ("robot", robot),
        ("window-expired", expired),
        ("budget-exhausted", budget),
        ("shared", shared),
        ("refunded", refunded),
        ("refund", refund),
        ("reported-again", reported),
        ("parked-then-matched", waited),
        ("coupon", couponed),
    ] {
        check(case, &explained(&stack, &world, &id.to_string()).await?)?;
        touches_are_told(&stack, &world, id).await?;
    }
    let query = "SELECT DISTINCT toString(event_id) FROM touches";
    let known: Vec<String> = stack.clickhouse().query(query).fetch_all().await?;
    assert!([credited, shared, couponed].iter().filter(|id| known.contains(&id.to_string())).count() == 2);
    stack.reconcile()
}

/// ClickHouse knows of the clicks behind an action what is explained of it.
async fn touches_are_told(stack: &Stack, world: &World, id: Uuid) -> anyhow::Result<()> {
    let answer = world.report(&format!("/v1/conversions/{id}/explain")).await?;
    let leg = &answer["legs"][0];
    let is_told = leg["kind"] == "sale" || leg["kind"] == "conversion";
    let none = Vec::new();
    let touches = leg["attribution"]["touches"].as_array().filter(|_| is_told).unwrap_or(&none);
    let weights: f64 = touches.iter().filter_map(|touch| touch["weight"].as_f64()).sum();
    let mut expected: Vec<(i64, String, String, f64)> = touches
        .iter()
        .map(|touch| {
            let text = |name: &str| touch[name].as_str().expect("an id").to_owned();
            let weight = touch["weight"].as_f64().expect("a weight");
            let share = if weights > 0.0 { weight / weights } else { 0.0 };
            (touch["at_ms"].as_i64().expect("a time"), text("click"), text("link"), share)
        })
        .collect();
    expected.sort_by(|a, b| a.1.cmp(&b.1));
    let told: Vec<(i64, String, String, f64)> = stack
        .clickhouse()
        .query(
            "SELECT toUnixTimestamp64Milli(touched_at), toString(click_id) AS click, toString(link_id), share
             FROM touches FINAL WHERE event_id = ? ORDER BY click",
        )
        .bind(id)
        .fetch_all()
        .await?;
    assert_eq!(told, expected, "{id}");
    Ok(())
}
