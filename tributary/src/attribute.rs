//! `tributary attribute`: what each channel would have got by a model.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use models::journeys::read;
use models::{Model, Share, Sharing, compare};
use serde_json::json;

#[derive(Args)]
pub(crate) struct AttributeArgs {
    /// The model
    #[arg(long, value_name = "MODEL")]
    model: ModelArg,

    /// CSV of paths (`path;total_conversions;total_conversion_value;total_null`, with ` > ` between
    /// channels) or of timed touches (`journey_id,channel,touch_ts,conversion_ts,conversion_value`);
    /// - reads from standard input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,

    /// Of time decay: a touch this much older counts half
    #[arg(long, default_value_t = 7.0, value_name = "DAYS")]
    half_life_days: f64,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModelArg {
    /// All to the first touch
    First,
    /// All to the last touch
    Last,
    /// The same to each touch
    Linear,
    /// 40 % to the first, 40 % to the last, the rest to those between
    Position,
    /// The older, the less; needs timed touches
    TimeDecay,
    /// By what would be lost without the channel, in a Markov chain
    Markov,
    /// By Shapley value over the sets of channels that were seen
    Shapley,
}

pub(crate) fn run(args: &AttributeArgs) -> anyhow::Result<()> {
    let file: Box<dyn Read> = match args.input.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(&args.input).with_context(|| args.input.display().to_string())?),
    };
    let journeys = read(file).with_context(|| args.input.display().to_string())?;
    let shares = compare(&journeys, args.model())?;
    if args.json {
        let share = |Share { channel, conversions, value }: &Share| json!({ "channel": channel, "conversions": conversions, "value": value });
        say!("{}", json!(shares.iter().map(share).collect::<Vec<_>>()));
        return Ok(());
    }
    let longest = shares.iter().map(|share| share.channel.chars().count()).max().unwrap_or_default();
    let width = longest.max("channel".len());
    say!("{:<width$}  {:>14}  {:>16}", "channel", "conversions", "value");
    for Share { channel, conversions, value } in shares {
        say!("{channel:<width$}  {conversions:>14.2}  {value:>16.2}");
    }
    Ok(())
}

impl AttributeArgs {
    fn model(&self) -> Model {
        match self.model {
            ModelArg::First => Model::Sharing(Sharing::First),
            ModelArg::Last => Model::Sharing(Sharing::Last),
            ModelArg::Linear => Model::Sharing(Sharing::Linear),
            ModelArg::Position => Model::Sharing(Sharing::Position),
            ModelArg::TimeDecay => Model::Sharing(Sharing::TimeDecay { half_life_days: self.half_life_days }),
            ModelArg::Markov => Model::Markov,
            ModelArg::Shapley => Model::Shapley,
        }
    }
}
