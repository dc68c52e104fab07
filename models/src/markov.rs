//! Removal effects in a first-order Markov chain.
//!
//! A journey goes from the start through its channels to a conversion or to
//! nothing. A channel's removal effect is the part of all conversions that
//! would be lost if whoever comes to it went nowhere instead; channels share the
//! conversions in proportion to it (Anderl, Becker, von Wangenheim, Schumann:
//! "Mapping the customer journey", 2016). Steps from a channel to itself change
//! nothing, and are left out.
//!
//! In closed form: with `N = (I − Q)⁻¹`, `c = N·r` the chance to convert from
//! each channel, and `h_k = (s·N)_k / N_kk` the chance to ever come to channel
//! k, what is lost without k is `h_k · c_k`. So one matrix is inverted once,
//! whatever the number of channels.

use crate::journeys::Journeys;
use crate::{Credit, ModelError};

/// The matrix of so many channels is inverted in seconds.
pub const MAX_CHANNELS: usize = 1_000;

/// What each channel gets.
///
/// # Errors
/// When there are more than [`MAX_CHANNELS`].
pub fn credits(journeys: &Journeys) -> Result<Vec<Credit>, ModelError> {
    let effects = removal_effects(journeys)?;
    let sum: f64 = effects.iter().sum();
    let conversions: f64 = journeys.journeys.iter().map(|journey| journey.conversions).sum();
    let value: f64 = journeys.journeys.iter().map(|journey| journey.value).sum();
    let share = |effect: f64| if sum > 0.0 { effect / sum } else { 0.0 };
    Ok(effects
        .into_iter()
        .map(|effect| Credit { conversions: share(effect) * conversions, value: share(effect) * value })
        .collect())
}

/// The part of all conversions that is lost without each channel.
///
/// # Errors
/// When there are more than [`MAX_CHANNELS`].
pub fn removal_effects(journeys: &Journeys) -> Result<Vec<f64>, ModelError> {
    let channels = journeys.channels.len();
    if channels > MAX_CHANNELS {
        return Err(ModelError::TooManyChannels { channels });
    }
    let Chain { start, steps, converts } = Chain::of(journeys);
    let visits = inverse_of_rest(steps);
    let times = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let chances: Vec<f64> = visits.iter().map(|row| times(row, &converts)).collect();
    let all = times(&start, &chances);
    let lost = |channel: usize| {
        let expected: f64 = start.iter().zip(&visits).map(|(chance, row)| chance * row[channel]).sum();
        let reached = expected / visits[channel][channel];
        reached * chances[channel]
    };
    Ok((0..channels).map(|channel| if all > 0.0 { lost(channel) / all } else { 0.0 }).collect())
}

/// The chances of each next step.
struct Chain {
    /// To begin with a channel.
    start: Vec<f64>,
    /// From each channel to each other.
    steps: Vec<Vec<f64>>,
    /// From each channel to a conversion.
    converts: Vec<f64>,
}

impl Chain {
    fn of(journeys: &Journeys) -> Self {
        let channels = journeys.channels.len();
        let (mut start, mut converts) = (vec![0.0; channels], vec![0.0; channels]);
        let (mut steps, mut leaves) = (vec![vec![0.0; channels]; channels], vec![0.0; channels]);
        for journey in &journeys.journeys {
            let weight = journey.conversions + journey.nulls;
            let (Some(first), Some(last)) = (journey.touches.first(), journey.touches.last()) else {
                continue;
            };
            start[first.channel] += weight;
            for step in journey.touches.windows(2) {
                let (from, to) = (step[0].channel, step[1].channel);
                if from != to {
                    steps[from][to] += weight;
                    leaves[from] += weight;
                }
            }
            converts[last.channel] += journey.conversions;
            leaves[last.channel] += weight;
        }
        let begun: f64 = start.iter().sum();
        let part = |count: &mut f64, of: f64| *count = if of > 0.0 { *count / of } else { 0.0 };
        for channel in 0..channels {
            part(&mut start[channel], begun);
            part(&mut converts[channel], leaves[channel]);
            for count in &mut steps[channel] {
                part(count, leaves[channel]);
            }
        }
        Self { start, steps, converts }
    }
}

/// `(I − Q)⁻¹`, by Gauss and Jordan. Every channel can be left for good, so the
/// matrix is one that needs no pivoting.
fn inverse_of_rest(steps: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let size = steps.len();
    let unit = |row: usize| (0..size).map(move |column| if row == column { 1.0 } else { 0.0 });
    let mut rows: Vec<Vec<f64>> = steps
        .into_iter()
        .enumerate()
        .map(|(row, chances)| {
            unit(row).zip(chances).map(|(one, chance)| one - chance).chain(unit(row)).collect()
        })
        .collect();
    for pivot in 0..size {
        let by = rows[pivot][pivot];
        rows[pivot].iter_mut().for_each(|entry| *entry /= by);
        let pivot_row = rows[pivot].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(index, _)| *index != pivot) {
            let factor = row[pivot];
            if factor != 0.0 {
                row.iter_mut().zip(&pivot_row).for_each(|(entry, above)| *entry -= factor * above);
            }
        }
    }
    rows.into_iter().map(|row| row[size..].to_vec()).collect()
}
