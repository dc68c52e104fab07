//! Who does what when in the demo, from a fixed seed: some links are popular
//! and most are not, the day has its rhythm, about one visitor in twenty is a
//! robot, three clicks in a hundred are repeated, and people buy some time
//! after they clicked.

/// Clicks of people and robots together.
const CLICKS: usize = 4_000;
const LINKS: usize = 60;
const VISITORS: u64 = 2_600;
const SEED: u64 = 20_260;
/// Clicks by hour of the day, relative.
const RHYTHM: [u64; 24] =
    [9, 5, 3, 2, 2, 3, 8, 16, 24, 28, 30, 34, 42, 38, 33, 31, 33, 38, 46, 58, 70, 72, 50, 24];
const HOUR_MS: u64 = 3_600_000;

pub(crate) const PEOPLE: [&str; 6] = [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Linux; Android 14; SM-S928B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
];
pub(crate) const ROBOTS: [&str; 4] = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "python-requests/2.32.3",
];

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// When, in milliseconds of the demo's day.
    pub(crate) at_ms: u64,
    /// Who.
    pub(crate) visitor: u64,
    /// What.
    pub(crate) action: Action,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A link is followed.
    Click {
        /// Which of the links.
        link: usize,
        /// With which user agent.
        agent: &'static str,
    },
    /// The page behind it is seen.
    Page {
        /// The link that led there.
        link: usize,
    },
    /// A goal is reached.
    Conversion {
        /// The link that led there.
        link: usize,
        /// Its number.
        number: usize,
    },
    /// Something is bought.
    Sale {
        /// The link that led there.
        link: usize,
        /// The order's number.
        number: usize,
        /// What it cost, in cents.
        amount_minor: i64,
    },
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, seeded, the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// An index into `weights`, as often as its weight says.
    fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        weights.len() - 1
    }
}

/// The whole day, in order.
pub(crate) fn write() -> Vec<Step> {
    let mut dice = Dice(SEED);
    // Popularity falls with rank; which link has which rank is drawn once.
    let mut rank: Vec<usize> = (0..LINKS).collect();
    for at in (1..LINKS).rev() {
        rank.swap(at, dice.index(at + 1));
    }
    let popularity: Vec<u64> = rank.iter().map(|rank| 10_000 / (*rank as u64 + 3)).collect();
    let mut steps = Vec::new();
    for number in 0..CLICKS {
        let at_ms = dice.weighted(&RHYTHM) as u64 * HOUR_MS + dice.below(HOUR_MS);
        let link = dice.weighted(&popularity);
        visit(&mut dice, &mut steps, number, at_ms, link);
    }
    steps.sort_by_key(|step| step.at_ms);
    steps
}

/// A click, and what follows from it.
fn visit(dice: &mut Dice, steps: &mut Vec<Step>, number: usize, at_ms: u64, link: usize) {
    if dice.chance(50) {
        let agent = ROBOTS[dice.index(ROBOTS.len())];
        let visitor = VISITORS + dice.below(40);
        steps.push(Step { at_ms, visitor, action: Action::Click { link, agent } });
        return;
    }
    let visitor = dice.below(VISITORS);
    let agent = PEOPLE[usize::try_from(visitor).unwrap_or_default() % PEOPLE.len()];
    let mut push = |after_ms: u64, action| steps.push(Step { at_ms: at_ms + after_ms, visitor, action });
    push(0, Action::Click { link, agent });
    if dice.chance(30) {
        push(1_500, Action::Click { link, agent });
    }
    push(800 + dice.below(2_000), Action::Page { link });
    let delay_ms = 30_000 + dice.below(3 * HOUR_MS);
    if dice.chance(70) {
        push(delay_ms, Action::Conversion { link, number });
        if dice.chance(30) {
            // A shop's server that was not sure of the answer.
            push(delay_ms + 4_000, Action::Conversion { link, number });
        }
    }
    if dice.chance(45) {
        let amount_minor = i64::try_from(1_900 + dice.below(23_000)).unwrap_or_default();
        push(delay_ms + 60_000, Action::Sale { link, number, amount_minor });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_the_same_every_time_and_as_announced() {
        let script = write();
        assert_eq!(script, write());
        assert!(script.is_sorted_by_key(|step| step.at_ms));
        let count = |wanted: fn(&Action) -> bool| script.iter().filter(|s| wanted(&s.action)).count();
        let clicks = count(|a| matches!(a, Action::Click { .. }));
        let robots = count(|a| matches!(a, Action::Click { agent, .. } if ROBOTS.contains(agent)));
        assert!((40..70).contains(&(robots * 1_000 / clicks)), "{robots} robots of {clicks}");
        assert!((20..40).contains(&((clicks - CLICKS) * 1_000 / CLICKS)), "repeats");
        assert!(count(|a| matches!(a, Action::Sale { .. })) > 100);
        assert!(count(|a| matches!(a, Action::Conversion { .. })) > 200);
    }
}
