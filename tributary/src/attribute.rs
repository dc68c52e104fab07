//! `tributary attribute`: what each channel would have got by a model.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use domain::money::Currency;
use domain::timestamp::rfc3339;
use models::journeys::{Journeys, read};
use models::{Model, Share, Sharing, compare};
use runtime::clock::now_ms;
use serde_json::json;

use crate::moment::moment;
use crate::settings::Settings;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

#[derive(Args)]
pub(crate) struct AttributeArgs {
    /// The model
    #[arg(long, value_name = "MODEL")]
    model: ModelArg,

    /// CSV of paths (`path;total_conversions;total_conversion_value;total_null`, with ` > ` between
    /// channels) or of timed touches (`journey_id,channel,touch_ts,conversion_ts,conversion_value`);
    /// - reads from standard input
    #[arg(long, value_name = "FILE", required_unless_present = "workspace", conflicts_with = "workspace")]
    input: Option<PathBuf>,

    /// Instead of a file, the events of this workspace in ClickHouse, by id or slug
    #[arg(long, value_name = "ID|SLUG", requires = "from")]
    workspace: Option<String>,

    /// Conversions from here on, in RFC 3339 or as a day (UTC)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<i64>,

    /// Conversions before here; now, if not said
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<i64>,

    /// What a channel is
    #[arg(long, value_name = "BY", default_value = "channel")]
    by: By,

    /// A click counts this long
    #[arg(long, default_value_t = 30, value_name = "DAYS")]
    window_days: u16,

    /// Of time decay: a touch this much older counts half
    #[arg(long, default_value_t = 7.0, value_name = "DAYS")]
    half_life_days: f64,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// A campaign
    Campaign,
    /// A creator
    Creator,
    /// The link's utm_source, else the site that the click came from, else direct
    Channel,
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

pub(crate) async fn run(settings: &Settings, args: &AttributeArgs) -> anyhow::Result<()> {
    let journeys = match (&args.input, &args.workspace) {
        (_, Some(workspace)) => collected(settings, args, workspace).await?,
        (Some(path), None) => from_file(path)?,
        (None, None) => anyhow::bail!("give --input or --workspace"),
    };
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

fn from_file(path: &Path) -> anyhow::Result<Journeys> {
    let file: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(path).with_context(|| path.display().to_string())?),
    };
    read(file).with_context(|| path.display().to_string())
}

/// The journeys of a workspace's visitors, out of ClickHouse. Values are in the
/// major unit of the workspace's currency.
async fn collected(settings: &Settings, args: &AttributeArgs, workspace: &str) -> anyhow::Result<Journeys> {
    let pool = store::connect(&settings.database_url, 1).await?;
    let found = store::control::find_workspace(&pool, workspace).await?;
    let workspace = found.with_context(|| format!("there is no workspace {workspace:?}"))?;
    let (from_ms, window_ms) = (args.from.unwrap_or_default(), i64::from(args.window_days) * DAY_MS);
    // Paths that begin in the middle would tell other things.
    anyhow::ensure!(
        from_ms - window_ms >= workspace.expired_before_ms || workspace.expired_before_ms == 0,
        "clicks of before {} have expired (retention): --from must be {} days later at least",
        rfc3339(workspace.expired_before_ms),
        args.window_days
    );
    let exponent = Currency::new(&workspace.currency)?.exponent().unwrap_or_default();
    let by = match args.by {
        By::Campaign => "campaign",
        By::Creator => "creator",
        By::Channel => "channel",
    };
    let clickhouse = settings.clickhouse();
    let mut lines = clickhouse
        .query(include_str!("../queries/journeys.sql"))
        .param("workspace", workspace.id.to_string())
        .param("currency", &workspace.currency)
        .param("minor_per_major", 10_u32.pow(exponent.into()))
        .param("by", by)
        .param("from_ms", from_ms)
        .param("to_ms", args.to.unwrap_or_else(now_ms))
        .param("window_ms", window_ms)
        .fetch_bytes("CSVWithNames")?;
    let lines = lines.collect().await.context("ClickHouse")?;
    let mut journeys = read(&lines[..]).context("ClickHouse's answer")?;
    let names: HashMap<String, String> = match args.by {
        By::Channel => HashMap::new(),
        By::Campaign => {
            let campaigns = store::campaigns::list(&pool, workspace.id, None).await?;
            campaigns.into_iter().map(|c| (c.id.to_string(), c.title)).collect()
        }
        By::Creator => {
            let creators = store::control::list_creators(&pool, workspace.id).await?;
            creators.into_iter().map(|c| (c.id.to_string(), c.display_name)).collect()
        }
    };
    for channel in &mut journeys.channels {
        if let Some(name) = names.get(channel) {
            // Two may have the same name.
            *channel = format!("{name} ({channel})");
        }
    }
    Ok(journeys)
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
