//! `tributary attribute`, on files as people have them.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use tests::program;

const PATHS: &str = "path;total_conversions;total_conversion_value;total_null\n\
    G;2;20.00;1\nM;1;10.00;0\nG > M;1;30.00;0\n";

fn attribute(arguments: &[&str], input: &str) -> anyhow::Result<Output> {
    let mut command = Command::new(program());
    command
        .arg("attribute")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // It may refuse its arguments before it reads.
    child.stdin.take().expect("it has an input").write_all(input.as_bytes()).ok();
    Ok(child.wait_with_output()?)
}

#[test]
fn a_file_of_paths_is_shared_out() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("paths.csv");
    std::fs::write(&file, PATHS)?;
    let output = attribute(&["--model", "markov", "--input", &file.display().to_string()], "")?;
    let expected = "channel     conversions             value\n\
                    G                  2.40             36.00\n\
                    M                  1.60             24.00\n";
    assert_eq!(String::from_utf8(output.stdout)?, expected);
    let output = attribute(&["--model", "shapley", "--input", "-", "--json"], PATHS)?;
    let shares: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!((&shares[0]["channel"], &shares[0]["conversions"]), (&"G".into(), &2.5.into()));
    Ok(())
}

#[test]
fn what_cannot_be_is_said() -> anyhow::Result<()> {
    for (arguments, input, words) in [
        (&["--model", "markov", "--input", "/nowhere.csv"][..], "", "/nowhere.csv: No such file"),
        (&["--model", "best", "--input", "-"][..], "", "[possible values: first, last, linear"),
        (&["--model", "time-decay", "--input", "-"][..], PATHS, "give timed touches, not paths"),
        (
            &["--model", "first", "--input", "-"][..],
            "path;total_conversions\nA;x\n",
            "line 2: total_conversions",
        ),
        (&["--model", "first"][..], "", "--input <FILE>"),
    ] {
        let output = attribute(arguments, input)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{arguments:?}: {said}");
    }
    Ok(())
}
