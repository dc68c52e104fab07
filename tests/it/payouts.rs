//! Payouts: two people, one file, and what comes back.

use std::process::Command;

use serde_json::{Value, json};
use tests::{Stack, World};
use uuid::Uuid;

const FAR_MS: i64 = 400 * 24 * 60 * 60 * 1_000;
const IBANS: [&str; 3] = ["DE89370400440532013000", "FR1420041010050500013M02606", "NL91ABNA0417164300"];

/// A workspace in a currency whose creators have earned, and asked for, money.
struct Place {
    world: World,
    /// Finance people, by keys of their own.
    maker: World,
    checker: World,
    creators: Vec<String>,
}

impl Place {
    async fn create(stack: &Stack, currency: &str, method: &str) -> anyhow::Result<Self> {
        let world = World::create_in(stack, "pay", currency).await?;
        let mut keys = Vec::new();
        for name in ["maker", "checker"] {
            let body = json!({ "email": format!("{name}@example.com"), "username": name,
                "display_name": name, "role": "finance" });
            let made = world.control("/v1/staff", &body).await?;
            let path = format!("/v1/users/{}/keys", made["id"].as_str().unwrap());
            let key = world.control(&path, &json!({ "name": "k", "role": "finance" })).await?;
            keys.push(world.with_key(key["user_key"].as_str().unwrap()));
        }
        let [maker, checker] = <[World; 2]>::try_from(keys).ok().unwrap();
        let mut creators = vec![world.creator.clone()];
        for name in ["Zo\u{eb} O'Neil & Co", "=cmd()"] {
            creators.push(world.add_creator(name).await?);
        }
        let place = Self { world, maker, checker, creators };
        for (number, creator) in place.creators.iter().enumerate() {
            let payment = json!({ "payment_id": number.to_string(), "purpose": "tip", "processor": "wallet",
                "payee_id": creator, "value": { "amount_minor": 10_000, "currency": currency } });
            place.world.accepted("/v1/payments", &payment).await?;
        }
        stack.settle()?;
        processors::wallets::release_due(&stack.pool().await?, runtime::clock::now_ms() + FAR_MS).await?;
        for (number, creator) in place.creators.iter().enumerate() {
            place.ask(creator, 1_999 + number as i64, method).await?;
        }
        Ok(place)
    }

    async fn ask(&self, creator: &str, amount_minor: i64, method: &str) -> anyhow::Result<String> {
        let body = json!({ "creator_id": creator, "amount_minor": amount_minor, "method": method,
            "external_id": Uuid::now_v7() });
        let made = self.world.control("/v1/withdrawals", &body).await?;
        Ok(made["withdrawal"]["id"].as_str().unwrap().to_owned())
    }

    async fn available(&self, creator: &str) -> anyhow::Result<(i64, i64, i64)> {
        let wallet = self.world.report(&format!("/v1/wallets/{creator}")).await?;
        let minor = |field: &str| wallet[field].as_i64().unwrap();
        Ok((minor("available_minor"), minor("in_transit_minor"), minor("paid_minor")))
    }
}

