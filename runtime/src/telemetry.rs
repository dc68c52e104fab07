//! Logs to standard error, metrics as Prometheus text.

use std::io::IsTerminal as _;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Upper bounds, in seconds, of the latency histograms.
const LATENCY_BUCKETS_S: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Histograms keep each sample until they are read, or told to count it; where
/// nobody reads them, memory would grow with every request.
const KEEP_UP_EVERY: Duration = Duration::from_secs(5);

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `filter` is in `tracing`'s directive syntax, for example
/// `info,ingest=debug`.
///
/// # Errors
/// When the filter is not understood, or logging was started before.
pub fn init_logs(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("log filter {filter:?}: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    started.map_err(|error| error.to_string())
}

/// Starts collecting metrics; calls after the first change nothing.
///
/// # Panics
/// When another recorder is installed in this process, or no thread can be
/// started.
pub fn init_metrics() {
    METRICS.get_or_init(|| {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS_S)
            .expect("there are buckets")
            .install_recorder()
            .expect("the only recorder of this process");
        let kept_up = handle.clone();
        let keep_up = move || loop {
            std::thread::sleep(KEEP_UP_EVERY);
            kept_up.run_upkeep();
        };
        std::thread::Builder::new().name("metrics".to_owned()).spawn(keep_up).expect("a thread");
        handle
    });
}

/// All metrics, in Prometheus's text format.
#[must_use]
pub fn render_metrics() -> String {
    METRICS.get().map(PrometheusHandle::render).unwrap_or_default()
}
