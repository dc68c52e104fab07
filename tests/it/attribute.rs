//! `tributary attribute`, on files as people have them.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use tests::{BROWSER, Stack, World, program};

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

#[tokio::test(flavor = "multi_thread")]
async fn what_was_collected_is_shared_out() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "journeys").await?;
    let (one, two) = (world.campaign("sale", 5, 1_000).await?, world.campaign("sale", 5, 1_000).await?);
    for (visitor, code, query) in [
        ("anna", &one.code, "?utm_source=news"),
        ("anna", &two.code, "?utm_source=ads"),
        ("ben", &two.code, "?utm_source=ads"),
        ("cleo", &one.code, ""),
    ] {
        let cookie = format!("tvid={visitor}-000000000000");
        let headers = [("user-agent", BROWSER), ("cookie", &cookie), ("referer", "https://social.example/p")];
        assert_eq!(world.follow(&format!("{code}{query}"), &headers).await?.status, 302);
    }
    world.click_as("curl/8.0", &one.code, "anna-000000000000").await?;
    for (visitor, number, amount_minor) in [("anna", "1", 9_000), ("cleo", "2", 1_000)] {
        let sale = json!({
            "order_id": number, "visitor_id": format!("{visitor}-000000000000"),
            "value": { "amount_minor": amount_minor, "currency": "USD" },
        });
        world.accepted("/v1/sales", &sale).await?;
    }
    stack.settle()?;
    let shares = |arguments: &[&str]| -> anyhow::Result<String> {
        let always = ["attribute", "--workspace", "journeys", "--from", "2020-01-01"];
        let output = stack.run(&[&always, arguments].concat())?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout)?;
        let words = lines.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        Ok(words.collect::<Vec<_>>().join(", "))
    };
    let linear = shares(&["--model", "linear"])?;
    assert_eq!(linear, "social.example 1.00 10.00, ads 0.50 45.00, news 0.50 45.00");
    // Of equals, by name; and the first campaign's id is the smaller.
    assert_eq!(
        shares(&["--model", "last", "--by", "campaign"])?,
        format!("sale ({}) 1.00 10.00, sale ({}) 1.00 90.00", one.id, two.id)
    );
    assert_eq!(
        shares(&["--model", "markov", "--by", "creator"])?,
        format!("ada ({}) 2.00 100.00", world.creator)
    );
    // Nothing happened before today.
    assert_eq!(shares(&["--model", "linear", "--to", "2020-01-02"])?, "");
    Ok(())
}
