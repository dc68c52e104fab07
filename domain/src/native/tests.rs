use uuid::Uuid;

use super::*;

const NOW_MS: i64 = 1_800_000_000_000;

fn accept(json: &str) -> Result<Event, Refusal> {
    let keys = [SigningKey::new(0, &[1; 32])];
    let intake = Intake {
        workspace: WorkspaceId(Uuid::from_u128(1)),
        now_ms: NOW_MS,
        fresh_id: EventId(Uuid::from_u128(99)),
        keys: &keys,
    };
    NativeEvent::read(json.as_bytes())?.accept(&intake)
}

#[test]
fn each_kind_is_accepted() {
    for (json, kind) in [
        (r#"{"type":"page","visitor_id":"v","url":"https://a.example/"}"#, "page"),
        (r#"{"type":"track","visitor_id":"v","name":"play","properties":{"s":1}}"#, "track"),
        (r#"{"type":"identify","visitor_id":"v","user_id":"u"}"#, "identify"),
        (r#"{"type":"conversion","user_id":"u","goal":"signup"}"#, "conversion"),
        (
            r#"{"type":"sale","visitor_id":"v","order_id":"1","value":{"amount_minor":5,"currency":"USD"},
                    "items":[{"sku":"a","quantity":2,"unit_price_minor":2}]}"#,
            "sale",
        ),
        (
            r#"{"type":"payment","purpose":"tip","payment_id":"1","processor":"stripe",
                    "payee_id":"00000000-0000-0000-0000-000000000007","frequency":"monthly",
                    "value":{"amount_minor":5,"currency":"USD"},
                    "unlock":{"content":"post-1","minimum_minor":5}}"#,
            "payment",
        ),
        (r#"{"type":"refund","order_id":"1","refund_id":"r"}"#, "refund"),
        (r#"{"type":"refund","payment_id":"1","refund_id":"r"}"#, "refund"),
    ] {
        assert_eq!(accept(json).unwrap().body.kind(), kind);
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (json, code, text) in [
        ("{", "malformed_json", "line 1, column 1"),
        (r#"{"type":"page",}"#, "malformed_json", "column 16"),
        (r#"{"type":"page","visitor":"v"}"#, "invalid_shape", "unknown field `visitor`"),
        (r#"{"type":"view","visitor_id":"v"}"#, "unknown_type", "\"view\""),
        (r#"{"visitor_id":"v"}"#, "unknown_type", "\"\""),
        (r#"{"type":"page","visitor_id":"v"}"#, "missing_field", "needs url"),
        (r#"{"type":"page","url":"/"}"#, "missing_field", "visitor_id, user_id or tcid"),
        (r#"{"type":"page","visitor_id":"","url":"/"}"#, "invalid_field", "visitor_id: is empty"),
        (r#"{"type":"conversion","tcid":"x","goal":"g"}"#, "token_malformed", "not a click token"),
        (
            r#"{"type":"sale","visitor_id":"v","order_id":"1","value":{"amount_minor":5,"currency":"usd"}}"#,
            "invalid_field",
            "ISO 4217",
        ),
        (
            r#"{"type":"sale","visitor_id":"v","order_id":"1","value":{"amount_minor":-5,"currency":"USD"}}"#,
            "invalid_field",
            "negative",
        ),
        (
            r#"{"type":"sale","visitor_id":"v","order_id":"1","value":{"amount_minor":1.5,"currency":"USD"}}"#,
            "invalid_shape",
            "expected i64",
        ),
        (r#"{"type":"payment","payment_id":"1"}"#, "missing_field", "needs purpose"),
        (
            r#"{"type":"payment","payment_id":"1","purpose":"gift"}"#,
            "invalid_shape",
            "unknown variant `gift`",
        ),
        (r#"{"type":"payment","payment_id":"1","purpose":"tip"}"#, "missing_field", "needs payee_id"),
        (r#"{"type":"payment","payment_id":"1","purpose":"tip","payee_id":"ada"}"#, "invalid_shape", "UUID"),
        (r#"{"type":"refund","refund_id":"r"}"#, "missing_field", "needs order_id"),
        (
            r#"{"type":"refund","refund_id":"r","order_id":"1","payment_id":"1"}"#,
            "invalid_field",
            "an order or of a payment",
        ),
        (r#"{"type":"refund","order_id":"1","refund_id":"r\u0000"}"#, "invalid_field", "NUL"),
        (
            r#"{"type":"refund","order_id":"1","refund_id":"r","items":[{"sku":"a","quantity":0,"unit_price_minor":2}]}"#,
            "invalid_field",
            "quantity",
        ),
        (r#"{"type":"page","visitor_id":"v","url":"/","timestamp":1}"#, "invalid_field", "2000"),
        (
            r#"{"type":"page","visitor_id":"v","url":"/","timestamp":"2099-01-01T00:00:00Z"}"#,
            "invalid_field",
            "future",
        ),
    ] {
        let refusal = accept(json).unwrap_err();
        assert_eq!(refusal.code(), code, "{json}: {refusal}");
        assert!(refusal.to_string().contains(text), "{json}: {refusal}");
    }
    let long = format!(r#"{{"type":"page","visitor_id":"v","url":"{}"}}"#, "x".repeat(3_000));
    assert_eq!(accept(&long).unwrap_err().code(), "too_large");
    let deep = "[".repeat(20) + &"]".repeat(20);
    let deep = format!(r#"{{"type":"track","visitor_id":"v","name":"n","properties":{{"a":{deep}}}}}"#);
    assert_eq!(accept(&deep).unwrap_err().code(), "invalid_field");
}

#[test]
fn a_payment_is_named_by_its_number_whatever_else_is_said() {
    let payment = |extra: &str| {
        accept(&format!(
            r#"{{"type":"payment","purpose":"purchase","payment_id":"1","processor":"wallet",{extra}
                    "payee_id":"00000000-0000-0000-0000-000000000007",
                    "value":{{"amount_minor":5,"currency":"USD"}}}}"#
        ))
        .unwrap()
    };
    let first = payment("");
    let refund =
        |number: &str| accept(&format!(r#"{{"type":"refund","refund_id":"r","{number}":"1"}}"#)).unwrap();
    let (of_order, of_payment) = (refund("order_id"), refund("payment_id"));
    assert_ne!(of_order.id, of_payment.id);
    assert_ne!(of_order.refund().unwrap().order, of_payment.refund().unwrap().order);
    for again in [payment(r#""id":"x","#), payment(r#""visitor_id":"v","user_id":"u","#)] {
        assert_eq!((again.id, again.visitor), (first.id, first.visitor));
        assert_eq!(again.payload_hash, first.payload_hash);
    }
}

#[test]
fn an_order_names_its_sale() {
    let sale = |extra: &str| {
        accept(&format!(
            r#"{{"type":"sale","order_id":"1","value":{{"amount_minor":5,"currency":"USD"}},{extra}}}"#
        ))
        .unwrap()
    };
    let one = sale(r#""visitor_id":"a""#);
    assert_eq!(one.id, sale(r#""visitor_id":"b""#).id);
    assert_ne!(one.payload_hash, sale(r#""visitor_id":"b""#).payload_hash);
    assert_ne!(one.id, sale(r#""visitor_id":"a","id":"x""#).id);
}

#[test]
fn a_coupon_needs_no_visitor() {
    let sale = |extra: &str| {
        accept(&format!(
            r#"{{"type":"sale","order_id":"1","value":{{"amount_minor":5,"currency":"USD"}}{extra}}}"#
        ))
    };
    assert!(sale(r#","coupon":"ANNA10""#).is_ok());
    assert_eq!(sale("").unwrap_err().code(), "missing_field");
}

#[test]
fn an_order_reaches_several_goals() {
    let id = |goal: &str, order: &str| {
        let json = format!(
            r#"{{"type":"conversion","user_id":"u","goal":"{goal}","order_id":"{order}","coupon":"ANNA10"}}"#
        );
        accept(&json).unwrap().id
    };
    assert_eq!(id("signup", "1"), id("signup", "1"));
    assert_ne!(id("signup", "1"), id("renewal", "1"));
    assert_ne!(id("signup", "1"), id("signup", "2"));
}

#[test]
fn a_repeat_hashes_the_same() {
    let one = accept(
        r#"{"type":"track","visitor_id":"v","id":"1","name":"n","properties":{"b":1,"a":{"y":1,"x":2}}}"#,
    );
    let two = accept(
        r#"{"id":"1","properties":{"a":{"x":2,"y":1},"b":1},"type":"track","name":"n","visitor_id":"v"}"#,
    );
    assert_eq!(one.unwrap(), two.unwrap());
}

#[test]
fn times_are_read_both_ways() {
    let at = |timestamp: &str| {
        let json = format!(r#"{{"type":"page","visitor_id":"v","url":"/","timestamp":{timestamp}}}"#);
        accept(&json).unwrap().at_ms
    };
    assert_eq!(at("\"2026-11-21T10:00:00.123+01:00\""), 1_795_251_600_123);
    assert_eq!(at("1795251600123"), 1_795_251_600_123);
}

#[test]
fn a_clock_that_is_off_is_set_right() {
    // It is 1_800_000_000_000; the client believes it is an hour later.
    let at = |timestamp: i64, sent_at: i64| {
        let json = format!(
            r#"{{"type":"page","visitor_id":"v","url":"/","timestamp":{timestamp},"sent_at":{sent_at}}}"#
        );
        accept(&json).map(|event| (event.at_ms, event.payload_hash))
    };
    let (at_ms, hash) = at(NOW_MS + 3_590_000, NOW_MS + 3_600_000).unwrap();
    assert_eq!(at_ms, NOW_MS - 10_000);
    // Sent again later, it is the same event.
    assert_eq!(at(NOW_MS + 3_590_000, NOW_MS + 3_601_000).unwrap().1, hash);
    assert!(at(NOW_MS + 3_590_000, NOW_MS).is_err());
}

#[test]
fn events_round_trip() {
    let event =
        accept(r#"{"type":"track","visitor_id":"v","name":"n","properties":{"a":[1,"x",null]}}"#).unwrap();
    let json = serde_json::to_vec(&event).unwrap();
    assert_eq!(serde_json::from_slice::<Event>(&json).unwrap(), event);
}

proptest::proptest! {
    #[test]
    fn any_bytes_get_an_answer(bytes: Vec<u8>) {
        if let Err(refusal) = NativeEvent::read(&bytes) {
            assert!(!refusal.to_string().is_empty());
        }
    }
}
