//! How one action's payout is shared among the clicks that led to it. Weights
//! are whole numbers, so that every machine shares alike.

use serde::{Deserialize, Serialize};

/// The half-life of time decay that sets none: 7 days.
pub const DEFAULT_HALF_LIFE_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// A model, with its parameters. In JSON: `{"name": "time_decay",
/// "half_life_ms": 604800000}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Model {
    /// All to the first click.
    FirstTouch,
    /// All to the last click, or to the one whose token came back.
    #[default]
    LastTouch,
    /// As last touch, but clicks that came from nowhere (no referrer) count
    /// only where there are no others.
    LastNonDirect,
    /// The same to each click.
    Linear,
    /// A click that is a half-life older than another weighs half as much.
    TimeDecay {
        /// Above 0.
        #[serde(default = "default_half_life_ms")]
        half_life_ms: i64,
    },
    /// Parts for the first click, the last, and those between together. A lone
    /// click gets all; of two, each its own part.
    Position {
        /// For the first; 40 unless set.
        #[serde(default = "default_end")]
        first: u32,
        /// For those between, together; 20 unless set.
        #[serde(default = "default_middle")]
        middle: u32,
        /// For the last; 40 unless set.
        #[serde(default = "default_end")]
        last: u32,
    },
}

fn default_half_life_ms() -> i64 {
    DEFAULT_HALF_LIFE_MS
}

fn default_end() -> u32 {
    40
}

fn default_middle() -> u32 {
    20
}

/// What a model looks at in a click.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// How long before the action it was; not below 0.
    pub age_ms: i64,
    /// Whether it came from nowhere.
    pub is_direct: bool,
}

impl Model {
    /// The name, as in JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::FirstTouch => "first_touch",
            Self::LastTouch => "last_touch",
            Self::LastNonDirect => "last_non_direct",
            Self::Linear => "linear",
            Self::TimeDecay { .. } => "time_decay",
            Self::Position { .. } => "position",
        }
    }

    /// Why these parameters cannot be; nothing if they can.
    #[must_use]
    pub fn fault(self) -> Option<&'static str> {
        match self {
            Self::TimeDecay { half_life_ms } if half_life_ms <= 0 => Some("half_life_ms must be above 0"),
            Self::Position { first: 0, last: 0, .. } => Some("first and last cannot both be 0"),
            _ => None,
        }
    }

    /// What each click of a journey weighs; `journey` is in the order of time,
    /// and the weights are in no unit. Their sum is above 0 unless the journey
    /// is empty.
    #[must_use]
    pub fn weights(self, journey: &[Step]) -> Vec<u64> {
        let last = journey.len().saturating_sub(1);
        let only = |place: usize| (0..journey.len()).map(|at| u64::from(at == place)).collect();
        match self {
            Self::FirstTouch => only(0),
            Self::LastTouch => only(last),
            Self::LastNonDirect => only(journey.iter().rposition(|step| !step.is_direct).unwrap_or(last)),
            Self::Linear => vec![1; journey.len()],
            Self::TimeDecay { half_life_ms } => {
                // Ages beyond the youngest's: old journeys have shares too.
                let youngest_ms = journey.iter().map(|step| step.age_ms).min().unwrap_or_default();
                let age = |step: &Step| step.age_ms.saturating_sub(youngest_ms);
                journey.iter().map(|step| half_to_the(age(step), half_life_ms)).collect()
            }
            Self::Position { first, middle, last } => position(journey.len(), first, middle, last),
        }
    }
}

fn position(count: usize, first: u32, middle: u32, last: u32) -> Vec<u64> {
    let between = u64::try_from(count).unwrap_or(u64::MAX).saturating_sub(2);
    match between {
        0 if count < 2 => vec![1; count],
        0 if first == 0 && last == 0 => vec![1; count],
        0 => vec![first.into(), last.into()],
        // The middle's part is divided by their number, so all others are
        // multiplied by it.
        _ => {
            let end = |part: u32| u64::from(part).saturating_mul(between);
            let mut weights = vec![u64::from(middle); count];
            weights[0] = end(first);
            weights[count.saturating_sub(1)] = end(last);
            weights
        }
    }
}

/// 1 in the fixed-point numbers of [`half_to_the`].
const ONE: u64 = 1 << 62;

/// 2^(−1/2), 2^(−1/4), 2^(−1/8) and so on, in units of [`ONE`]: each is the
/// square root of the one before.
const ROOTS: [u64; 32] = {
    let mut roots = [0; 32];
    let mut power = (ONE / 2) as u128;
    let mut place = 0;
    while place < roots.len() {
        power = (power * ONE as u128).isqrt();
        #[allow(clippy::cast_possible_truncation, reason = "below ONE")]
        {
            roots[place] = power as u64;
        }
        place += 1;
    }
    roots
};

