//! Models that share a conversion among its touches.

use crate::journeys::{Journey, Journeys};
use crate::{Credit, ModelError, Sharing};

/// What each channel gets.
///
/// # Errors
/// When time decay meets a touch whose time is not known, or a half-life is
/// none.
pub fn credits(journeys: &Journeys, sharing: Sharing) -> Result<Vec<Credit>, ModelError> {
    let mut credits = vec![Credit::default(); journeys.channels.len()];
    for journey in journeys.journeys.iter().filter(|journey| journey.conversions > 0.0) {
        let weights = weights(journey, sharing)?;
        let total: f64 = weights.iter().sum();
        for (touch, weight) in journey.touches.iter().zip(weights) {
            let credit = &mut credits[touch.channel];
            credit.conversions += journey.conversions * weight / total;
            credit.value += journey.value * weight / total;
        }
    }
    Ok(credits)
}

/// What each touch weighs, in any unit.
fn weights(journey: &Journey, sharing: Sharing) -> Result<Vec<f64>, ModelError> {
    let count = journey.touches.len();
    let only = |place: usize| (0..count).map(|at| if at == place { 1.0 } else { 0.0 }).collect();
    Ok(match sharing {
        Sharing::First => only(0),
        Sharing::Last => only(count.saturating_sub(1)),
        Sharing::Position if count > 2 => {
            let between = 0.2 / (count - 2) as f64;
            (0..count).map(|at| if at == 0 || at == count - 1 { 0.4 } else { between }).collect()
        }
        Sharing::TimeDecay { half_life_days } => decayed(journey, half_life_days)?,
        // One or two touches of a position-based model share alike.
        Sharing::Linear | Sharing::Position => vec![1.0; count],
    })
}

/// `2^(−age / half-life)`, of the age beyond the last touch's: a journey whose
/// touches are all very old has shares too.
fn decayed(journey: &Journey, half_life_days: f64) -> Result<Vec<f64>, ModelError> {
    if !(half_life_days.is_finite() && half_life_days > 0.0) {
        return Err(ModelError::HalfLife);
    }
    let ages: Option<Vec<f64>> = journey.touches.iter().map(|touch| touch.age_days).collect();
    let ages = ages.ok_or(ModelError::NoTimes)?;
    let youngest = ages.iter().copied().fold(f64::INFINITY, f64::min);
    Ok(ages.iter().map(|age| (-(age - youngest) / half_life_days).exp2()).collect())
}
