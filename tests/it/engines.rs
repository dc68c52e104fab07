//! The engines as children: ports, crashes, stops.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tests::{Stack, World, free_port, program};

/// Processes whose command line has `needle`.
fn pids(needle: &str) -> Vec<i32> {
    let output = Command::new("pgrep").args(["-f", "--", needle]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_engine_is_reported_and_restarted() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "engines").await?;
    let campaign = world.campaign("click", 5, 1_000).await?;
    let data = stack.data_dir().canonicalize()?;
    for (round, engine) in ["clickhouse", "postgres", "kafka"].into_iter().enumerate() {
        let needle = match engine {
            "postgres" => format!("postgres -D {}", data.join("postgres").display()),
            engine => format!("engine {engine} --port"),
        };
        let own: Vec<i32> = pids(&needle)
            .into_iter()
            .filter(|pid| {
                let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                line.contains(&*data.to_string_lossy())
            })
            .collect();
        if own.is_empty() && engine == "kafka" {
            // Kafka comes from elsewhere in this run.
            continue;
        }
        assert!(!own.is_empty(), "{engine} runs");
        for pid in own {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)?;
        }
        let report = format!("engine=\"{engine}\"");
        wait_for(&stack, |log| {
            log.lines().any(|line| line.contains("engine crashed") && line.contains(&report))
        })?;
        wait_for(&stack, |log| {
            log.lines().filter(|line| line.contains("engine is up") && line.contains(&report)).count() >= 2
        })?;
        // The pipeline goes on as if nothing had been.
        click_until_answered(&world, &campaign.code, &format!("visitor-{round:04}")).await?;
        stack.settle()?;
    }
    stack.reconcile()
}

async fn click_until_answered(world: &World, code: &str, visitor: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        match world.click(code, visitor).await {
            Ok(_) => return Ok(()),
            Err(error) if started.elapsed() > Duration::from_secs(30) => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

fn wait_for(stack: &Stack, seen: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(60) {
        if seen(&std::fs::read_to_string(stack.log_path())?) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!("it was not logged:\n{}", stack.log_tail())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_leaves_no_process() -> anyhow::Result<()> {
    let mut stack = Stack::start()?;
    let data = stack.data_dir().canonicalize()?.display().to_string();
    assert!(!pids(&data).is_empty());
    assert_eq!(stack.stop()?, Some(0));
    assert_eq!(pids(&data), Vec::<i32>::new());
    stack.restart()?;
    stack.kill_9();
    // The children see the pipe to their parent close.
    let started = Instant::now();
    while !pids(&data).is_empty() {
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", pids(&data));
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

#[test]
fn a_directory_and_a_port_have_one_owner() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let up = |data: &str, clickhouse: u16| {
        let ports: Vec<String> = (0..4).map(|_| free_port().to_string()).collect();
        let listen = format!("127.0.0.1:{}", ports[0]);
        let output = Command::new(program())
            .args(["up", "--data-dir", data, "--kafka-port", &ports[1], "--postgres-port", &ports[2]])
            .args(["--clickhouse-port", &clickhouse.to_string(), "--listen", &listen])
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let text = up(&stack.data_dir().display().to_string(), free_port());
    assert!(text.contains("in use by another tributary"), "{text}");
    let other = tempfile::tempdir()?;
    let text = up(&other.path().display().to_string(), stack.ports.clickhouse);
    assert!(text.contains("--clickhouse-port"), "{text}");
    Ok(())
}

/// Whoever started it may stop listening to what it says.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_to_listen() -> anyhow::Result<()> {
    let stack = Stack::start_with(&["--engines-only"])?;
    let mut command = stack.command();
    command.args(["status"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut status = command.spawn()?;
    drop(status.stdout.take());
    let output = status.wait_with_output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