/// 2^(−`age_ms` / `half_life_ms`), in units of [`ONE`]. The exponent is taken
/// to 32 binary places: a weight is off by less than one part in a thousand
/// million, and by the same everywhere.
fn half_to_the(age_ms: i64, half_life_ms: i64) -> u64 {
    let (age, half_life) = (age_ms.max(0).unsigned_abs(), half_life_ms.max(1).unsigned_abs());
    let whole = age.checked_div(half_life).unwrap_or_default();
    let rest = age.checked_rem(half_life).unwrap_or_default();
    let fraction = (u128::from(rest) << 32).checked_div(u128::from(half_life)).unwrap_or_default();
    let mut weight = u128::from(ONE);
    for (place, root) in ROOTS.iter().enumerate() {
        let bit = 31_usize.saturating_sub(place);
        if (fraction >> bit) & 1 == 1 {
            weight = weight.saturating_mul(u128::from(*root)) >> 62;
        }
    }
    let shift = u32::try_from(whole).unwrap_or(u32::MAX);
    let weight = weight.checked_shr(shift).unwrap_or_default();
    u64::try_from(weight).unwrap_or(ONE)
}

#[cfg(test)]
#[allow(clippy::float_arithmetic, clippy::cast_possible_truncation, reason = "to compare with")]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

    fn journey(ages_days: &[i64]) -> Vec<Step> {
        ages_days.iter().map(|days| Step { age_ms: days * DAY_MS, is_direct: false }).collect()
    }

    #[test]
    fn each_model_weighs_as_it_says() {
        let position = Model::Position { first: 40, middle: 20, last: 40 };
        let decay = Model::TimeDecay { half_life_ms: 7 * DAY_MS };
        for (model, ages, expected) in [
            (Model::FirstTouch, &[3, 2, 1][..], &[1, 0, 0][..]),
            (Model::LastTouch, &[3, 2, 1], &[0, 0, 1]),
            (Model::Linear, &[3, 2, 1], &[1, 1, 1]),
            (position, &[1], &[1]),
            (position, &[2, 1], &[40, 40]),
            (position, &[3, 2, 1], &[40, 20, 40]),
            (position, &[4, 3, 2, 1], &[80, 20, 20, 80]),
            (Model::Position { first: 1, middle: 0, last: 3 }, &[3, 2, 1], &[1, 0, 3]),
            (Model::Position { first: 0, middle: 5, last: 0 }, &[2, 1], &[1, 1]),
            (decay, &[15, 8, 1], &[ONE / 4, ONE / 2, ONE]),
            (decay, &[700, 0], &[0, ONE]),
            (Model::Linear, &[], &[]),
        ] {
            assert_eq!(model.weights(&journey(ages)), expected, "{model:?} {ages:?}");
        }
    }

    #[test]
    fn direct_clicks_count_where_there_are_no_others() {
        let steps = |direct: &[bool]| -> Vec<Step> {
            direct.iter().map(|is_direct| Step { age_ms: 0, is_direct: *is_direct }).collect()
        };
        assert_eq!(Model::LastNonDirect.weights(&steps(&[false, false, true])), [0, 1, 0]);
        assert_eq!(Model::LastNonDirect.weights(&steps(&[true, true])), [0, 1]);
    }

    #[test]
    fn models_are_written_by_name() {
        for (json, model) in [
            (json!({ "name": "first_touch" }), Model::FirstTouch),
            (json!({ "name": "time_decay" }), Model::TimeDecay { half_life_ms: 7 * DAY_MS }),
            (json!({ "name": "position", "middle": 0 }), Model::Position { first: 40, middle: 0, last: 40 }),
        ] {
            assert_eq!(serde_json::from_value::<Model>(json).unwrap(), model);
            let written = serde_json::to_value(model).unwrap();
            assert_eq!(written["name"], model.code());
            assert_eq!(serde_json::from_value::<Model>(written).unwrap(), model);
        }
        assert!(serde_json::from_value::<Model>(json!({ "name": "time_decay", "halflife": 1 })).is_err());
        assert!(Model::TimeDecay { half_life_ms: 0 }.fault().is_some());
    }

    proptest! {
        #[test]
        fn decay_is_two_to_the_minus_age(age_ms in 0..90 * DAY_MS, half_life_ms in DAY_MS / 24..90 * DAY_MS) {
            let exact = (-(age_ms as f64) / half_life_ms as f64).exp2();
            let weight = half_to_the(age_ms, half_life_ms) as f64 / ONE as f64;
            prop_assert!((weight - exact).abs() < 1e-9, "{weight} {exact}");
        }

        #[test]
        fn somebody_gets_something(ages in proptest::collection::vec(0..200_i64, 1..70), which in 0..7_usize) {
            let model = [
                Model::FirstTouch, Model::LastTouch, Model::LastNonDirect, Model::Linear,
                Model::TimeDecay { half_life_ms: 1 }, Model::Position { first: 40, middle: 20, last: 40 },
                Model::Position { first: 0, middle: 0, last: 1 },
            ][which];
            let weights = model.weights(&journey(&ages));
            prop_assert_eq!(weights.len(), ages.len());
            prop_assert!(weights.iter().any(|weight| *weight > 0));
        }
    }
}
