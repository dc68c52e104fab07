//! Journeys, and the two forms of CSV they come in:
//!
//! - paths, as the R package `ChannelAttribution` takes them:
//!   `path;total_conversions;total_conversion_value;total_null`, with ` > `
//!   between channels;
//! - timed touches, one a line:
//!   `journey_id,channel,touch_ts,conversion_ts,conversion_value`, times as
//!   RFC 3339 or whole milliseconds since 1970. A journey without a
//!   `conversion_ts` did not convert.
//!
//! The header tells which it is; either may be separated by `,` or `;`. A model
//! of a part of the data would mislead, so a line that cannot be read is an
//! error.

use std::collections::HashMap;
use std::io::Read;

use csv::{ReaderBuilder, StringRecord};
use domain::timestamp::read_rfc3339;

const DAY_MS: f64 = 86_400_000.0;

/// One channel met on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Touch {
    /// Its place in [`Journeys::channels`].
    pub channel: usize,
    /// How long before the conversion, where it is known.
    pub age_days: Option<f64>,
}

/// A way that people took, and how it ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Journey {
    /// In the order of time; at least one.
    pub touches: Vec<Touch>,
    /// How many converted.
    pub conversions: f64,
    /// What their conversions were worth.
    pub value: f64,
    /// How many did not convert.
    pub nulls: f64,
}

/// Journeys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Journeys {
    /// The channels' names, as they were first met.
    pub channels: Vec<String>,
    /// The journeys.
    pub journeys: Vec<Journey>,
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The header is of neither form.
    #[error(
        "the header must be `path;total_conversions;total_conversion_value;total_null` or \
         `journey_id,channel,touch_ts,conversion_ts,conversion_value`; {0:?} is missing"
    )]
    Header(&'static str),
    /// A line says what cannot be.
    #[error("line {line}: {message}")]
    Line {
        /// From 1, the header being the first.
        line: u64,
        /// What is wrong.
        message: String,
    },
    /// It cannot be read at all, or is no CSV.
    #[error(transparent)]
    Csv(#[from] csv::Error),
}

/// Gives each channel its place.
#[derive(Default)]
struct Channels {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Channels {
    fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.names.len();
        self.names.push(name.to_owned());
        self.places.insert(name.to_owned(), place);
        place
    }
}

/// A line, by its columns' names.
struct Line<'a> {
    record: &'a StringRecord,
    header: &'a StringRecord,
    line: u64,
}

impl Line<'_> {
    fn wrong(&self, message: String) -> ReadError {
        ReadError::Line { line: self.line, message }
    }

    /// A column's text; empty where there is none.
    fn text(&self, name: &str) -> &str {
        let place = self.header.iter().position(|column| column == name);
        place.and_then(|place| self.record.get(place)).unwrap_or_default()
    }

    /// A count or a value; 0 where it is empty.
    fn number(&self, name: &str) -> Result<f64, ReadError> {
        match self.text(name) {
            "" => Ok(0.0),
            text => text
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite() && *number >= 0.0)
                .ok_or_else(|| self.wrong(format!("{name} is {text:?}, not a number from 0"))),
        }
    }

    fn time_ms(&self, name: &str) -> Result<Option<i64>, ReadError> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(None);
        }
        let read = text.parse::<i64>().ok().or_else(|| read_rfc3339(text));
        let wrong =
            || self.wrong(format!("{name} is {text:?}, neither RFC 3339 nor whole milliseconds since 1970"));
        read.map(Some).ok_or_else(wrong)
    }
}

