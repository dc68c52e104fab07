//! What becomes of commands, one line each.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::command::{Basis, Boost, Sharing};
use crate::ids::{CampaignId, EventId, UserId, VisitorKey, WorkspaceId};
use crate::ledger::{Split, Transaction};
use crate::money::Currency;
use crate::rules::Objective;
use crate::wallet::Wallet;

const WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));

fn usd(amount_minor: i64) -> Money {
    Money { amount_minor, currency: Currency::new("USD").unwrap() }
}

fn fund(number: u32, campaign: u128, money: Money) -> Command {
    Command::Fund(Funding {
        external_id: format!("pay-{number}"),
        workspace: WORKSPACE,
        campaign: CampaignId(Uuid::from_u128(campaign)),
        money,
        at_ms: 1,
        boost: None,
    })
}

fn payable(event: u128, campaign: u128, payout: Money) -> Command {
    Command::Credit(Credit {
        event: EventId(Uuid::from_u128(event)),
        leg: 0,
        legs: 1,
        order: None,
        kind: Objective::Click.into(),
        workspace: WORKSPACE,
        at_ms: 10,
        visitor: VisitorKey([0; 16]),
        payload_hash: format!("hash-{event}"),
        campaign: Some(CampaignId(Uuid::from_u128(campaign))),
        creator: Some(UserId(Uuid::from_u128(77))),
        link: None,
        click: None,
        value: None,
        decision: Decision::Payable { payout, fee_bps: 1_000, other_minor: 0 },
        limits: None,
        basis: Basis::none(),
    })
}

fn changed(command: &Command, change: impl FnOnce(&mut Credit)) -> Command {
    let Command::Credit(mut credit) = command.clone() else { panic!("a credit") };
    change(&mut credit);
    Command::Credit(credit)
}

/// One line a command: what became of it, and the budget left.
fn run(commands: &[Command]) -> Vec<String> {
    let mut known = Known::new();
    let mut budgets = BTreeMap::new();
    let mut lines = Vec::new();
    for command in commands {
        let plan = settle(
            std::slice::from_ref(command),
            Books { known: known.clone(), budgets, ..Books::default() },
        );
        let what = match (&plan.outcomes[..], &plan.fundings[..], &plan.quarantined[..]) {
            ([outcome], _, _) => {
                known.insert((outcome.event.0, outcome.leg), outcome.payload_hash.clone());
                outcome.reason.map_or(outcome.status.code(), Reason::code)
            }
            (_, [funding], _) => {
                known.insert((funding.id(), 0), funding.payload_hash());
                "funded"
            }
            (_, _, [quarantined]) => quarantined.reason,
            _ => "repeat",
        };
        budgets = plan.budgets;
        let left: i64 = budgets.values().map(|budget| budget.available_minor).sum();
        lines.push(format!("{what} {left}"));
    }
    lines
}

/// A reward goes with the leg that it is for, in one batch or in two.
#[test]
fn rewards_for_sharing_go_with_what_was_shared() {
    let leg = |event: u128, leg: u16, minor: i64| {
        changed(&payable(event, 5, usd(minor)), |credit| {
            credit.leg = leg;
            credit.legs = 2;
            credit.basis.sharing = (leg == 1).then_some(Sharing { of_leg: 0, bps: 1_000 });
        })
    };
    let status = |plan: &Plan| -> Vec<&str> {
        let outcomes = plan.outcomes.iter();
        outcomes.map(|outcome| outcome.reason.map_or(outcome.status.code(), Reason::code)).collect()
    };
    let commands = [fund(1, 5, usd(50)), leg(1, 0, 40), leg(1, 1, 4), leg(2, 0, 40), leg(2, 1, 4)];
    let plan = settle(&commands, Books::default());
    assert_eq!(status(&plan), ["posted", "posted", "budget_exhausted", "shared_unpaid"]);
    assert_eq!(shared_legs_of(&commands), [(Uuid::from_u128(1), 0), (Uuid::from_u128(2), 0)]);
    for (paid, expected) in [(true, "posted"), (false, "shared_unpaid")] {
        let paid = paid.then_some((Uuid::from_u128(3), 0)).into_iter().collect();
        let books = Books { budgets: plan.budgets.clone(), paid, ..Books::default() };
        assert_eq!(status(&settle(&[leg(3, 1, 4)], books)), [expected]);
    }
}

