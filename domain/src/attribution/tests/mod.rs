mod fixtures;

use proptest::prelude::*;

use self::fixtures::*;
use super::*;
use crate::command::MatchedBy;
use crate::dedupe::{CLICK_WINDOW_MS, COOKIELESS_CLICK_WINDOW_MS};
use crate::rules::DEFAULT_WINDOW_MS;

#[test]
fn decisions() {
    let (window, day, hour) = (DEFAULT_WINDOW_MS, CLICK_WINDOW_MS, COOKIELESS_CLICK_WINDOW_MS);
    for (events, expected) in [
        (vec![click(1, T0, 10)], "250 by 1"),
        (vec![click(1, T0, 12)], "parked"),
        (vec![bot(click(1, T0, 10))], "bot"),
        (vec![click(1, T0, 10), click(2, T0 + 5, 10)], "duplicate_click"),
        (vec![click(1, T0, 10), click(2, T0 + day, 10)], "duplicate_click"),
        (vec![click(1, T0, 10), click(2, T0 + day + 1, 10)], "250 by 2"),
        (vec![click(1, T0, 10), cookieless(click(2, T0 + hour, 10))], "duplicate_click"),
        (vec![click(1, T0, 10), cookieless(click(2, T0 + hour + 1, 10))], "250 by 2"),
        (vec![bot(click(1, T0, 10)), click(2, T0 + 5, 10)], "250 by 2"),
        (vec![sale(1, T0, None)], "parked"),
        (vec![click(1, T0, 12), sale(2, T0, None)], "250 by 1"),
        (vec![click(1, T0, 12), sale(2, T0 - 1, None)], "parked"),
        (vec![click(1, T0, 12), sale(2, T0 - 1, Some(1))], "before_click"),
        (vec![click(1, T0, 12), sale(2, T0 + window, None)], "250 by 1"),
        (vec![click(1, T0, 12), sale(2, T0 + window + 1, None)], "window_expired"),
        (vec![bot(click(1, T0, 12)), sale(2, T0 + 9, Some(1))], "parked"),
        (vec![click(1, T0, 12), click(2, T0 + 1, 12), sale(3, T0 + 9, None)], "250 by 2"),
        (vec![click(1, T0, 12), click(2, T0 + 1, 12), sale(3, T0 + 9, Some(1))], "250 by 1"),
        // The last click of a campaign that pays for sales, not of any.
        (vec![click(1, T0, 12), click(2, T0 + 1, 11), sale(3, T0 + 9, None)], "250 by 1"),
        (vec![click(1, T0, 11), sale(2, T0 + 9, None)], "objective_mismatch"),
        (vec![click(1, T0, 13), sale(2, T0 + 49, None)], "before_start"),
        (vec![click(1, T0, 13), sale(2, T0 + 50, None)], "250 by 1"),
        (vec![click(1, T0, 13), sale(2, T0 + 99, None)], "250 by 1"),
        (vec![click(1, T0, 13), sale(2, T0 + 100, None)], "after_end"),
        (vec![click(1, T0, 14), sale(2, T0 + 49, None)], "250 by 1"),
        (vec![click(1, T0, 14), sale(2, T0 + 50, None)], "campaign_not_active"),
        (vec![click(1, T0, 16), sale(2, T0 + 59_999, None)], "too_soon"),
        (vec![click(1, T0, 16), sale(2, T0 + 60_000, None)], "250 by 1"),
        (
            vec![
                click(1, T0, 15),
                by_link(2, click(2, T0 + 1, 15)),
                click(3, T0 + 2, 12),
                by_link(3, click(4, T0 + 3, 15)),
                sale(5, T0 + 9, None),
            ],
            "84 by 1, 83 by 2, 83 by 4",
        ),
        // Who clicks again has no larger share.
        (
            vec![
                click(1, T0, 15),
                click(2, T0 + 1, 15),
                by_link(2, click(3, T0 + 2, 15)),
                sale(5, T0 + 9, None),
            ],
            "125 by 2, 125 by 3",
        ),
        // Who shared the link gets a third on top.
        (vec![shared(click(1, T0, 10))], "250 by 1, 83 by 1"),
        (vec![shared(click(1, T0, 10)), shared(click(2, T0 + 5, 10))], "duplicate_click"),
        (vec![shared(click(1, T0, 12)), sale(2, T0 + 9, None)], "250 by 1, 83 by 1"),
        (
            vec![shared(click(1, T0, 15)), by_link(2, click(2, T0 + 1, 15)), sale(5, T0 + 9, None)],
            "125 by 1, 125 by 2, 42 by 1",
        ),
        // The token says which campaign and which click comes last.
        (vec![click(1, T0, 15), click(2, T0 + 1, 12), sale(3, T0 + 9, Some(1))], "250 by 1"),
        // One order, reported twice.
        (
            vec![click(1, T0, 12), sale_of("A", None, 2, T0 + 1, None), sale_of("A", None, 3, T0 + 2, None)],
            "duplicate_transaction",
        ),
        // A coupon needs no click; a click of a campaign that pays goes first.
        (vec![sale_of("A", Some("anna10 "), 1, T0, None)], "250 by coupon"),
        (vec![sale_of("A", Some("nobody"), 1, T0, None)], "parked"),
        (vec![click(1, T0, 15), sale_of("A", Some("ANNA10"), 2, T0, None)], "250 by 1"),
        (vec![click(1, T0, 12), sale_of("A", Some("ANNA10"), 2, T0 + window + 1, None)], "250 by coupon"),
    ] {
        assert_eq!(last_verdict(&events), expected, "{events:#?}");
    }
}

