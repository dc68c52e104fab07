//! `make bench`: how fast each part is, as a ratio to a named limit measured
//! in the same run. Two-core figures of different days do not compare; the
//! ratios do.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]

mod analytics;
mod attribution;
mod bare;
mod batches;
mod builds;
mod clicks;
mod collecting;
mod load;
mod running;
mod settlement;
mod sink;
mod table;
mod topic;
mod visible;

use table::Table;

/// As in the program, whose parts run in this process too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What each part is called on the command line.
const PARTS: [&str; 12] = [
    "clicks",
    "disk",
    "batches",
    "attribution",
    "settlement",
    "sink",
    "visible",
    ANALYTICS,
    BUILDS,
    RECONCILE,
    SOAK,
    VISITORS,
];
/// These take minutes, and are only run when they are asked for.
const ANALYTICS: &str = "analytics";
const BUILDS: &str = "builds";
const RECONCILE: &str = "reconcile";
const SOAK: &str = "soak";
const VISITORS: &str = "visitors";

fn main() -> anyhow::Result<()> {
    runtime::memory::keep_freed();
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let [mode, rest @ ..] = &arguments[..]
        && mode == bare::MODE
    {
        return runtime.block_on(bare::serve(rest));
    }
    for argument in &arguments {
        anyhow::ensure!(PARTS.contains(&argument.as_str()), "there is no part {argument:?}; {PARTS:?}");
    }
    let wanted = |part: &str| {
        arguments.iter().any(|a| a == part)
            || arguments.is_empty() && ![ANALYTICS, BUILDS, RECONCILE, SOAK, VISITORS].contains(&part)
    };
    let mut table = Table::default();
    if wanted("clicks") {
        runtime.block_on(clicks::measure(&mut table))?;
    }
    if wanted("disk") {
        runtime.block_on(clicks::on_disk(&mut table))?;
    }
    if wanted("batches") {
        runtime.block_on(batches::measure(&mut table))?;
    }
    if wanted("attribution") {
        runtime.block_on(attribution::measure(&mut table))?;
    }
    if wanted("settlement") {
        runtime.block_on(settlement::measure(&mut table))?;
    }
    if wanted("sink") {
        runtime.block_on(sink::measure(&mut table))?;
    }
    if wanted("visible") {
        runtime.block_on(visible::measure(&mut table))?;
    }
    if wanted(ANALYTICS) {
        runtime.block_on(analytics::measure(&mut table))?;
    }
    if wanted(BUILDS) {
        runtime.block_on(builds::measure(&mut table))?;
    }
    if wanted(RECONCILE) {
        runtime.block_on(settlement::reconcile(&mut table))?;
    }
    if wanted(SOAK) {
        runtime.block_on(clicks::soak(&mut table))?;
    }
    if wanted(VISITORS) {
        attribution::visitors(&mut table)?;
    }
    println!("\n{table}");
    Ok(())
}