#[test]
fn what_becomes_of_commands() {
    let eur = |amount_minor| Money { amount_minor, currency: Currency::new("EUR").unwrap() };
    let one = payable(1, 5, usd(40));
    let commands = [
        (one.clone(), "budget_exhausted 0"),
        (fund(1, 5, usd(100)), "funded 100"),
        (fund(1, 5, usd(100)), "repeat 100"),
        (fund(1, 5, usd(200)), "same id, other payload 100"),
        (fund(2, 5, eur(5)), "currency is not the budget's 100"),
        (fund(3, 5, usd(0)), "amount not above zero 100"),
        (one.clone(), "repeat 100"),
        (payable(2, 5, usd(40)), "posted 60"),
        (payable(2, 5, usd(40)), "repeat 60"),
        (changed(&payable(2, 5, usd(40)), |c| c.payload_hash = "x".into()), "same id, other payload 60"),
        (
            changed(&payable(9, 5, usd(40)), |c| c.decision = Decision::Quarantined),
            "same id, other payload 60",
        ),
        (payable(3, 5, eur(40)), "currency_mismatch 60"),
        (payable(4, 5, usd(40)), "posted 20"),
        (payable(5, 5, usd(40)), "budget_exhausted 20"),
        (payable(6, 5, usd(20)), "posted 0"),
        (payable(7, 6, usd(1)), "budget_exhausted 0"),
        (
            changed(&payable(8, 5, usd(1)), |c| c.decision = Decision::Nonpayable { reason: Reason::Bot }),
            "bot 0",
        ),
    ];
    let (commands, expected): (Vec<_>, Vec<_>) = commands.into_iter().unzip();
    assert_eq!(run(&commands), expected);
}

#[test]
fn a_payout_is_three_lines() {
    let plan = settle(&[fund(1, 5, usd(1_000)), payable(2, 5, usd(250))], Books::default());
    let changes: Vec<_> =
        plan.account_changes().into_iter().map(|(key, change)| (key.kind.code(), change)).collect();
    assert_eq!(
        changes,
        [("cash", -1_000), ("campaign_escrow", 750), ("creator_pending", 225), ("platform_fee", 25)]
    );
}

/// A sale of `order`, as one of `legs`.
fn sale(event: u128, leg: u16, legs: u16, order: u128, payout: Money) -> Command {
    changed(&payable(event, 5, payout), |credit| {
        credit.kind = Objective::Sale.into();
        (credit.leg, credit.legs) = (leg, legs);
        credit.order = Some(Uuid::from_u128(order));
        credit.value = Some(usd(1_000));
        credit.creator = Some(UserId(Uuid::from_u128(70 + u128::from(leg))));
    })
}

fn refund(event: u128, order: u128, value: Option<Money>) -> Refund {
    Refund {
        event: EventId(Uuid::from_u128(event)),
        workspace: WORKSPACE,
        visitor: VisitorKey([1; 16]),
        at_ms: 20,
        order: Uuid::from_u128(order),
        refund_id: event.to_string(),
        value,
        payload_hash: format!("refund-{event}"),
    }
}

fn clawback(event: u128, order: u128, value: Option<Money>) -> Command {
    let campaign = Some(CampaignId(Uuid::from_u128(5)));
    Command::Clawback(Clawback { refund: refund(event, order, value), campaign })
}

/// The books between batches, as the database keeps them.
#[derive(Default)]
struct Database {
    books: Books,
    outcomes: Vec<Outcome>,
    transactions: Vec<Transaction>,
    resolved: Vec<Clawback>,
}

impl Database {
    fn settle(&mut self, commands: &[Command]) {
        let mut books = self.books.clone();
        let Orders { sold, sought, found } = orders_of(commands);
        books.waiting.retain(|order, _| sold.contains(order));
        let keys = sought.into_iter().chain(found).chain(books.waiting.keys().copied());
        books.orders = keys.map(|key| (key, self.order(key))).collect();
        let plan = settle(commands, books);
        for outcome in &plan.outcomes {
            self.books.known.insert((outcome.event.0, outcome.leg), outcome.payload_hash.clone());
        }
        for funding in &plan.fundings {
            self.books.known.insert((funding.id(), 0), funding.payload_hash());
        }
        self.books.budgets = plan.budgets;
        self.books.spending = plan.spending;
        for clawback in &plan.resolved {
            self.books.waiting.remove(&clawback.refund.order);
        }
        for parked in plan.parked {
            self.books.waiting.entry(parked.order).or_default().push(parked);
        }
        self.outcomes.extend(plan.outcomes);
        self.transactions.extend(plan.transactions);
        self.resolved.extend(plan.resolved);
    }

