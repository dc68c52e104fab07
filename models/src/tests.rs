use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::journeys::{Journey, Touch, read};
use super::*;

const DECAY: Model = Model::Sharing(Sharing::TimeDecay { half_life_days: 7.0 });
const ALL: [Model; 7] = [
    Model::Sharing(Sharing::First),
    Model::Sharing(Sharing::Last),
    Model::Sharing(Sharing::Linear),
    Model::Sharing(Sharing::Position),
    DECAY,
    Model::Markov,
    Model::Shapley,
];

fn paths(lines: &[&str]) -> Journeys {
    let text = format!("path;total_conversions;total_conversion_value;total_null\n{}", lines.join("\n"));
    read(text.as_bytes()).unwrap()
}

/// `A 2.00 (20.00), …`, in the order of names.
fn shares(journeys: &Journeys, model: Model) -> String {
    let mut shares = compare(journeys, model).unwrap();
    shares.sort_by(|a, b| a.channel.cmp(&b.channel));
    let text = |share: &Share| format!("{} {:.2} ({:.2})", share.channel, share.conversions, share.value);
    shares.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[test]
fn small_cases_by_hand() {
    // A third of the journeys is lost without B, all without A.
    let three = paths(&["A > B > A > B > B > A;1;10;0", "A > B > B > A > A;1;10;0", "A > A;1;10;0"]);
    let mixed = paths(&["G;2;20;1", "M;1;10;0", "G > M;1;30;0"]);
    let long = paths(&["A > B > C > D;1;100;0", "E > F;2;50;0", "G;1;7;3"]);
    for (journeys, model, expected) in [
        (&three, Model::Markov, "A 2.00 (20.00), B 1.00 (10.00)"),
        (&three, Model::Sharing(Sharing::First), "A 3.00 (30.00), B 0.00 (0.00)"),
        (&three, Model::Sharing(Sharing::Linear), "A 2.10 (21.00), B 0.90 (9.00)"),
        (&three, Model::Shapley, "A 2.00 (20.00), B 1.00 (10.00)"),
        (&mixed, Model::Markov, "G 2.40 (36.00), M 1.60 (24.00)"),
        (&mixed, Model::Sharing(Sharing::Last), "G 2.00 (20.00), M 2.00 (40.00)"),
        (&mixed, Model::Shapley, "G 2.50 (35.00), M 1.50 (25.00)"),
        (
            &long,
            Model::Sharing(Sharing::Position),
            "A 0.40 (40.00), B 0.10 (10.00), C 0.10 (10.00), D 0.40 (40.00), \
             E 1.00 (25.00), F 1.00 (25.00), G 1.00 (7.00)",
        ),
    ] {
        assert_eq!(shares(journeys, model), expected, "{model:?}");
    }
    assert_eq!(compare(&mixed, DECAY), Err(ModelError::NoTimes));
}

#[test]
fn timed_touches_decay() {
    let text = "journey_id,channel,touch_ts,conversion_ts,conversion_value\n\
        j,late,2026-01-15T00:00:00Z,2026-01-15T00:00:00Z,12\n\
        j,early,2026-01-01T00:00:00Z,2026-01-15T00:00:00Z,12\n\
        j,middle,1767830400000,2026-01-15T00:00:00Z,12\n\
        j,after,2026-01-15T00:00:01Z,2026-01-15T00:00:00Z,12\n\
        k,early,2026-01-01T00:00:00Z,,\n";
    let journeys = read(text.as_bytes()).unwrap();
    // A quarter, a half, one: of seven quarters.
    let expected = "after 0.00 (0.00), early 0.14 (1.71), late 0.57 (6.86), middle 0.29 (3.43)";
    assert_eq!(shares(&journeys, DECAY), expected);
    assert_eq!(
        shares(&journeys, Model::Sharing(Sharing::First)),
        "after 0.00 (0.00), early 1.00 (12.00), late 0.00 (0.00), middle 0.00 (0.00)"
    );
    assert_eq!(
        compare(&journeys, Model::Sharing(Sharing::TimeDecay { half_life_days: 0.0 })),
        Err(ModelError::HalfLife)
    );
    let ends: Vec<(f64, f64)> = journeys.journeys.iter().map(|one| (one.conversions, one.nulls)).collect();
    assert_eq!(ends, [(1.0, 0.0), (0.0, 1.0)]);
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let path = "path;total_conversions;total_conversion_value;total_null\n";
    let timed = "journey_id,channel,touch_ts,conversion_ts,conversion_value\n";
    for (text, expected) in [
        ("a;b\n1;2\n".to_owned(), "\"path\" is missing"),
        ("path\nA\n".to_owned(), "\"total_conversions\" is missing"),
        ("journey_id,channel\n".to_owned(), "\"touch_ts\" is missing"),
        (format!("{path}A;1;1;0\nA > ;1;1;0\n"), "line 3: path has a step without a name"),
        (format!("{path}A;one;1;0\n"), "line 2: total_conversions is \"one\""),
        (format!("{path}A;-1;1;0\n"), "line 2: total_conversions is \"-1\""),
        (format!("{path}A;NaN;1;0\n"), "line 2: total_conversions is \"NaN\""),
        (format!("{timed}j,A,yesterday,,\n"), "line 2: touch_ts is \"yesterday\""),
        (format!("{timed}j,A,,,\n"), "line 2: there is no touch_ts"),
        (format!("{timed}j,,1,,\n"), "line 2: there is no channel"),
        (format!("{timed}j,A,1,5,1\nj,A,2,6,1\n"), "line 3: journey \"j\" has another conversion"),
        (format!("{path}A;1\n"), "found record with 2 fields"),
    ] {
        let error = read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
    assert_eq!(compare(&read(path.as_bytes()).unwrap(), Model::Markov), Ok(Vec::new()));
    let many: Vec<String> = (0..=markov::MAX_CHANNELS).map(|number| format!("c{number};1;1;0")).collect();
    let many = paths(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(matches!(compare(&many, Model::Markov), Err(ModelError::TooManyChannels { .. })));
}

#[test]
fn ten_thousand_paths_take_less_than_a_second() {
    let touches = |number: usize| {
        let touch =
            |step: usize| Touch { channel: (number * 7 + step * step) % 12, age_days: Some(step as f64) };
        (0..=number % 15).map(touch).collect()
    };
    let journey = |number: usize| Journey {
        touches: touches(number),
        conversions: (number % 3) as f64,
        value: 1.0,
        nulls: 1.0,
    };
    let channels = (0..12).map(|number| format!("c{number}")).collect();
    let journeys = Journeys { channels, journeys: (0..10_000).map(journey).collect() };
    for model in ALL {
        let started = Instant::now();
        compare(&journeys, model).unwrap();
        assert!(started.elapsed() < Duration::from_secs(1), "{model:?}: {:?}", started.elapsed());
    }
}

/// The chance to convert, by walking the chain step by step; `removed` leads
/// nowhere.
fn walked(journeys: &Journeys, removed: Option<usize>) -> f64 {
    let channels = journeys.channels.len();
    let mut counts = vec![vec![0.0; channels + 2]; channels + 1];
    for Journey { touches, conversions, nulls, .. } in &journeys.journeys {
        let mut at = channels;
        for touch in touches.iter().filter(|_| conversions + nulls > 0.0) {
            counts[at][touch.channel] += conversions + nulls;
            at = touch.channel;
        }
        counts[at][channels] += conversions;
        counts[at][channels + 1] += nulls;
    }
    let mut here = vec![0.0; channels + 1];
    here[channels] = 1.0;
    let mut converted = 0.0;
    for _ in 0..20_000 {
        let mut next = vec![0.0; channels + 1];
        for (from, row) in counts.iter().enumerate() {
            let total: f64 = row.iter().sum();
            if total == 0.0 || Some(from) == removed {
                continue;
            }
            for to in 0..channels {
                next[to] += here[from] * row[to] / total;
            }
            converted += here[from] * row[channels] / total;
        }
        here = next;
    }
    converted
}

fn any_journeys() -> impl Strategy<Value = Journeys> {
    let touch = (0..4_usize, 0.0..100.0).prop_map(|(channel, age)| Touch { channel, age_days: Some(age) });
    let journey = (proptest::collection::vec(touch, 1..6), 0..3_u8, 0..100_u8, 0..3_u8).prop_map(
        |(touches, conversions, value, nulls)| Journey {
            touches,
            conversions: conversions.into(),
            value: if conversions > 0 { value.into() } else { 0.0 },
            nulls: nulls.into(),
        },
    );
    let channels = ["a", "b", "c", "d"].map(ToOwned::to_owned).to_vec();
    proptest::collection::vec(journey, 0..12)
        .prop_map(move |journeys| Journeys { channels: channels.clone(), journeys })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever the model, nothing is lost and nothing is invented.
    #[test]
    fn shares_sum_to_the_whole(journeys in any_journeys()) {
        for model in ALL {
            let shares = compare(&journeys, model).unwrap();
            let sums = shares.iter().fold((0.0, 0.0), |(c, v), share| (c + share.conversions, v + share.value));
            let whole = journeys.journeys.iter().fold((0.0, 0.0), |(c, v), one| (c + one.conversions, v + one.value));
            prop_assert!((sums.0 - whole.0).abs() < 1e-9 && (sums.1 - whole.1).abs() < 1e-9, "{model:?}");
            prop_assert!(shares.iter().all(|share| share.conversions >= -1e-12 && share.value >= -1e-12));
        }
    }

    /// The closed form is what walking through the chain gives.
    #[test]
    fn effects_are_those_of_a_walk(journeys in any_journeys()) {
        let all = walked(&journeys, None);
        for (channel, effect) in markov::removal_effects(&journeys).unwrap().into_iter().enumerate() {
            let expected = if all > 0.0 { 1.0 - walked(&journeys, Some(channel)) / all } else { 0.0 };
            prop_assert!((effect - expected).abs() < 1e-6, "{effect} {expected}");
        }
    }
}