#[test]
fn what_comes_out_of_order_is_put_in_order() {
    for (events, expected) in [
        // The later click came in first.
        (vec![click(2, T0 + 1, 12), click(1, T0, 12), sale(3, T0 + 9, None)], "250 by 2"),
        // The sale came in before its click.
        (vec![sale(3, T0 + 9, None), click(1, T0, 12)], "250 by 1"),
        // Of one moment, clicks come before sales.
        (vec![sale(3, T0, None), click(1, T0, 12)], "250 by 1"),
        // The duplicate is the later one, not the one that came later.
        (vec![click(2, T0 + 1, 10), click(1, T0, 10)], "duplicate_click"),
        // An hour later: the sale is decided by what was known when it came.
        (vec![click(1, T0, 12), received(T0 + 3_600_000, sale(3, T0 + 9, None))], "250 by 1"),
        // Too late.
        (vec![click(1, T0, 12), received(T0 + 9 + POLICY.lateness_ms, sale(3, T0 + 9, None))], "250 by 1"),
        (vec![click(1, T0, 12), received(T0 + 10 + POLICY.lateness_ms, sale(3, T0 + 9, None))], "too_late"),
        (vec![received(T0 + 1 + POLICY.lateness_ms, click(1, T0, 10))], "too_late"),
    ] {
        assert_eq!(last_verdict(&events), expected, "{events:#?}");
    }
}

#[test]
fn floods_earn_nothing() {
    let one = |number, second: i64, network| {
        of(VisitorKey([number; 16]), from(network, click(number.into(), T0 + second * 1_000, 10)))
    };
    let verdicts: Vec<String> =
        run(&[one(1, 0, "a"), one(2, 1, "a"), one(3, 2, "b"), one(4, 3, "a"), one(5, 60, "a")])
            .iter()
            .map(verdict)
            .collect();
    assert_eq!(verdicts, ["250 by 1", "250 by 2", "250 by 3", "flood", "250 by 5"]);
    // Nor is a flood's click a touch.
    let sale = of(VisitorKey([4; 16]), sale(9, T0 + 9_000, None));
    assert_eq!(last_verdict(&[one(1, 0, "a"), one(2, 1, "a"), one(4, 3, "a"), sale]), "parked");
}