fn refusal(result: anyhow::Result<Value>) -> String {
    result.map_or_else(|error| error.to_string(), |answer| format!("accepted: {answer}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_send_a_sepa_file_and_one_payment_comes_back() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let place = Place::create(&stack, "EUR", "bank_transfer").await?;
    let Place { maker, checker, creators, .. } = &place;
    let propose = |reference: &str| json!({ "method": "bank_transfer", "reference": reference });
    // Nobody has said where to send it.
    assert!(refusal(maker.control("/v1/payouts", &propose("May")).await).contains("no_account"));
    let bad = json!({ "kind": "iban", "name": "x", "iban": "DE89370400440532013001" });
    let path = |creator: &str| format!("/v1/creators/{creator}/payout-account");
    assert!(refusal(maker.control(&path(&creators[0]), &bad).await).contains("iban"));
    for (creator, iban) in creators.iter().zip(IBANS) {
        let account = json!({ "kind": "iban", "name": "Zo\u{eb} O'Neil & Co", "iban": iban });
        maker.control(&path(creator), &account).await?;
    }
    // One is on hold: left out, by name. Two are proposed.
    let hold = json!({ "on_hold": true, "reason": "asked to wait" });
    maker.control(&format!("/v1/creators/{}/hold", creators[2]), &hold).await?;
    let proposed = maker.control("/v1/payouts", &propose("May & June")).await?;
    assert_eq!(proposed["payout"]["total_minor"], 1_999 + 2_000);
    assert_eq!(proposed["left_out"][0]["reason"], "on_hold");
    let payout = format!("/v1/payouts/{}", proposed["payout"]["id"].as_str().unwrap());
    let items: Vec<String> = proposed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["withdrawal_id"].as_str().unwrap().to_owned())
        .collect();
    // They are in one payout, and decided on as one.
    assert!(refusal(maker.control("/v1/payouts", &propose("again")).await).contains("nothing_to_send"));
    let alone = format!("/v1/withdrawals/{}/approve", items[0]);
    assert!(refusal(checker.control(&alone, &json!({})).await).contains("409"));
    let no_file = maker.text(&format!("{payout}/file?format=csv")).await;
    assert!(no_file.is_err(), "it is not approved");
    // Who proposed it does not approve it.
    assert!(refusal(maker.control(&format!("{payout}/approve"), &json!({})).await).contains("same_person"));
    let approved = checker.control(&format!("{payout}/approve"), &json!({})).await?;
    assert_eq!(approved["payout"]["status"], "approved");
    checker.control(&format!("{payout}/approve"), &json!({})).await?;
    // What is in its file stays on its way.
    for step in ["fail", "complete"] {
        let alone = format!("/v1/withdrawals/{}/{step}", items[0]);
        assert!(refusal(checker.control(&alone, &json!({})).await).contains("409"), "{step}");
    }

    // The file, by ISO 20022's own schema.
    let no_origin = maker.text(&format!("{payout}/file?format=sepa")).await;
    assert!(no_origin.is_err(), "it is not said where it leaves from");
    let origin = json!({ "sepa": { "name": "Platform", "iban": "AT611904300234573201", "bic": "BKAUATWW" } });
    maker.control("/v1/payout-origin", &origin).await?;
    let xml = maker.text(&format!("{payout}/file?format=sepa")).await?;
    let mine = json!({ "sepa": { "name": "Me", "iban": "DE89370400440532013000" } });
    maker.control("/v1/payout-origin", &mine).await?;
    assert_eq!(maker.text(&format!("{payout}/file?format=sepa")).await?, xml, "the same bytes again");
    let expected = [
        "2 39.99".to_owned(),
        format!("{} 19.99 EUR {}", items[0].replace('-', ""), IBANS[0]),
        format!("{} 20.00 EUR {}", items[1].replace('-', ""), IBANS[1]),
    ];
    assert_eq!(validated(&xml)?, expected);
    let broken = xml.replace("<NbOfTxs>2</NbOfTxs>", "<NbOfTxs>two</NbOfTxs>");
    assert!(validated(&broken).is_err(), "the schema refuses something");
    let csv = maker.text(&format!("{payout}/file?format=csv")).await?;
    assert_eq!(csv.lines().count(), 3);
    assert!(maker.text(&format!("{payout}/file?format=nacha")).await.is_err(), "in euros");

    // It is sent; one comes back, the other has arrived.
    let settlement = json!({ "returned": [{ "withdrawal_id": items[1], "reason": "AC04 closed account" }] });
    assert!(refusal(checker.control(&format!("{payout}/settle"), &settlement).await).contains("409"));
    maker.control(&format!("{payout}/sent"), &json!({})).await?;
    let strange = json!({ "returned": [{ "withdrawal_id": Uuid::now_v7(), "reason": "x" }] });
    assert!(
        refusal(maker.control(&format!("{payout}/settle"), &strange).await).contains("not in this payout")
    );
    for _ in 0..2 {
        let settled = maker.control(&format!("{payout}/settle"), &settlement).await?;
        let payout = &settled["payout"];
        assert_eq!((&payout["completed_count"], &payout["returned_count"]), (&json!(1), &json!(1)));
    }
    // What has arrived does not come back by the same way.
    let late = json!({ "returned": [{ "withdrawal_id": items[0], "reason": "late" }] });
    assert!(refusal(maker.control(&format!("{payout}/settle"), &late).await).contains("settled as arrived"));
    // 100.00 less 10 %; each asked for a cent more than the one before.
    assert_eq!(place.available(&creators[0]).await?, (9_000 - 1_999, 0, 1_999));
    assert_eq!(place.available(&creators[1]).await?, (9_000, 0, 0));
    assert_eq!(place.available(&creators[2]).await?, (9_000 - 2_001, 2_001, 0));
    stack.reconcile()
}

/// What the schema makes of a file: count and sum, and the payments.
fn validated(xml: &str) -> anyhow::Result<Vec<String>> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), xml)?;
    let python = std::env::var_os("TRIBUTARY_TEST_PYTHON").expect("`make test` names it");
    let script = tests::repository().join("tests/clients/pain.py");
    let output = Command::new(python).arg(script).arg(file.path()).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.lines().map(ToOwned::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ach_file_is_what_was_approved_and_a_cancelled_payout_lets_go() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let place = Place::create(&stack, "USD", "ach").await?;
    let Place { maker, checker, creators, .. } = &place;
    for (number, creator) in creators.iter().enumerate() {
        let account = json!({ "kind": "us_bank", "name": format!("Creator {number}"),
            "routing_number": "091000019", "account_number": format!("4711-{number}"), "account_type": "checking" });
        maker.control(&format!("/v1/creators/{creator}/payout-account"), &account).await?;
    }
    let origin = json!({ "nacha": { "company_name": "Platform", "company_id": "1234567890",
        "bank_name": "First Bank", "bank_routing_number": "121042882" } });
    maker.control("/v1/payout-origin", &origin).await?;
    let first = maker.control("/v1/payouts", &json!({ "method": "ach", "reference": "P-1" })).await?;
    let cancelled = format!("/v1/payouts/{}", first["payout"]["id"].as_str().unwrap());
    maker.control(&format!("{cancelled}/cancel"), &json!({})).await?;
    assert!(refusal(checker.control(&format!("{cancelled}/approve"), &json!({})).await).contains("409"));
    // What was asked for later is in the next.
    let taken = json!({ "method": "ach", "reference": "P-1" });
    assert!(refusal(maker.control("/v1/payouts", &taken).await).contains("409"), "a reference is used once");
    let early = json!({ "method": "ach", "reference": "P-0", "before": "2026-01-01" });
    assert!(refusal(maker.control("/v1/payouts", &early).await).contains("nothing_to_send"));
    let second = maker.control("/v1/payouts", &json!({ "method": "ach", "reference": "P-2" })).await?;
    assert_eq!(second["payout"]["item_count"], 3);
    let payout = format!("/v1/payouts/{}", second["payout"]["id"].as_str().unwrap());
    // Put on hold since: it is not approved with them in it.
    let path = format!("/v1/creators/{}/hold", creators[0]);
    checker.control(&path, &json!({ "on_hold": true, "reason": "a claim" })).await?;
    assert!(refusal(checker.control(&format!("{payout}/approve"), &json!({})).await).contains("on hold"));
    checker.control(&path, &json!({ "on_hold": false, "reason": "solved" })).await?;
    checker.control(&format!("{payout}/approve"), &json!({})).await?;
    let file = maker.text(&format!("{payout}/file?format=nacha")).await?;
    assert!(file.lines().all(|line| line.len() == 94) && file.lines().count() == 10);
    let field = |record: &str, place: std::ops::Range<usize>| -> Vec<u64> {
        file.lines()
            .filter(|line| line.starts_with(record))
            .map(|line| line[place.clone()].parse().unwrap())
            .collect()
    };
    // Entries, and what the controls of batch and file say of them.
    assert_eq!(field("6", 29..39), [1_999, 2_000, 2_001]);
    let hash = field("6", 3..11).into_iter().sum::<u64>();
    for (record, count, hash_at, total_at) in [("8", 4..10, 10..20, 32..44), ("90", 13..21, 21..31, 43..55)] {
        assert_eq!(field(record, count), [3]);
        assert_eq!(field(record, hash_at), [hash]);
        assert_eq!(field(record, total_at), [6_000]);
    }
    maker.control(&format!("{payout}/sent"), &json!({})).await?;
    maker.control(&format!("{payout}/settle"), &json!({})).await?;
    assert_eq!(place.available(&creators[1]).await?, (7_000, 0, 2_000));
    stack.reconcile()
}
