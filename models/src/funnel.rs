//! How far visitors came through ordered steps, and how long each step took them.
//!
//! A visitor's acts are put together by the moment at which they happened, so that an act
//! that was told twice counts once, and acts of the same millisecond have no order. Each
//! moment at which the first step happened begins an *attempt*; its further steps are,
//! one after the other, the next moment later than the one before at which that step
//! happened, within the window of the attempt's beginning. Of a visitor's attempts the
//! one that came furthest counts, the first of these.

use std::iter;

/// Which steps happened at a moment: bit 0 is the first.
pub type Steps = u16;

/// Steps have a bit each.
pub const MAX_STEPS: usize = Steps::BITS as usize;

/// What is asked of a funnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many steps there are, at most [`MAX_STEPS`].
    pub steps: usize,
    /// The last step comes at most so long after the first, in milliseconds.
    pub window_ms: i64,
    /// Attempts begin before this moment, milliseconds since 1970.
    pub begun_before_ms: i64,
    /// Whether no other of the steps may happen in between.
    pub is_strict: bool,
}

/// The moments of an attempt, a step each, in milliseconds since 1970; none, where it never
/// began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    moments: [i64; MAX_STEPS],
    steps: usize,
}

impl Attempt {
    fn push(&mut self, ms: i64) {
        self.moments[self.steps] = ms;
        self.steps += 1;
    }
}

impl std::ops::Deref for Attempt {
    type Target = [i64];

    fn deref(&self) -> &[i64] {
        &self.moments[..self.steps]
    }
}

impl FromIterator<i64> for Attempt {
    /// Of at most [`MAX_STEPS`] moments.
    fn from_iter<I: IntoIterator<Item = i64>>(moments: I) -> Self {
        let mut attempt = Self::default();
        moments.into_iter().for_each(|ms| attempt.push(ms));
        attempt
    }
}

/// What happened at a moment: milliseconds since 1970 in the upper 48 bits, the steps in the
/// lower 16. Packed so, acts are put in order in half the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Act(pub u64);

impl Act {
    /// From milliseconds since 1970, and what happened then.
    #[must_use]
    pub fn new(ms: i64, steps: Steps) -> Self {
        Self(ms.unsigned_abs() << 16 | u64::from(steps))
    }

    fn ms(self) -> i64 {
        (self.0 >> 16) as i64
    }

    fn has(self, step: usize) -> bool {
        self.0 >> step & 1 == 1
    }

    fn is_at_the_moment_of(self, other: Self) -> bool {
        self.0 >> 16 == other.0 >> 16
    }
}

/// A visitor's best attempt. `acts` come in any order, each of a step at least.
#[must_use]
pub fn best_attempt(acts: &mut Vec<Act>, rules: Rules) -> Attempt {
    acts.sort_unstable();
    acts.dedup_by(|later, earlier| {
        let same = later.is_at_the_moment_of(*earlier);
        if same {
            earlier.0 |= later.0;
        }
        same
    });
    // Where the search for each step goes on: no later attempt finds it earlier.
    let mut next = [0_usize; MAX_STEPS];
    let mut best = Attempt::default();
    for (start, act) in acts.iter().enumerate() {
        if act.ms() >= rules.begun_before_ms {
            break;
        }
        if !act.has(0) {
            continue;
        }
        let attempt = if rules.is_strict {
            strict_attempt(&acts[start..], rules).collect()
        } else {
            loose_attempt(acts, start, &mut next, rules)
        };
        if attempt.len() > best.len() {
            best = attempt;
        }
        if best.len() == rules.steps {
            break;
        }
    }
    best
}

fn strict_attempt(acts: &[Act], rules: Rules) -> impl Iterator<Item = i64> {
    let begun_ms = acts[0].ms();
    acts.iter()
        .take(rules.steps)
        .enumerate()
        .take_while(move |(step, act)| act.has(*step) && act.ms() - begun_ms <= rules.window_ms)
        .map(|(_, act)| act.ms())
}

/// The attempt that begins at `start`.
fn loose_attempt(acts: &[Act], start: usize, next: &mut [usize; MAX_STEPS], rules: Rules) -> Attempt {
    let begun_ms = acts[start].ms();
    let mut at = start;
    let mut attempt = Attempt::default();
    attempt.push(begun_ms);
    for (step, next) in next.iter_mut().enumerate().take(rules.steps).skip(1) {
        *next = (*next).max(at + 1);
        while acts.get(*next).is_some_and(|act| !act.has(step)) {
            *next += 1;
        }
        match acts.get(*next) {
            Some(act) if act.ms() - begun_ms <= rules.window_ms => attempt.push(act.ms()),
            _ => break,
        }
        at = *next;
    }
    attempt
}

/// What came of all visitors, step by step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Who took the first step.
    begun: u64,
    /// How long each who took a further step needed for it since the one before, in
    /// milliseconds, the second step first.
    durations_ms: Vec<Vec<i64>>,
}

/// What came of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Who took it.
    pub visitors: u64,
    /// How long half of them needed at most since the step before, in milliseconds; none
    /// of the first step, or if nobody took it.
    pub median_ms: Option<i64>,
    /// The mean of it.
    pub mean_ms: Option<f64>,
}

impl Progress {
    /// Counts a visitor's best attempt.
    pub fn count(&mut self, attempt: &[i64]) {
        self.begun += u64::from(!attempt.is_empty());
        let further = attempt.len().saturating_sub(1);
        if self.durations_ms.len() < further {
            self.durations_ms.resize(further, Vec::new());
        }
        for (durations, pair) in self.durations_ms.iter_mut().zip(attempt.windows(2)) {
            durations.push(pair[1] - pair[0]);
        }
    }

