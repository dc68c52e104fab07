//! What an experiment showed: rates with their intervals, differences from the control,
//! and whether visitors were shared out as they should have been.
//!
//! Rates have Wilson's interval (E. B. Wilson, 1927). Differences have the pooled
//! two-proportion z-test, both sides. Probabilities are those of independent Beta
//! posteriors with the uniform prior, by integration. Shares are checked by Pearson's
//! chi-square. None is corrected for several variants, nor for looking several times.

use statrs::distribution::{Beta, ChiSquared, Continuous, ContinuousCDF, Normal};

/// Two sides of 95 %.
const CONFIDENCE: f64 = 0.95;
/// Points at which posteriors are looked at.
const POINTS: usize = 4_000;

/// A variant's visitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Who saw it.
    pub visitors: u64,
    /// Those who converted then; at most as many.
    pub converted: u64,
}

/// What a variant came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// The share who converted; none without visitors.
    pub rate: Option<f64>,
    /// The rate's interval of 95 %.
    pub interval: Option<(f64, f64)>,
    /// How much more than the control, as a share of the control's rate; none of the
    /// control, or where that is 0.
    pub lift: Option<f64>,
    /// The difference from the control in standard errors; none of the control, or where
    /// nobody or everybody converted.
    pub z: Option<f64>,
    /// How likely such a difference is, or a greater one to either side, if there is none.
    pub p_value: Option<f64>,
    /// How likely its rate is above the control's.
    pub beats_control: Option<f64>,
    /// How likely its rate is the highest of those that have visitors; none without.
    pub is_best: Option<f64>,
}

/// What came of `variants`, compared with the one at `control`.
#[must_use]
pub fn findings(variants: &[Variant], control: usize) -> Vec<Finding> {
    let Some(base) = variants.get(control).copied() else { return Vec::new() };
    let seen: Vec<Variant> = variants.iter().copied().filter(|variant| variant.visitors > 0).collect();
    let mut best = highest(&seen).into_iter();
    let mut one = |(number, variant): (usize, &Variant)| {
        let compared = number != control;
        let z = if compared { z_of(*variant, base) } else { None };
        Finding {
            rate: rate(*variant),
            interval: interval(*variant),
            lift: match (compared, rate(*variant), rate(base)) {
                (true, Some(rate), Some(base)) if base > 0.0 => Some(rate / base - 1.0),
                _ => None,
            },
            z,
            p_value: z.map(|z| 2.0 * normal().cdf(-z.abs())),
            beats_control: if compared { highest(&[*variant, base]).first().copied() } else { None },
            is_best: if variant.visitors > 0 { best.next() } else { None },
        }
    };
    variants.iter().enumerate().map(&mut one).collect()
}

/// How likely visitors are shared out as unevenly as this, or more so, if they are to be
/// by `weights`; none with fewer than two variants, or without visitors. A small one says
/// that something is wrong with the experiment itself.
#[must_use]
pub fn share_p_value(visitors: &[u64], weights: &[f64]) -> Option<f64> {
    let (all, weight): (u64, f64) = (visitors.iter().sum(), weights.iter().sum());
    if visitors.len() < 2 || visitors.len() != weights.len() || all == 0 || weights.iter().any(|w| *w <= 0.0)
    {
        return None;
    }
    let squares = visitors.iter().zip(weights).map(|(visitors, share)| {
        let expected = all as f64 * share / weight;
        (*visitors as f64 - expected).powi(2) / expected
    });
    let freedom = (visitors.len() - 1) as f64;
    Some(ChiSquared::new(freedom).ok()?.sf(squares.sum()))
}

fn normal() -> Normal {
    Normal::standard()
}

fn rate(variant: Variant) -> Option<f64> {
    (variant.visitors > 0).then(|| variant.converted as f64 / variant.visitors as f64)
}

fn interval(variant: Variant) -> Option<(f64, f64)> {
    let (n, p) = (variant.visitors as f64, rate(variant)?);
    let z = normal().inverse_cdf(0.5 + CONFIDENCE / 2.0);
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    // At the ends both cancel out but for what floats leave.
    let low = if variant.converted == 0 { 0.0 } else { (middle - half).max(0.0) };
    let high = if variant.converted >= variant.visitors { 1.0 } else { (middle + half).min(1.0) };
    Some((low, high))
}

fn z_of(variant: Variant, base: Variant) -> Option<f64> {
    let (p, q) = (rate(variant)?, rate(base)?);
    let (n, m) = (variant.visitors as f64, base.visitors as f64);
    let pooled = (variant.converted + base.converted) as f64 / (n + m);
    let error = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    (error > 0.0).then(|| (p - q) / error)
}

