//! A tracking link, as clicks need it: which of its destinations a click is
//! led to.

use serde::{Deserialize, Serialize};

use crate::ids::{CampaignId, LinkId, UserId, VisitorKey, WorkspaceId, hash_uuid};

/// Destinations of one link, at most, of each sort.
pub const MAX_CHOICES: usize = 32;
/// The largest weight of a variant.
pub const MAX_WEIGHT: u32 = 10_000;

/// What looks like a code and is the beginning of another path of the
/// collector; no link has it.
pub const RESERVED_CODES: [&str; 5] = ["healthz", "readyz", "metrics", "v1", "webhooks"];

/// Whether a link may have this code: 1 to 20 letters, digits, `-` or `_`.
#[must_use]
pub fn is_code(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !text.is_empty() && text.len() <= 20 && text.chars().all(plain)
}

/// What stands behind a link's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The campaign it is for.
    pub campaign: CampaignId,
    /// Who earns by it.
    pub creator: UserId,
    /// The supporter who shares it, if any.
    pub supporter: Option<UserId>,
    /// Where it leads.
    pub destination_url: String,
    /// Where it leads once it has expired, used up its clicks, or is exhausted.
    pub fallback_url: Option<String>,
    /// When it expires, milliseconds since 1970.
    pub expires_at_ms: Option<i64>,
    /// How many clicks of people are led to the destination.
    pub click_limit: Option<i64>,
    /// Whether the query of the short address is added to the destination's.
    pub pass_query: bool,
    /// Destinations for countries and devices; the first that matches holds.
    pub rules: Vec<Rule>,
    /// Weighted destinations for everybody else.
    pub variants: Vec<Variant>,
    /// Whether it leads to the fallback now, because its campaign has no money
    /// left.
    pub is_exhausted: bool,
}

/// A destination for some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// ISO 3166 codes; empty: every country.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub countries: Vec<String>,
    /// Empty: every device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// Where it leads.
    pub destination_url: String,
}

/// One of several destinations that share the clicks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name in reports.
    pub name: String,
    /// Its share, as part of the sum of all weights; above 0.
    pub weight: u32,
    /// Where it leads.
    pub destination_url: String,
}

/// A sort of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// iPhone and iPad.
    Ios,
    /// Telephones and tablets with Android.
    Android,
    /// Everything else that people sit at or hold.
    Desktop,
    /// Not to be told.
    Other,
}

impl Device {
    /// The code, as in JSON and ClickHouse.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Ios => "ios",
            Self::Android => "android",
            Self::Desktop => "desktop",
            Self::Other => "other",
        }
    }
}

/// Which destination, as an index into the link's list of that sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The link's own.
    Default,
    /// A rule's.
    Rule(usize),
    /// A variant's.
    Variant(usize),
}

impl Link {
    /// The destination for a click. A visitor who comes again gets the same
    /// variant, wherever they are counted.
    #[must_use]
    pub fn choose(&self, visitor: VisitorKey, country: Option<&str>, device: Device) -> Choice {
        let by_rule = self.rules.iter().position(|rule| rule.matches(country, device));
        by_rule
            .map(Choice::Rule)
            .or_else(|| self.variant(visitor).map(Choice::Variant))
            .unwrap_or(Choice::Default)
    }

    fn variant(&self, visitor: VisitorKey) -> Option<usize> {
        // Most links have none: nothing need be drawn.
        if self.variants.is_empty() {
            return None;
        }
        let total = self.variants.iter().map(|variant| u128::from(variant.weight)).sum::<u128>();
        let drawn = hash_uuid("variant", &[self.id.0.as_bytes(), &visitor.0]).as_u128().checked_rem(total)?;
        let mut end = 0_u128;
        self.variants.iter().position(|variant| {
            end = end.saturating_add(u128::from(variant.weight));
            drawn < end
        })
    }