    fn order(&self, key: Uuid) -> Order {
        let mut order = Order::default();
        let of_order = || self.outcomes.iter().filter(|outcome| outcome.order == Some(key));
        order.sold.extend(of_order().filter_map(Outcome::sold));
        for refund in of_order().filter(|outcome| outcome.original.is_some()) {
            let back = refund.payout.map_or_else(Split::default, |payout| payout.paid.split.negated());
            let sold = order.sold.iter_mut().find(|sold| Some((sold.event, sold.leg)) == refund.original);
            let sold = sold.expect("a refund is of a sale");
            sold.taken = sold.taken.plus(back);
            let event = refund.original.unwrap().0;
            *order.refunded_minor.entry(event).or_default() -=
                refund.value.map_or(0, |value| value.amount_minor);
            order.refund_ids.extend(refund.refund_id.clone());
        }
        order
    }
}

#[test]
fn a_refund_waits_until_all_of_its_sale_is_settled() {
    let first = refund(9, 1, None);
    let log = [
        fund(1, 5, usd(1_000)),
        Command::Refund(first.clone()),
        sale(2, 0, 2, 1, usd(100)),
        sale(2, 1, 2, 1, usd(50)),
    ];
    let expected = [Clawback { refund: first, campaign: Some(CampaignId(Uuid::from_u128(5))) }];
    for batch in 1..=log.len() {
        let mut database = Database::default();
        for (place, commands) in log.chunks(batch).enumerate() {
            let is_last = (place + 1) * batch >= log.len();
            database.settle(commands);
            assert_eq!(database.resolved.is_empty(), !is_last, "{batch}");
        }
        assert_eq!(database.resolved, expected, "{batch}");
        assert!(database.books.waiting.is_empty());
        // A later one finds the sale at once.
        database.settle(&[Command::Refund(refund(10, 1, Some(usd(1))))]);
        assert_eq!(database.resolved.len(), 2);
    }
}

/// A payment to creator 7: 10 % to the platform, 59 to the processor.
fn tip(event: u128, order: u128, amount: Money) -> Command {
    changed(&payable(event, 5, amount), |credit| {
        credit.kind = CreditKind::Payment(crate::payment::Purpose::Tip);
        credit.campaign = None;
        credit.creator = Some(UserId(Uuid::from_u128(7)));
        credit.order = Some(Uuid::from_u128(order));
        credit.value = Some(amount);
        credit.decision = Decision::Payable { payout: amount, fee_bps: 1_000, other_minor: 59 };
    })
}

#[test]
fn a_payment_goes_to_its_payee_and_back() {
    let sum = |database: &Database| {
        let changes = crate::ledger::changes_of(&database.transactions);
        changes.into_iter().map(|(key, change)| (key.kind.code(), change)).collect::<Vec<_>>()
    };
    let mut database = Database::default();
    let paid = tip(2, 1, usd(1_000));
    assert_eq!(paid.key(), Uuid::from_u128(1), "its order");
    database.settle(&[paid, Command::Refund(refund(9, 1, Some(usd(500))))]);
    let parts = [("cash", -1_000), ("creator_pending", 841), ("processor_fee", 59), ("platform_fee", 100)];
    assert_eq!(sum(&database), parts);
    let clawback = database.resolved.pop().unwrap();
    assert_eq!(clawback.campaign, None);
    let clawback = Command::Clawback(clawback);
    assert_eq!(clawback.key(), Uuid::from_u128(1), "it follows");
    database.settle(&[clawback]);
    // Half of each part, 420.5, 29.5 and 50, would be 501: the platform gives 49.
    let half = [
        ("cash", -500),
        ("creator_pending", 841),
        ("creator_debt", -421),
        ("processor_fee", 29),
        ("platform_fee", 51),
    ];
    assert_eq!(sum(&database), half);
    let rest = Clawback { refund: refund(10, 1, None), campaign: None };
    database.settle(&[Command::Clawback(rest)]);
    let nothing = [
        ("cash", 0),
        ("creator_pending", 841),
        ("creator_debt", -841),
        ("processor_fee", 0),
        ("platform_fee", 0),
    ];
    assert_eq!(sum(&database), nothing);
}

