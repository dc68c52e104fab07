//! Shapley values over the sets of channels that were seen.
//!
//! The worth of a coalition is what the journeys within it converted. Then a
//! channel's Shapley value is the sum, over the sets it is in, of the set's own
//! conversions divided by the set's size (Zhao, Mahboobi, Bagheri: "Shapley
//! Value Methods for Attribution Modeling in Online Advertising", 2018), so
//! nothing has to be enumerated.

use crate::Credit;
use crate::journeys::Journeys;

/// What each channel gets.
#[must_use]
pub fn credits(journeys: &Journeys) -> Vec<Credit> {
    let mut credits = vec![Credit::default(); journeys.channels.len()];
    for journey in &journeys.journeys {
        let mut members: Vec<usize> = journey.touches.iter().map(|touch| touch.channel).collect();
        members.sort_unstable();
        members.dedup();
        for member in &members {
            credits[*member].conversions += journey.conversions / members.len() as f64;
            credits[*member].value += journey.value / members.len() as f64;
        }
    }
    credits
}