#[test]
fn an_unmatched_sale_waits_for_its_click() {
    let mut run = Run::new();
    run.take(sale(2, T0, None));
    run.until(T0 + HOLD);
    assert!(run.credits.is_empty());
    // The click of an hour ago comes in two days late.
    run.take(received(T0 + 48 * HOUR_MS, click(1, T0 - HOUR_MS, 12)));
    assert_eq!(verdict(&run.credits[0]), "250 by 1");
    assert_eq!(run.credits[0].basis.waited_ms, Some(48 * HOUR_MS - HOLD));
    // Another one waits in vain.
    let at_ms = T0 + 48 * HOUR_MS;
    run.take(of(PHONE, sale(3, at_ms, None)));
    run.until(at_ms + HOLD);
    run.until(at_ms + HOLD + POLICY.parking_ms - 1);
    assert_eq!(run.credits.len(), 1);
    run.until(at_ms + HOLD + POLICY.parking_ms);
    assert_eq!(verdict(&run.credits[1]), "no_touch");
    assert_eq!(run.credits[1].basis.waited_ms, Some(POLICY.parking_ms));
    // What is decided is decided.
    run.take(received(at_ms + 80 * HOUR_MS, of(PHONE, click(4, at_ms, 12))));
    run.until(at_ms + 90 * HOUR_MS);
    assert_eq!(run.credits.len(), 2);
}

#[test]
fn a_users_other_visitors_are_asked() {
    let clicked = [of(PHONE, click(1, T0, 12)), identify(2, T0 + 1, PHONE)];
    let with = |events: &[Event]| [&clicked[..], events].concat();
    // A server that knows the user alone.
    let credits = run(&with(&[by_user(sale(3, T0 + 2_000, None))]));
    assert_eq!(verdict(&credits[0]), "250 by 1");
    assert_eq!((credits[0].visitor, credits[0].basis.matched_by), (USER, Some(MatchedBy::User)));
    // Another browser of the same user.
    let events = with(&[identify(3, T0 + 2_000, ANNA), sale(4, T0 + 4_000, None)]);
    assert_eq!(last_verdict(&events), "250 by 1");
    // Named with another visitor, who has no click, and known only later.
    let events = [of(PHONE, click(1, T0, 12)), Event { user: Some(USER), ..sale(9, T0 + 2_000, None) }];
    let later = [Event::tick(T0 + 9_000), identify(5, T0 + 9_500, PHONE)];
    assert_eq!(last_verdict(&[&events[..], &later[..]].concat()), "250 by 1");
    // A stranger.
    assert_eq!(last_verdict(&with(&[sale(4, T0 + 4_000, None)])), "parked");
    // The user is known only later.
    let events = with(&[]);
    let late = [by_user(sale(9, T0 - 5, None)), of(PHONE, click(1, T0 - 10, 12))];
    assert_eq!(last_verdict(&[&late[..], &events[1..]].concat()), "250 by 1");
}

#[test]
fn what_need_not_wait_does_not() {
    let policy = Policy { parking_ms: 0, ..POLICY };
    let (mut partition, mut changes, mut emitted) =
        (Partition::new(&Place::default()), Changes::default(), Vec::new());
    for (offset, event) in [(0, sale(1, T0, None)), (1, Event::tick(T0 + HOLD))] {
        let (rules, policy) = (&rules(), &policy);
        let mut context =
            Context { memory: &Nothing, changes: &mut changes, rules, policy, emitted: &mut emitted };
        let Ok(()) = partition.apply(offset, event, &mut context);
    }
    let verdicts: Vec<String> = emitted
        .iter()
        .map(|emitted| match emitted {
            Emitted::Credit(credit) => verdict(credit),
            Emitted::Event(_) | Emitted::Refund(_) => "a message".to_owned(),
        })
        .collect();
    assert_eq!(verdicts, ["no_touch"]);
}

#[test]
fn refunds_are_handed_on_once_and_never_too_late() {
    let refund = |number: u128, refund_id: &str| {
        let (order_id, refund_id) = ("o-1".to_owned(), refund_id.to_owned());
        event(
            number,
            T0,
            ANNA,
            Body::Refund { order_id, refund_id, of_payment: false, value: None, items: Vec::new() },
        )
    };
    let mut run = Run::new();
    for refund in [refund(1, "a"), refund(1, "a"), refund(2, "b")] {
        run.take(refund);
    }
    run.until(T0 + HOLD);
    run.take(refund(1, "a"));
    assert_eq!(run.refunds, ["a", "b"]);
    // A month late; and the same id with another payload, which settlement puts aside.
    let month_ms = T0 + 30 * 24 * HOUR_MS;
    run.take(received(month_ms, refund(3, "c")));
    run.take(received(month_ms, Event { payload_hash: "other".to_owned(), ..refund(3, "d") }));
    run.until(month_ms + HOLD);
    assert_eq!(run.refunds, ["a", "b", "c", "d"]);
    assert!(run.credits.is_empty());
}