#[test]
fn a_boost_funds_a_campaign_and_rewards_its_supporter() {
    let boost = |reward_minor| {
        let Command::Fund(funding) = fund(1, 5, usd(1_000)) else { panic!("a funding") };
        let supporter = UserId(Uuid::from_u128(7));
        Command::Fund(Funding { boost: Some(Boost { supporter, reward_minor }), ..funding })
    };
    let plan = settle(&[boost(50)], Books::default());
    let earned: Vec<i64> = plan.earned().into_values().collect();
    let budget = &plan.budgets[&CampaignId(Uuid::from_u128(5))];
    assert_eq!((budget.funded_minor, budget.available_minor, earned), (950, 950, vec![50]));
    for reward_minor in [-1, 1_000] {
        assert_eq!(settle(&[boost(reward_minor)], Books::default()).quarantined.len(), 1);
    }
    // The rate may have changed before the same boost is sent again.
    let plan = settle(&[boost(50), boost(70)], Books::default());
    assert_eq!((plan.fundings.len(), plan.repeats), (1, 1));
}

#[test]
fn limits_bind_payouts_of_their_campaign() {
    use crate::limits::{CreditLimits, Limits};
    let limits = Limits { campaign_day_minor: Some(250), once_per_customer: true, ..Limits::default() };
    let limited = |event: u128, customer: u128, at_ms: i64| {
        changed(&payable(event, 5, usd(100)), |credit| {
            credit.at_ms = at_ms;
            credit.limits = Some(CreditLimits { limits, customer: Uuid::from_u128(customer) });
        })
    };
    let campaign = CampaignId(Uuid::from_u128(5));
    let day_ms = 86_400_000;
    let mut books = Books::default();
    books.spending.campaigns.insert(campaign);
    books.spending.days.extend([((WORKSPACE, 0), 0), ((WORKSPACE, day_ms), 1)]);
    let log = [
        fund(1, 5, usd(450)),
        limited(2, 1, 10),
        limited(3, 1, 10),
        limited(4, 2, 10),
        limited(5, 3, 10),
        limited(6, 3, day_ms),
        limited(7, 4, day_ms),
        limited(8, 5, day_ms),
    ];
    let plan = settle(&log, books.clone());
    let reasons: Vec<_> =
        plan.outcomes.iter().map(|o| o.reason.map_or(o.status.code(), Reason::code)).collect();
    let cap = "campaign_cap_reached";
    assert_eq!(reasons, ["posted", "already_rewarded", "posted", cap, "posted", "posted", cap]);
    let total = crate::limits::SpendKey { campaign, creator: None, day: None };
    assert_eq!(plan.spending.spent_minor[&total], 400);
    // Moments that the books must know the days of.
    assert_eq!(limited_campaigns_of(&log), [campaign]);
    let of =
        |limited: &[CampaignId]| moments_of(&log, &HashMap::new(), &limited.iter().copied().collect()).len();
    assert_eq!((of(&[campaign]), of(&[])), (7, 0));
}

#[test]
fn a_refund_lowers_what_its_day_has_spent() {
    let campaign = CampaignId(Uuid::from_u128(5));
    let mut database = Database::default();
    database.books.spending.campaigns.insert(campaign);
    database.books.spending.days.insert((WORKSPACE, 0), 3);
    database.settle(&[fund(1, 5, usd(1_000)), sale(2, 0, 1, 1, usd(100)), clawback(9, 1, Some(usd(500)))]);
    let sums: Vec<_> =
        database.books.spending.spent_minor.iter().map(|(key, minor)| (key.day, *minor)).collect();
    assert_eq!(sums.len(), 4);
    assert!(sums.iter().all(|(day, minor)| matches!(day, None | Some(3)) && *minor == 50));
}

