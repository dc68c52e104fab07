//! Two builds of the collector under the same load, in many short turns. A machine
//! that is shared with others is not as fast in one minute as in the next, by more
//! than most changes are worth; so what one is worth is told by turns that follow each
//! other.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::bare::Bare;
use crate::clicks::{REQUESTS, clicks_of, requests};
use crate::collecting::{Collecting, IN_MEMORY};
use crate::load::{Load, Until};
use crate::table::Table;

/// Names the other build's program.
const OTHER: &str = "TRIBUTARY_OTHER";
const TURN: Duration = Duration::from_secs(2);
const TURNS: usize = 15;

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let other = std::env::var_os(OTHER)
        .with_context(|| format!("{OTHER}=PATH says which program to compare this build's with"))?;
    println!("builds: {TURNS} turns of each …");
    let collecting = Collecting::start(IN_MEMORY).await?;
    let beside = collecting.beside(&other)?;
    let bare = Bare::start()?;
    let this = clicks_of(&collecting, Arc::new(requests(&collecting.code, REQUESTS)));
    let of = |port| Load { port, until: Until::Over(TURN), ..this.clone() };
    let all = [of(bare.port), of(beside.port), of(this.port)];
    let mut per_second = [const { Vec::new() }; 3];
    // The first turn warms up.
    for turn in 0..=TURNS {
        for (load, figures) in all.iter().zip(&mut per_second) {
            let measured = load.run().await?;
            if turn > 0 {
                figures.push(measured.per_second);
            }
        }
    }
    let [bare, other, this] = &per_second;
    let (of_bare, of_other) = (ratios(this, bare), ratios(this, other));
    table.limit("bare axum 302, in turns", middle(bare), format!("the middle one of {TURNS}, as all here"));
    let note = |ratios: &[f64]| {
        let at = |quarter: usize| ratios[ratios.len() * quarter / 4];
        format!("half of the turns {:.3} to {:.3}, the middle one {:.3}", at(1), at(3), at(2))
    };
    table.figure("click, of the other build", middle(other), middle(bare), note(&ratios(other, bare)));
    table.figure("click, of this build", middle(this), middle(bare), note(&of_bare));
    table.figure("click, of this build beside the other", middle(this), middle(other), note(&of_other));
    Ok(())
}

/// Turn by turn, in order of size.
fn ratios(these: &[f64], those: &[f64]) -> Vec<f64> {
    let mut ratios: Vec<f64> = these.iter().zip(those).map(|(this, that)| this / that).collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

fn middle(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