#[test]
fn payments_are_decided_by_themselves_once_and_never_too_late() {
    let payment = |number: u128, amount_minor: i64, received_at_ms: i64| {
        let event = event(number, T0, ANNA, Body::Payment(tip(amount_minor)));
        received(received_at_ms, Event { payload_hash: format!("{amount_minor}"), ..event })
    };
    let mut run = Run::new();
    run.take(payment(1, 1_000, T0));
    run.take(payment(1, 1_000, T0));
    run.take(payment(1, 2_000, T0));
    run.until(T0 + HOLD);
    run.take(payment(1, 1_000, T0 + HOLD));
    run.take(payment(2, 31, T0 + HOLD));
    run.until(T0 + 2 * HOLD);
    // A month late; and again, which settlement recognises.
    run.take(payment(3, 500, T0 + 30 * 24 * HOUR_MS));
    let verdicts: Vec<String> = run.credits.iter().map(verdict).collect();
    assert_eq!(verdicts, ["quarantined", "1000 by itself", "fees_exceed_amount", "500 by itself"]);
    let paid = &run.credits[1];
    assert_eq!((paid.campaign, paid.creator), (None, Some(tip(0).payee)));
    assert_eq!(paid.order, Some(crate::event::payment_key(WORKSPACE, "tip")));
    assert_eq!(paid.basis.model, "direct");
}

#[test]
fn an_erased_visitor_is_forgotten() {
    let erase = event(5, T0 + 5, ANNA, Body::Erase {});
    assert_eq!(last_verdict(&[click(1, T0, 12), erase, sale(9, T0 + 9, None)]), "parked");
}

#[test]
fn repeats_are_ignored_and_clashes_quarantined() {
    let forged = Event { payload_hash: "other".to_owned(), ..sale(2, T0 + 1, None) };
    for between in [vec![], vec![Event::tick(T0 + HOLD + 1)]] {
        let first = vec![click(1, T0, 12), sale(2, T0 + 1, None)];
        let again = vec![click(1, T0, 12), sale(2, T0 + 1, None), forged.clone()];
        let mut verdicts: Vec<String> = run(&[first, between, again].concat()).iter().map(verdict).collect();
        verdicts.sort();
        assert_eq!(verdicts, ["250 by 1", "quarantined"]);
    }
}

#[test]
fn an_id_ahead_of_the_clock_is_known_until_a_repeat_is_too_late() {
    const AHEAD_MS: i64 = 5 * 60_000;
    let lateness_ms = POLICY.lateness_ms;
    // It comes at the end of one generation of ids, for a time in the next; its
    // repeat in the one after that.
    let boundary_ms = (T0.div_euclid(lateness_ms) + 1) * lateness_ms;
    let sale = sale(2, boundary_ms + AHEAD_MS, None);
    let forged = Event { payload_hash: "other".to_owned(), ..sale.clone() };
    let mut run = Run::new();
    run.take(received(boundary_ms - 1, sale));
    run.until(boundary_ms + AHEAD_MS + HOLD);
    let before = run.credits.len();
    for after_ms in [1, AHEAD_MS] {
        run.take(received(boundary_ms + lateness_ms + after_ms, forged.clone()));
    }
    let verdicts: Vec<String> = run.credits[before..].iter().map(verdict).collect();
    assert_eq!(verdicts.iter().filter(|verdict| *verdict == "quarantined").count(), 2, "{verdicts:?}");
}