#[test]
fn another_report_of_an_order_is_not_its_sale() {
    let again = changed(&sale(3, 0, 1, 1, usd(100)), |credit| {
        credit.campaign = None;
        credit.decision = Decision::Nonpayable { reason: Reason::DuplicateTransaction };
    });
    let mut database = Database::default();
    for command in [fund(1, 5, usd(1_000)), again, Command::Refund(refund(9, 1, None))] {
        database.settle(&[command]);
    }
    assert!(database.resolved.is_empty(), "the sale itself still waits");
    database.settle(&[sale(2, 0, 1, 1, usd(100))]);
    assert_eq!(database.resolved[0].campaign, Some(CampaignId(Uuid::from_u128(5))));
}

#[test]
fn a_clawback_takes_from_every_leg() {
    let mut database = Database::default();
    database.settle(&[
        fund(1, 5, usd(150)),
        sale(2, 0, 2, 1, usd(100)),
        sale(2, 1, 2, 1, usd(50)),
        // A quarter of 20.00: the legs are worth 10.00 each.
        clawback(9, 1, Some(usd(500))),
    ]);
    let budget = |database: &Database| {
        let budget = &database.books.budgets[&CampaignId(Uuid::from_u128(5))];
        (budget.available_minor, budget.spent_minor, budget.exhausted_at_ms)
    };
    let refunds: Vec<_> = database.outcomes[2..]
        .iter()
        .map(|o| {
            let split = o.payout.unwrap().paid.split;
            (
                o.leg,
                o.original.unwrap().1,
                split.gross_minor,
                split.creator_minor,
                o.value.unwrap().amount_minor,
            )
        })
        .collect();
    // 22.5 and 2.5; 11.25 and 1.25: halves up.
    assert_eq!(refunds, [(0, 0, -26, -23, -250), (1, 1, -12, -11, -250)]);
    assert_eq!(budget(&database), (38, 112, None));
    let lines: Vec<_> =
        database.transactions[3].lines().iter().map(|l| (l.account.kind.code(), l.amount_minor)).collect();
    assert_eq!(lines, [("campaign_escrow", 26), ("creator_debt", -23), ("platform_fee", -3)]);
    // The same again is a repeat; the same id with another payload is put aside.
    let before = database.outcomes.len();
    let mut plan = settle(&[clawback(9, 1, Some(usd(500)))], database.books.clone());
    assert_eq!((plan.repeats, plan.outcomes.len()), (1, 0));
    let Command::Clawback(mut forged) = clawback(9, 1, Some(usd(501))) else { panic!("a clawback") };
    forged.refund.payload_hash = "forged".to_owned();
    plan = settle(&[Command::Clawback(forged)], database.books.clone());
    assert_eq!(plan.quarantined.len(), 1);
    // All that is left, and then nothing.
    database.settle(&[clawback(10, 1, None), clawback(11, 1, None)]);
    assert_eq!(budget(&database), (150, 0, None));
    let last = &database.outcomes[before + 2];
    assert_eq!((last.status, last.reason), (Status::Nonpayable, Some(Reason::AlreadyRefunded)));
}

#[test]
fn a_closed_campaign_gives_back_what_is_left() {
    let close = Command::Close(Closing {
        workspace: WORKSPACE,
        campaign: CampaignId(Uuid::from_u128(5)),
        currency: usd(1).currency,
        at_ms: 15,
    });
    let mut database = Database::default();
    let log = [
        fund(1, 5, usd(1_000)),
        sale(2, 0, 1, 1, usd(100)),
        close.clone(),
        sale(3, 0, 1, 2, usd(100)),
        clawback(9, 1, Some(usd(500))),
        close,
        fund(2, 5, usd(7)),
    ];
    for commands in log.chunks(1) {
        database.settle(commands);
    }
    let budget = &database.books.budgets[&CampaignId(Uuid::from_u128(5))];
    assert_eq!((budget.available_minor, budget.spent_minor, budget.returned_minor), (0, 50, 950));
    let statuses: Vec<_> = database.outcomes.iter().map(|outcome| outcome.status.code()).collect();
    assert_eq!(statuses, ["posted", "rejected_budget", "posted"]);
    let cash: Vec<i64> = database
        .transactions
        .iter()
        .flat_map(Transaction::lines)
        .filter(|line| line.account.kind == crate::ledger::AccountKind::Cash)
        .map(|line| line.amount_minor)
        .collect();
    assert_eq!(cash, [-1_000, 900, 50]);
}