/// How likely each one's rate is the highest: of each, the integral of its density times
/// the others' distributions.
fn highest(variants: &[Variant]) -> Vec<f64> {
    let posteriors: Vec<Beta> = variants.iter().map(|variant| posterior(*variant)).collect();
    // Where anything is: ten standard deviations around each, together.
    let spans = variants.iter().map(|variant| {
        let (a, b) = shape(*variant);
        let (mean, deviation) = (a / (a + b), (a * b / ((a + b).powi(2) * (a + b + 1.0))).sqrt());
        ((mean - 10.0 * deviation).max(0.0), (mean + 10.0 * deviation).min(1.0))
    });
    let parts: Vec<f64> = spans
        .enumerate()
        .map(|(number, (from, to))| {
            let width = (to - from) / POINTS as f64;
            // By midpoints: densities may be infinite at the ends, and are not between.
            (0..POINTS)
                .map(|point| from + width * (point as f64 + 0.5))
                .map(|x| {
                    let others = posteriors.iter().enumerate().filter(|(other, _)| *other != number);
                    posteriors[number].pdf(x) * others.map(|(_, other)| other.cdf(x)).product::<f64>() * width
                })
                .sum()
        })
        .collect();
    let all: f64 = parts.iter().sum();
    parts.into_iter().map(|part| part / all).collect()
}

fn shape(variant: Variant) -> (f64, f64) {
    (1.0 + variant.converted as f64, 1.0 + variant.visitors.saturating_sub(variant.converted) as f64)
}

fn posterior(variant: Variant) -> Beta {
    let (a, b) = shape(variant);
    Beta::new(a, b).expect("shapes are at least 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(visitors: u64, converted: u64) -> Variant {
        Variant { visitors, converted }
    }

    fn near(found: Option<f64>, expected: f64, within: f64) {
        let found = found.expect("a figure");
        assert!((found - expected).abs() < within, "{found}, not {expected}");
    }

    #[test]
    fn rates_and_tests_are_those_of_the_books() {
        // 200 of 1000 against 250 of 1000: pooled 0.225, error 0.018675.
        let found = findings(&[variant(1_000, 200), variant(1_000, 250)], 0);
        near(found[1].z, 2.677_398, 1e-5);
        near(found[1].p_value, 0.007_420, 1e-5);
        near(found[1].lift, 0.25, 1e-12);
        assert_eq!((found[0].z, found[0].lift, found[0].beats_control), (None, None, None));
        // Wilson's of 200 in 1000.
        let (low, high) = found[0].interval.expect("it has visitors");
        near(Some(low), 0.176_3, 1e-4);
        near(Some(high), 0.225_9, 1e-4);
        // With the uniform prior, 0 of 1 against 0 of 0: Beta(1, 2) is above Beta(1, 1) in 1/3.
        near(findings(&[variant(0, 0), variant(1, 0)], 0)[1].beats_control, 1.0 / 3.0, 1e-4);
        // 1 of 1 against 0 of 1: Beta(2, 1) is above Beta(1, 2) in 5/6.
        near(findings(&[variant(1, 0), variant(1, 1)], 0)[1].beats_control, 5.0 / 6.0, 1e-4);
    }

    #[test]
    fn probabilities_add_up_however_many_there_are() {
        for variants in [
            vec![variant(10, 1), variant(10, 1), variant(10, 1)],
            vec![variant(5_000_000, 50_000), variant(5_000_000, 50_300), variant(9, 9)],
            vec![variant(0, 0), variant(1_000_000, 0)],
        ] {
            let found = findings(&variants, 0);
            near(Some(found.iter().filter_map(|finding| finding.is_best).sum()), 1.0, 1e-9);
            for (finding, variant) in found.iter().zip(&variants) {
                assert_eq!(finding.is_best.is_some(), variant.visitors > 0, "{found:?}");
                assert!(finding.is_best.is_none_or(|best| (0.0..=1.0).contains(&best)), "{found:?}");
            }
        }
        let equal = findings(&[variant(10, 1), variant(10, 1), variant(10, 1)], 2);
        near(equal[0].is_best, 1.0 / 3.0, 1e-9);
        near(equal[1].beats_control, 0.5, 1e-9);
    }

    #[test]
    fn where_there_is_nothing_to_divide_by_there_is_no_figure() {
        let found = findings(&[variant(0, 0), variant(10, 0), variant(10, 10)], 0);
        assert_eq!((found[0].rate, found[0].interval), (None, None));
        assert_eq!((found[1].z, found[1].p_value, found[1].lift), (None, None, None));
        assert_eq!(found[1].interval.map(|(low, _)| low), Some(0.0));
        assert_eq!(found[2].interval.map(|(_, high)| high), Some(1.0));
        assert!(findings(&[variant(1, 1)], 1).is_empty());
    }

    #[test]
    fn uneven_shares_show() {
        near(share_p_value(&[500, 500], &[1.0, 1.0]), 1.0, 1e-12);
        // Chi-square 4 with one degree of freedom.
        near(share_p_value(&[5_100, 4_900], &[1.0, 1.0]), 0.045_500, 1e-5);
        near(share_p_value(&[6_000, 3_000, 1_000], &[6.0, 3.0, 1.0]), 1.0, 1e-12);
        assert!(share_p_value(&[8_000, 2_000], &[1.0, 1.0]).expect("a figure") < 1e-12);
        for (visitors, weights) in
            [(vec![5], vec![1.0]), (vec![0, 0], vec![1.0, 1.0]), (vec![1, 2], vec![0.0, 1.0])]
        {
            assert_eq!(share_p_value(&visitors, &weights), None);
        }
    }
}