/// Reads a file of either form.
///
/// # Errors
/// When it is of neither, or one of its lines cannot be read.
pub fn read(mut file: impl Read) -> Result<Journeys, ReadError> {
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(csv::Error::from)?;
    let header = text.lines().next().unwrap_or_default();
    let delimiter = if header.contains(';') { b';' } else { b',' };
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers()?.clone();
    let missing = |names: &[&'static str]| {
        names.iter().find(|name| !header.iter().any(|column| column == **name)).copied()
    };
    let is_timed = header.iter().any(|column| column == "journey_id");
    let needed: &[&str] = match is_timed {
        true => &["journey_id", "channel", "touch_ts", "conversion_ts"],
        false => &["path", "total_conversions"],
    };
    if let Some(name) = missing(needed) {
        return Err(ReadError::Header(name));
    }
    let mut records = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        records.push((line, record));
    }
    let lines = records.iter().map(|(line, record)| Line { record, header: &header, line: *line });
    if is_timed { timed(lines) } else { paths(lines) }
}

fn paths<'a>(lines: impl Iterator<Item = Line<'a>>) -> Result<Journeys, ReadError> {
    let (mut channels, mut journeys) = (Channels::default(), Vec::new());
    for line in lines {
        let touches = line
            .text("path")
            .split('>')
            .map(str::trim)
            .map(|name| match name {
                "" => Err(line.wrong("path has a step without a name".to_owned())),
                name => Ok(Touch { channel: channels.place(name), age_days: None }),
            })
            .collect::<Result<Vec<_>, _>>()?;
        journeys.push(Journey {
            touches,
            conversions: line.number("total_conversions")?,
            value: line.number("total_conversion_value")?,
            nulls: line.number("total_null")?,
        });
    }
    Ok(Journeys { channels: channels.names, journeys })
}

/// What the lines of one journey say.
struct Gathered {
    touches: Vec<(i64, usize)>,
    conversion_ms: Option<i64>,
    value: f64,
}

fn timed<'a>(lines: impl Iterator<Item = Line<'a>>) -> Result<Journeys, ReadError> {
    let mut channels = Channels::default();
    let (mut gathered, mut places) = (Vec::<Gathered>::new(), HashMap::<String, usize>::new());
    for line in lines {
        let id = line.text("journey_id");
        let channel = match line.text("channel") {
            "" => return Err(line.wrong("there is no channel".to_owned())),
            name => channels.place(name),
        };
        let touch_ms =
            line.time_ms("touch_ts")?.ok_or_else(|| line.wrong("there is no touch_ts".to_owned()))?;
        let (conversion_ms, value) = (line.time_ms("conversion_ts")?, line.number("conversion_value")?);
        if let Some(place) = places.get(id) {
            let journey = &mut gathered[*place];
            if journey.conversion_ms != conversion_ms || journey.value != value {
                return Err(line.wrong(format!("journey {id:?} has another conversion further up")));
            }
            journey.touches.push((touch_ms, channel));
        } else {
            places.insert(id.to_owned(), gathered.len());
            gathered.push(Gathered { touches: vec![(touch_ms, channel)], conversion_ms, value });
        }
    }
    let journeys = gathered.into_iter().filter_map(journey).collect();
    Ok(Journeys { channels: channels.names, journeys })
}

/// A journey, up to its conversion; what came afterwards earned nothing.
fn journey(Gathered { mut touches, conversion_ms, value }: Gathered) -> Option<Journey> {
    touches.retain(|(at_ms, _)| conversion_ms.is_none_or(|end_ms| *at_ms <= end_ms));
    // Of the same moment, as they stand in the file.
    touches.sort_by_key(|(at_ms, _)| *at_ms);
    let age_days = |at_ms: i64| Some((conversion_ms? - at_ms) as f64 / DAY_MS);
    let touches: Vec<Touch> =
        touches.into_iter().map(|(at_ms, channel)| Touch { channel, age_days: age_days(at_ms) }).collect();
    let (conversions, nulls) = if conversion_ms.is_some() { (1.0, 0.0) } else { (0.0, 1.0) };
    let value = if conversion_ms.is_some() { value } else { 0.0 };
    (!touches.is_empty()).then_some(Journey { touches, conversions, value, nulls })
}