    /// What is wrong with the rules and variants, if anything; addresses are
    /// the caller's to check.
    ///
    /// # Errors
    /// The field, and a sentence.
    pub fn check_choices(rules: &[Rule], variants: &[Variant]) -> Result<(), (&'static str, String)> {
        if rules.len() > MAX_CHOICES {
            return Err(("rules", format!("at most {MAX_CHOICES}")));
        }
        if variants.len() > MAX_CHOICES {
            return Err(("variants", format!("at most {MAX_CHOICES}")));
        }
        let two_letters = |code: &String| code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
        for rule in rules {
            if let Some(code) = rule.countries.iter().find(|code| !two_letters(code)) {
                return Err(("rules", format!("{code:?} is no ISO 3166 code of two capital letters")));
            }
            if rule.countries.is_empty() && rule.devices.is_empty() {
                return Err(("rules", "a rule needs countries or devices".to_owned()));
            }
        }
        for (index, variant) in variants.iter().enumerate() {
            if variant.weight == 0 || variant.weight > MAX_WEIGHT {
                return Err(("variants", format!("a weight is 1 to {MAX_WEIGHT}")));
            }
            if variant.name.is_empty() || variant.name.len() > 64 {
                return Err(("variants", "a name has 1 to 64 bytes".to_owned()));
            }
            if variants.iter().take(index).any(|other| other.name == variant.name) {
                return Err(("variants", format!("two are named {:?}", variant.name)));
            }
        }
        Ok(())
    }
}

impl Rule {
    fn matches(&self, country: Option<&str>, device: Device) -> bool {
        let here =
            self.countries.is_empty() || country.is_some_and(|code| self.countries.iter().any(|c| c == code));
        here && (self.devices.is_empty() || self.devices.contains(&device))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn link(rules: Vec<Rule>, variants: Vec<Variant>) -> Link {
        Link {
            id: LinkId(Uuid::from_u128(5)),
            workspace: WorkspaceId(Uuid::from_u128(1)),
            campaign: CampaignId(Uuid::nil()),
            creator: UserId(Uuid::nil()),
            supporter: None,
            destination_url: "https://a.example/".to_owned(),
            fallback_url: None,
            expires_at_ms: None,
            click_limit: None,
            pass_query: false,
            rules,
            variants,
            is_exhausted: false,
        }
    }

    fn rule(countries: &[&str], devices: &[Device]) -> Rule {
        Rule {
            countries: countries.iter().map(ToString::to_string).collect(),
            devices: devices.to_vec(),
            destination_url: "https://b.example/".to_owned(),
        }
    }

    fn variant(name: &str, weight: u32) -> Variant {
        Variant { name: name.to_owned(), weight, destination_url: "https://c.example/".to_owned() }
    }

    fn visitor(number: u128) -> VisitorKey {
        VisitorKey(number.to_be_bytes())
    }

    #[test]
    fn the_first_rule_that_matches_holds() {
        let link = link(
            vec![rule(&["DE", "AT"], &[Device::Ios]), rule(&["DE"], &[]), rule(&[], &[Device::Android])],
            vec![],
        );
        for (country, device, expected) in [
            (Some("DE"), Device::Ios, Choice::Rule(0)),
            (Some("AT"), Device::Ios, Choice::Rule(0)),
            (Some("DE"), Device::Desktop, Choice::Rule(1)),
            (Some("FR"), Device::Android, Choice::Rule(2)),
            (None, Device::Android, Choice::Rule(2)),
            (None, Device::Ios, Choice::Default),
            (Some("FR"), Device::Other, Choice::Default),
        ] {
            assert_eq!(link.choose(visitor(1), country, device), expected, "{country:?} {device:?}");
        }
    }

    #[test]
    fn variants_share_by_weight_and_stick() {
        let link = link(vec![], vec![variant("a", 70), variant("b", 30)]);
        let mut counts = [0_u32; 2];
        for number in 0..10_000 {
            let choice = link.choose(visitor(number), None, Device::Other);
            assert_eq!(
                choice,
                link.choose(visitor(number), Some("DE"), Device::Ios),
                "a visitor keeps theirs"
            );
            let Choice::Variant(index) = choice else { panic!("{choice:?}") };
            counts[index] += 1;
        }
        // Five standard deviations of a fair draw are 229.
        assert!(counts[0].abs_diff(7_000) < 229, "{counts:?}");
    }

    #[test]
    fn choices_are_checked() {
        for (rules, variants, field) in [
            (vec![rule(&["de"], &[])], vec![], "rules"),
            (vec![rule(&[], &[])], vec![], "rules"),
            (vec![rule(&["DE"], &[]); 33], vec![], "rules"),
            (vec![], vec![variant("a", 0)], "variants"),
            (vec![], vec![variant("", 1)], "variants"),
            (vec![], vec![variant("a", 1), variant("a", 2)], "variants"),
        ] {
            assert_eq!(Link::check_choices(&rules, &variants).unwrap_err().0, field);
        }
        assert_eq!(Link::check_choices(&[rule(&["DE"], &[])], &[variant("a", 1), variant("b", 1)]), Ok(()));
    }
}