#[test]
fn a_decision_tells_its_basis() {
    let credits = run(&[click(1, T0, 12), click(2, T0 + 1, 11), sale(3, T0 + 9, None)]);
    let basis = &credits[0].basis;
    assert_eq!((basis.terms_version, basis.window_ms), (Some(1), Some(DEFAULT_WINDOW_MS)));
    let touches: Vec<(bool, u64)> = basis.touches.iter().map(|touch| (touch.chosen, touch.weight)).collect();
    assert_eq!(touches, [(true, 1), (false, 0)]);
}

#[test]
fn what_is_held_is_read_again() {
    let place = Place::new(7, 100, vec![98, 40, 41]);
    assert_eq!(place.resume_offset(), 40);
    assert_eq!(place.held(), [40, 41, 98]);
    assert_eq!((Place::at(9).resume_offset(), Place::at(9).held().len()), (9, 0));
    // Read again, what was held is held again, and the rest is done with.
    let mut partition = Partition::new(&place);
    let (mut changes, mut emitted) = (Changes::default(), Vec::new());
    for offset in 40..99 {
        let event = sale(u128::try_from(offset).unwrap(), T0, None);
        let mut context = Context {
            memory: &Nothing,
            changes: &mut changes,
            rules: &rules(),
            policy: &POLICY,
            emitted: &mut emitted,
        };
        let Ok(()) = partition.apply(offset, event, &mut context);
        let again = partition.place();
        assert_eq!((again.resume_offset(), again.next_offset, again.held().len()), (40, 100, 3), "{offset}");
    }
}

#[test]
fn memory_is_bounded() {
    let mut run = Run::new();
    for number in 0..200 {
        run.take(click(number, T0 + i64::try_from(number).unwrap(), 12));
    }
    run.until(T0 + 2 * HOLD);
    let touches = &run.changes.visitors[&ANNA].touches;
    assert_eq!(touches.len(), memory::MAX_TOUCHES);
    assert_eq!(touches[0].click.0.as_u128(), 136);
    let late_ms = T0 + MAX_WINDOW_MS + 199;
    run.take(click(999, late_ms, 12));
    run.until(late_ms + HOLD);
    assert_eq!(run.changes.visitors[&ANNA].touches.len(), 2);
    for number in 1_000..1_100 {
        run.take(of(PHONE, sale(number, late_ms, None)));
    }
    run.until(late_ms + 2 * HOLD);
    assert_eq!(run.changes.visitors[&PHONE].parked.len(), memory::MAX_PARKED);
    assert_eq!(run.credits.len(), 100 - memory::MAX_PARKED);
    assert_eq!(verdict(&run.credits[0]), "no_touch");
}

proptest! {
    /// Within what is held, events in any order of arrival earn the same.
    #[test]
    fn arrival_order_does_not_matter(order in Just((0..20_u128).collect::<Vec<_>>()).prop_shuffle()) {
        let earn = |order: &[u128]| {
            let events: Vec<Event> = order
                .iter()
                .map(|number| {
                    let at_ms = T0 + i64::try_from(number / 2).unwrap();
                    match number % 5 {
                        0 => click(*number, at_ms, 10),
                        1 => click(*number, at_ms, 15),
                        2 => sale(*number, at_ms, None),
                        3 => of(PHONE, click(*number, at_ms, 12)),
                        _ => of(PHONE, sale(*number, at_ms, Some(number - 1))),
                    }
                })
                .collect();
            run(&events)
        };
        let sorted: Vec<u128> = (0..20).collect();
        prop_assert_eq!(earn(&order), earn(&sorted));
    }

    /// The parts of a payout and of a value sum to the whole.
    #[test]
    fn legs_sum_to_the_whole(count in 1..9_u128) {
        let clicks = (0..count).map(|n| by_link(n, click(n, T0 + i64::try_from(n).unwrap(), 15)));
        let credits = run(&clicks.chain([sale(99, T0 + 50, None)]).collect::<Vec<_>>());
        let paid: i64 = credits
            .iter()
            .map(|credit| match credit.decision {
                Decision::Payable { payout, .. } => payout.amount_minor,
                _ => 0,
            })
            .sum();
        let value: i64 = credits.iter().filter_map(|credit| credit.value).map(|value| value.amount_minor).sum();
        prop_assert_eq!((paid, value), (250, 9_900));
    }
}
