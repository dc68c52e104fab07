//! Batches that are right, and each way of being wrong.

use super::*;

const ESCROW: u128 = 1;
const CREATOR: u128 = 2;
const FEE: u128 = 3;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn kind_of(account: &Uuid) -> Option<AccountKind> {
    let kinds = [
        (ESCROW, AccountKind::CampaignEscrow),
        (CREATOR, AccountKind::CreatorPending),
        (FEE, AccountKind::PlatformFee),
    ];
    kinds.into_iter().find(|(number, _)| id(*number) == *account).map(|(_, kind)| kind)
}

fn line(transaction: u128, line: i16, account: u128, amount_minor: i64) -> LineRecord {
    let currency = Currency::new("USD").unwrap();
    LineRecord { transaction: id(transaction), line, account: id(account), amount_minor, currency }
}

fn transaction(number: u128, kind: TransactionKind) -> TransactionRecord {
    TransactionRecord { id: id(number), kind, source: id(number + 100), leg: 0 }
}

fn outcome(number: u128, status: &str, gross_minor: i64) -> WrittenOutcome {
    let record = OutcomeRecord {
        event: id(number + 100),
        leg: 0,
        status: status.to_owned(),
        reason: String::new(),
        campaign: Uuid::nil(),
        creator: Uuid::nil(),
        amounts_minor: [gross_minor, gross_minor - 1, 0],
        currency: "USD".to_owned(),
        payload_hash: "h".to_owned(),
        original: None,
    };
    let transaction = (status == "posted").then_some(id(number));
    WrittenOutcome { record, other_minor: 1, transaction }
}

/// Two payouts, one of which is refunded in part, a rejection, and a funding.
fn rows() -> BatchRows {
    BatchRows {
        outcomes: vec![
            outcome(10, "posted", 100),
            outcome(11, "rejected_budget", 0),
            outcome(12, "posted", -40),
        ],
        transactions: vec![
            transaction(12, TransactionKind::Refund),
            transaction(10, TransactionKind::Campaign),
            transaction(13, TransactionKind::Escrow),
        ],
        lines: vec![
            line(13, 0, 9, -500),
            line(13, 1, ESCROW, 500),
            line(10, 2, FEE, 10),
            line(10, 0, ESCROW, -100),
            line(10, 1, CREATOR, 90),
            line(12, 0, CREATOR, -40),
            line(12, 1, ESCROW, 40),
        ],
    }
}

fn head(rows: &BatchRows) -> BatchHead {
    let outcomes = rows.outcomes.iter().map(|outcome| outcome.record.clone()).collect();
    let hash_before = [7; 32];
    BatchHead {
        name: "credits/0@0".to_owned(),
        outcome_count: rows.outcomes.len() as u64,
        transaction_count: rows.transactions.len() as u64,
        line_count: rows.lines.len() as u64,
        previous_hash: hash_before,
        hash_before,
        hash: Records { outcomes, lines: rows.lines.clone() }.chained(&hash_before),
    }
}

#[test]
fn a_right_batch_has_no_flaw_and_its_sums() {
    let rows = rows();
    let findings = audit(&head(&rows), rows, kind_of);
    assert_eq!(findings.flaws, Flaws::default());
    let moved = [(ESCROW, 440), (CREATOR, 50), (FEE, 10), (9, -500)];
    assert_eq!(findings.moved_minor, moved.map(|(account, minor)| (id(account), minor)).into());
    assert_eq!(findings.spent_minor, [(id(ESCROW), 60)].into());
    let mut twice = findings.clone();
    twice.add(findings);
    assert_eq!(twice.spent_minor, [(id(ESCROW), 120)].into());
}

#[test]
fn every_flaw_is_named() {
    let check = |change: fn(&mut BatchRows), expected: &[(u8, u128, &str)]| {
        let mut rows = rows();
        change(&mut rows);
        // As if it had been written so: only what is wrong in itself is told.
        let found = audit(&head(&rows), rows, kind_of).flaws;
        let found: Vec<_> =
            found.iter().map(|flaw| (flaw.invariant, &flaw.id[..], &flaw.detail[..])).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(number, id, detail)| (*number, self::id(*id).to_string(), *detail))
            .collect();
        let expected: Vec<_> =
            expected.iter().map(|(number, id, detail)| (*number, &id[..], *detail)).collect();
        assert_eq!(found, expected);
    };
    check(|_| (), &[]);
    check(|rows| rows.lines[2].amount_minor = 11, &[(1, 10, "3 lines in USD sum to 1")]);
    check(
        |rows| rows.lines.truncate(5),
        &[
            (1, 12, "has no lines"),
            (9, 112, "outcome posted of -40, transaction 00000000-0000-0000-0000-00000000000c of 0"),
        ],
    );
    check(
        |rows| rows.lines[1].currency = Currency::new("EUR").unwrap(),
        &[(1, 13, "1 lines in USD sum to -500"), (1, 13, "1 lines in EUR sum to 500")],
    );
    check(
        |rows| rows.outcomes[0].record.amounts_minor = [101, 100, 0],
        &[(9, 110, "outcome posted of 101, transaction 00000000-0000-0000-0000-00000000000a of 100")],
    );
    check(
        |rows| rows.outcomes[0].transaction = Some(id(12)),
        &[(9, 110, "outcome posted of 100, transaction 00000000-0000-0000-0000-00000000000c of 100")],
    );
    check(
        |rows| rows.outcomes[1].record.status = "posted".to_owned(),
        &[(9, 111, "outcome posted of 0, transaction none of 0")],
    );
    check(
        |rows| rows.outcomes[2].record.status = "rejected_rule".to_owned(),
        &[(9, 112, "outcome rejected_rule of -40, transaction 00000000-0000-0000-0000-00000000000c of -40")],
    );
    check(|rows| rows.outcomes[0].other_minor = 2, &[(17, 110, "gross 100, creator 99, fee 0, other 2")]);
    check(
        |rows| drop(rows.outcomes.remove(0)),
        &[(9, 110, "transaction 00000000-0000-0000-0000-00000000000a of 100, no outcome")],
    );
    check(
        |rows| {
            rows.transactions[0].source = id(110);
            rows.outcomes.pop();
        },
        &[
            (9, 110, "has several transactions"),
            (9, 110, "outcome posted of 100, transaction 00000000-0000-0000-0000-00000000000a of -40"),
        ],
    );
}

#[test]
fn what_was_changed_since_does_not_fit_the_chain() {
    let check = |change: fn(&mut BatchHead, &mut BatchRows), expected: &str| {
        let mut rows = rows();
        let mut head = head(&rows);
        change(&mut head, &mut rows);
        let found = audit(&head, rows, kind_of).flaws;
        let found: Vec<&str> = found.of(6).iter().map(|flaw| flaw.detail.as_str()).collect();
        assert_eq!(found, [expected]);
    };
    check(|head, _| head.hash_before = [8; 32], "does not link to the batch before it");
    check(|_, rows| rows.lines.truncate(6), "it wrote 7 ledger lines; 6 are there");
    check(|_, rows| rows.outcomes.truncate(2), "it wrote 3 outcomes; 2 are there");
    check(|_, rows| rows.transactions.truncate(2), "it wrote 3 transactions; 2 are there");
    check(|_, rows| rows.outcomes[1].record.reason = "bot".to_owned(), "its rows have changed");
    check(|_, rows| rows.lines[0].account = id(4), "its rows have changed");
}