#[test]
fn what_creators_give_back_comes_out_of_their_wallets() {
    let mut plan = settle(
        &[fund(1, 5, usd(1_000)), sale(2, 0, 1, 1, usd(100)), clawback(9, 1, None)],
        Books { orders: HashMap::from([(Uuid::from_u128(1), Order::default())]), ..Books::default() },
    );
    let wallet = plan.clawed[0].wallet;
    assert_eq!(plan.earned(), BTreeMap::from([((wallet, 0), 90)]));
    let standing = Wallet { available_minor: 20, debt_minor: 0, held_minor: BTreeMap::from([(77, 30)]) };
    let mut wallets = HashMap::from([(wallet, standing)]);
    assert_eq!(plan.repay(&mut wallets, &[77]).unwrap(), [(wallet, 77, 30)]);
    assert_eq!((wallets[&wallet].debt_minor, wallets[&wallet].available_minor), (40, 0));
    let last = plan.transactions.last().unwrap();
    assert!(!last.kind().follows_from_the_log());
    let lines: Vec<_> = last.lines().iter().map(|l| (l.account.kind.code(), l.amount_minor)).collect();
    assert_eq!(lines, [("creator_pending", -30), ("creator_available", -20), ("creator_debt", 50)]);
}

proptest! {
    /// The same log with refunds, cut into any batches and with any repeats,
    /// leaves the same outcomes, postings and budgets.
    #[test]
    fn refunds_do_not_care_about_batches(
        orders in prop::collection::vec((1_u16..3, 1_i64..90, prop::collection::vec(0_i64..1_500, 0..4)), 1..20),
        batch in 1_usize..20,
        again in 0_usize..80,
    ) {
        let mut log = vec![fund(1, 5, usd(500))];
        let mut number = 1_000;
        for (order, (legs, payout, refunds)) in (1_u128..).zip(&orders) {
            log.extend((0..*legs).map(|leg| sale(order, leg, *legs, order, usd(*payout))));
            for value in refunds {
                number += 1;
                log.push(clawback(number, order, Some(usd(*value)).filter(|value| value.amount_minor > 0)));
            }
        }
        let mut whole = Database::default();
        whole.settle(&log);
        let mut repeated = log.clone();
        repeated.extend(log.iter().take(again).cloned());
        let mut parts = Database::default();
        for commands in repeated.chunks(batch) {
            parts.settle(commands);
        }
        prop_assert_eq!(&parts.outcomes, &whole.outcomes);
        prop_assert_eq!(&parts.transactions, &whole.transactions);
        prop_assert_eq!(&parts.books.budgets, &whole.books.budgets);
        for budget in whole.books.budgets.values() {
            prop_assert!(budget.available_minor >= 0 && budget.spent_minor >= 0);
            prop_assert_eq!(budget.funded_minor, budget.available_minor + budget.spent_minor);
        }
    }

    /// The same log, cut into any batches and with any repeats, leaves the
    /// same outcomes, postings and budgets.
    #[test]
    fn batches_and_repeats_do_not_matter(
        events in prop::collection::vec((0_u128..40, 1_u128..4, 1_i64..50), 1..80),
        batch in 1_usize..20,
        again in 0_usize..80,
    ) {
        let mut log: Vec<Command> = (1..4).map(|c| fund(c, u128::from(c), usd(300))).collect();
        log.extend(events.into_iter().map(|(e, c, amount)| payable(e * 10 + c, c, usd(amount))));
        let whole = settle(&log, Books::default());
        let mut repeated = log.clone();
        repeated.extend(log.iter().take(again).cloned());
        let mut known = Known::new();
        let mut budgets = BTreeMap::new();
        let (mut outcomes, mut transactions) = (Vec::new(), Vec::new());
        for commands in repeated.chunks(batch) {
            let plan = settle(commands, Books { known: known.clone(), budgets, ..Books::default() });
            for o in &plan.outcomes {
                known.insert((o.event.0, o.leg), o.payload_hash.clone());
            }
            for f in &plan.fundings {
                known.insert((f.id(), 0), f.payload_hash());
            }
            outcomes.extend(plan.outcomes);
            transactions.extend(plan.transactions);
            budgets = plan.budgets;
        }
        prop_assert_eq!(outcomes, whole.outcomes);
        prop_assert_eq!(transactions, whole.transactions);
        prop_assert_eq!(budgets, whole.budgets);
    }
}
