//! Statistics over what people did: attribution models compared on data (given the
//! journeys that people took, what each channel would have got by each model), funnels
//! and experiments.
//!
//! This tells a marketer what a choice matters. It pays nobody: what is paid follows
//! `domain`, in whole minor units, and that is why floating-point numbers are allowed
//! here and not there.
//!
//! | module | job |
//! |---|---|
//! | [`journeys`] | journeys, and the two forms of CSV they come in |
//! | [`touch`] | models that share a conversion among its touches: first, last, linear, position, time decay |
//! | [`markov`] | removal effects in a first-order Markov chain |
//! | [`shapley`] | Shapley values over the sets of channels that were seen |
//! | [`funnel`] | how far visitors came through ordered steps |
//! | [`experiment`] | rates of variants, and whether they differ |

pub mod experiment;
pub mod funnel;
pub mod journeys;
pub mod markov;
pub mod shapley;
pub mod touch;

use journeys::Journeys;

/// A model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Model {
    /// Each conversion is shared among its own touches.
    Sharing(Sharing),
    /// By what would be lost without the channel.
    Markov,
    /// By Shapley value.
    Shapley,
}

/// How a conversion is shared among its touches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sharing {
    /// All to the first touch.
    First,
    /// All to the last touch.
    Last,
    /// The same to each touch.
    Linear,
    /// 40 % to the first, 40 % to the last, the rest to those between.
    Position,
    /// The older, the less: half after each half-life.
    TimeDecay {
        /// In days.
        half_life_days: f64,
    },
}

/// What a channel gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The channel.
    pub channel: String,
    /// Conversions, in parts.
    pub conversions: f64,
    /// Of their value, in the input's unit.
    pub value: f64,
}

/// A model that cannot be used on these journeys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// It needs to know when touches were.
    #[error("time decay needs to know when each touch was; give timed touches, not paths")]
    NoTimes,
    /// A half-life that is none.
    #[error("a half-life is above 0 days")]
    HalfLife,
    /// More than can be solved in a sensible time.
    #[error(
        "{channels} channels are more than the {} that this model takes; group them",
        markov::MAX_CHANNELS
    )]
    TooManyChannels {
        /// How many there are.
        channels: usize,
    },
}

/// What each channel gets, the largest first. The shares of the journeys that
/// converted sum to their conversions and their value.
///
/// # Errors
/// When the model cannot be used on these journeys.
pub fn compare(journeys: &Journeys, model: Model) -> Result<Vec<Share>, ModelError> {
    let credits = match model {
        Model::Markov => markov::credits(journeys)?,
        Model::Shapley => shapley::credits(journeys),
        Model::Sharing(sharing) => touch::credits(journeys, sharing)?,
    };
    let mut shares: Vec<Share> = journeys
        .channels
        .iter()
        .zip(credits)
        .map(|(channel, Credit { conversions, value })| Share {
            channel: channel.clone(),
            conversions,
            value,
        })
        .collect();
    shares.sort_by(|a, b| b.conversions.total_cmp(&a.conversions).then_with(|| a.channel.cmp(&b.channel)));
    Ok(shares)
}

/// What a channel gets, in the order of [`Journeys::channels`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Credit {
    /// Conversions, in parts.
    pub conversions: f64,
    /// Of their value.
    pub value: f64,
}

#[cfg(test)]
mod tests;