    /// What came of each of `steps` steps.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Vec<Step> {
        self.durations_ms.resize(steps.saturating_sub(1), Vec::new());
        let first = Step { visitors: self.begun, median_ms: None, mean_ms: None };
        iter::once(first).chain(self.durations_ms.into_iter().map(step)).collect()
    }
}

fn step(mut durations_ms: Vec<i64>) -> Step {
    let visitors = durations_ms.len() as u64;
    if visitors == 0 {
        return Step { visitors, median_ms: None, mean_ms: None };
    }
    let sum: i64 = durations_ms.iter().sum();
    let middle = (durations_ms.len() - 1) / 2;
    let (_, median_ms, _) = durations_ms.select_nth_unstable(middle);
    Step { visitors, median_ms: Some(*median_ms), mean_ms: Some(sum as f64 / visitors as f64) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(steps: usize, window_ms: i64, is_strict: bool) -> Rules {
        Rules { steps, window_ms, begun_before_ms: 1_000, is_strict }
    }

    #[test]
    fn the_furthest_attempt_counts_and_of_these_the_first() {
        const A: Steps = 0b001;
        const B: Steps = 0b010;
        const C: Steps = 0b100;
        for (acts, window_ms, loose, strict) in [
            (vec![], 100, vec![], vec![]),
            (vec![(5, B), (6, C)], 100, vec![], vec![]),
            (vec![(1, A), (2, B), (3, C)], 100, vec![1, 2, 3], vec![1, 2, 3]),
            // In any order they come, and twice.
            (vec![(3, C), (2, B), (1, A), (2, B)], 100, vec![1, 2, 3], vec![1, 2, 3]),
            // Out of order.
            (vec![(1, A), (2, C), (3, B)], 100, vec![1, 3], vec![1]),
            (vec![(1, A), (2, A), (3, B), (4, C)], 100, vec![1, 3, 4], vec![2, 3, 4]),
            // The window holds to the millisecond, and a later attempt may keep it.
            (vec![(0, A), (5, B), (10, C)], 10, vec![0, 5, 10], vec![0, 5, 10]),
            (vec![(0, A), (5, B), (11, C)], 10, vec![0, 5], vec![0, 5]),
            (vec![(0, A), (4, A), (5, B), (11, C)], 10, vec![4, 5, 11], vec![4, 5, 11]),
            // Of the same moment there is no order.
            (vec![(1, A), (1, B), (2, C)], 100, vec![1], vec![1]),
            (vec![(1, A), (2, A | B), (3, B), (4, C)], 100, vec![1, 2, 4], vec![2, 3, 4]),
            // Who begins too late is not in it, who goes on late is.
            (vec![(1_000, A), (1_001, B)], 100, vec![], vec![]),
            (vec![(999, A), (1_001, B)], 100, vec![999, 1_001], vec![999, 1_001]),
        ] {
            assert_eq!(*best(&acts, rules(3, window_ms, false)), loose, "{acts:?}");
            assert_eq!(*best(&acts, rules(3, window_ms, true)), strict, "{acts:?} strict");
        }
    }

    fn best(acts: &[(i64, Steps)], rules: Rules) -> Attempt {
        best_attempt(&mut acts.iter().map(|(ms, steps)| Act::new(*ms, *steps)).collect(), rules)
    }

    #[test]
    fn a_step_says_who_took_it_and_how_long() {
        let mut progress = Progress::default();
        for attempt in [vec![0, 10, 30], vec![5, 8], vec![7, 8], vec![], vec![1], vec![0, 100]] {
            progress.count(&attempt);
        }
        let step = |visitors, median_ms, mean_ms| Step { visitors, median_ms, mean_ms };
        assert_eq!(
            progress.steps(4),
            [
                step(5, None, None),
                step(4, Some(3), Some(28.5)),
                step(1, Some(20), Some(20.0)),
                step(0, None, None)
            ]
        );
    }

    /// The furthest that any choice of moments comes.
    fn furthest(moments: &[(i64, Steps)], from: usize, step: usize, begun_ms: i64, rules: Rules) -> usize {
        if step == rules.steps {
            return step;
        }
        let fits = |(ms, steps): &(i64, Steps)| steps >> step & 1 == 1 && ms - begun_ms <= rules.window_ms;
        let mut best = step;
        for (number, moment) in moments.iter().enumerate().skip(from) {
            if fits(moment) {
                best = best.max(furthest(moments, number + 1, step + 1, begun_ms, rules));
            }
        }
        best
    }

    proptest! {
        #[test]
        fn no_choice_of_moments_comes_further(
            acts in prop::collection::vec((0_i64..30, 1_u16..8), 0..12), window_ms in 0_i64..20,
        ) {
            let rules = Rules { steps: 3, window_ms, begun_before_ms: 25, is_strict: false };
            let mut merged = std::collections::BTreeMap::<i64, Steps>::new();
            for (ms, steps) in &acts {
                *merged.entry(*ms).or_default() |= steps;
            }
            let moments: Vec<(i64, Steps)> = merged.into_iter().collect();
            let depths: Vec<(i64, usize)> = moments.iter().enumerate()
                .filter(|(_, (ms, steps))| *ms < 25 && steps & 1 == 1)
                .map(|(at, (ms, _))| (*ms, furthest(&moments, at + 1, 1, *ms, rules)))
                .collect();
            let depth = depths.iter().map(|(_, depth)| *depth).max().unwrap_or(0);
            let begun = depths.iter().find(|(_, reached)| *reached == depth).map(|(ms, _)| *ms);
            let attempt = best(&acts, rules);
            prop_assert_eq!(attempt.len(), depth);
            prop_assert_eq!(attempt.first().copied(), begun);
            prop_assert!(attempt.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
