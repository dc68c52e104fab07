//! What a caller is told when something is wrong.

use std::process::Command;

use tests::{Stack, World, free_port, program};

#[tokio::test(flavor = "multi_thread")]
async fn the_collector_says_what_is_wrong() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "errors").await?;
    let key = format!("Bearer {}", world.key);
    let large = format!(r#"{{"type":"page","visitor_id":"v","url":"{}"}}"#, "x".repeat(5 << 20));
    let many = format!("[{}]", vec![r#"{"type":"page","visitor_id":"v","url":"/"}"#; 1_001].join(","));
    for (path, authorization, body, status, reason, words) in [
        ("/v1/events", key.as_str(), "{\n  \"type\": page }", 400, "malformed_json", "line 2, column 11"),
        ("/v1/events", key.as_str(), r#"[{"type":"page"},"#, 400, "malformed_json", "line 1"),
        ("/v1/events", key.as_str(), "", 400, "empty_body", "send JSON"),
        (
            "/v1/events",
            key.as_str(),
            r#"{"type":"view","visitor_id":"v"}"#,
            400,
            "unknown_type",
            "page, track",
        ),
        ("/v1/events", key.as_str(), r#"{"type":"page","url":"/"}"#, 400, "missing_field", "visitor_id"),
        ("/v1/events", key.as_str(), large.as_str(), 413, "body_too_large", "4194304 bytes"),
        ("/v1/events", key.as_str(), many.as_str(), 413, "batch_too_large", "1000"),
        ("/v1/events", "", "{}", 401, "missing_key", "Authorization: Bearer"),
        ("/v1/events", "Bearer nonsense", "{}", 401, "unknown_key", "not known"),
        ("/v1/sales", key.as_str(), r#"{"order_id":"1","visitor_id":"v"}"#, 400, "missing_field", "value"),
        (
            "/v1/conversions",
            key.as_str(),
            r#"{"goal":"g","tcid":"AAAA"}"#,
            400,
            "token_malformed",
            "passed on whole",
        ),
        (
            "/v1/conversions",
            key.as_str(),
            r#"{"type":"sale","goal":"g"}"#,
            400,
            "invalid_field",
            "only conversion",
        ),
        ("/v1/nothing", key.as_str(), "{}", 404, "unknown_path", "nothing at this path"),
    ] {
        let headers = [("authorization", authorization)];
        let headers = if authorization.is_empty() { &headers[..0] } else { &headers[..] };
        let answer =
            world.http.post(&format!("{}{path}", stack.collector_url()), headers, body.to_owned()).await?;
        let shown = answer.text();
        let error = answer.json()?["error"].clone();
        assert_eq!((answer.status, error["reason"].as_str()), (status, Some(reason)), "{path}: {shown}");
        assert!(error["message"].as_str().unwrap().contains(words), "{path}: {shown}");
    }
    let answer = world.http.get(&format!("{}/nobody-has-this", stack.collector_url()), &[]).await?;
    assert_eq!((answer.status, answer.json()?["error"]["reason"].as_str()), (404, Some("unknown_code")));
    good_beside_bad(&stack, &world).await
}

/// Bad input does not take good input down with it.
async fn good_beside_bad(stack: &Stack, world: &World) -> anyhow::Result<()> {
    let key = format!("Bearer {}", world.key);
    let headers = [("authorization", key.as_str()), ("user-agent", "Mozilla/5.0 Firefox/140.0")];
    let lines = "{\"type\":\"page\",\"visitor_id\":\"v\",\"url\":\"/a\"}\n{\"type\":\"page\"}\n\
                 {\"type\":\"track\",\"visitor_id\":\"v\",\"name\":\"play\"}\n";
    let answer = world.http.post(&format!("{}/v1/events", stack.collector_url()), &headers, lines).await?;
    let body = answer.json()?;
    assert_eq!((answer.status, body["accepted"].as_i64()), (200, Some(2)), "{body}");
    let statuses: Vec<&str> =
        body["results"].as_array().unwrap().iter().filter_map(|result| result["status"].as_str()).collect();
    assert_eq!(statuses, ["accepted", "invalid", "accepted"]);
    assert_eq!(
        (body["results"][1]["index"].as_i64(), body["results"][1]["reason"].as_str()),
        (Some(1), Some("missing_field"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_workspace_is_refused() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let (one, two) = (World::create(&stack, "one").await?, World::create(&stack, "two").await?);
    let campaign = one.campaign("sale", 100, 1_000).await?;
    let click = one.click(&campaign.code, "visitor-0001").await?;
    let sale = |token: &str| {
        serde_json::json!({
            "order_id": "1", "value": { "amount_minor": 5, "currency": "USD" }, "tcid": token,
        })
    };
    let answer = two.send("/v1/sales", &sale(&click.token)).await?;
    assert_eq!(
        (answer.status, answer.json()?["error"]["reason"].as_str()),
        (400, Some("token_bad_signature"))
    );
    let mut forged = click.token.clone();
    let last = if forged.ends_with('A') { "B" } else { "A" };
    forged.replace_range(forged.len() - 1.., last);
    let answer = one.send("/v1/sales", &sale(&forged)).await?;
    assert_eq!(
        (answer.status, answer.json()?["error"]["reason"].as_str()),
        (400, Some("token_bad_signature"))
    );
    one.accepted("/v1/sales", &sale(&click.token)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_api_says_what_is_wrong() -> anyhow::Result<()> {
    let stack = Stack::start()?;
    let world = World::create(&stack, "control").await?;
    let campaign = world.campaign("sale", 100, 0).await?;
    let fundings = format!("/v1/campaigns/{}/fundings", campaign.id);
    for (path, body, status, words) in [
        ("/v1/creators", "{", 400, "EOF"),
        ("/v1/creators", r#"{"email":"x@y"}"#, 422, "missing field `username`"),
        ("/v1/creators", r#"{"emial":"x@y"}"#, 422, "unknown field `emial`"),
        (
            "/v1/creators",
            r#"{"email":"z@y.example","username":"ada","display_name":"A"}"#,
            409,
            "has this user name",
        ),
        (
            "/v1/workspaces",
            r#"{"slug":"x","name":"x","currency":"usd","platform_fee_bps":1}"#,
            422,
            "ISO 4217",
        ),
        (
            "/v1/workspaces",
            r#"{"slug":"x","name":"x","currency":"USD","platform_fee_bps":10001}"#,
            422,
            "more than 100 %",
        ),
        (fundings.as_str(), r#"{"external_id":"1","amount_minor":0}"#, 422, "above 0"),
        (fundings.as_str(), r#"{"external_id":"1","amount_minor":1.5}"#, 422, "i64"),
        (
            "/v1/campaigns/00000000-0000-0000-0000-000000000000/fundings",
            r#"{"external_id":"1","amount_minor":1}"#,
            404,
            "no such campaign",
        ),
    ] {
        let answer = world.control_raw(path, body).await?;
        let text = answer.text();
        assert_eq!(answer.status, status, "{path} {body}: {text}");
        assert!(text.contains(words), "{path} {body}: {text}");
    }
    for (path, status, words) in [
        ("/v1/leaderboards?metric=height&workspace=control", 400, "unknown variant"),
        ("/v1/leaderboards?metric=clicks", 400, "which workspace"),
        ("/v1/leaderboards?metric=clicks&workspace=nowhere", 404, "no workspace"),
        ("/v1/conversions/nothing/explain?workspace=control", 404, "nothing is decided under this id"),
        ("/v1/campaigns/nothing?workspace=control", 400, "a UUID"),
        ("/v1/wallets/%ff?workspace=control", 400, "UTF-8"),
        ("/v1/privacy?workspace=control", 405, "this method"),
    ] {
        let key = format!("Bearer {}", stack.admin_key()?);
        let answer =
            world.http.get(&format!("{}{path}", stack.api_url()), &[("authorization", key.as_str())]).await?;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.json()?["error"]["reason"].is_string(), "{path}: {}", answer.text());
        assert!(answer.text().contains(words), "{path}: {}", answer.text());
    }
    let url = format!("{}/v1/workspaces", stack.api_url());
    for headers in [&[][..], &[("authorization", "Bearer wrong")][..]] {
        assert_eq!(world.http.get(&url, headers).await?.status, 401);
    }
    Ok(())
}

/// An engine that is away at the start: each service says which, and why.
#[test]
fn a_start_without_engines_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = free_port();
    for (arguments, words) in [
        (vec!["migrate"], "Postgres does not answer"),
        (vec!["ingest"], "the collector cannot start: Postgres does not answer"),
        (vec!["api"], "no admin key"),
        (vec!["reconcile"], "Postgres does not answer"),
        (vec!["up", "--libchdb", "/nowhere/libchdb.so"], "run `make engines`"),
        (vec!["up", "--postgres-bin", "/nowhere"], "no Postgres server found in /nowhere"),
        (vec!["ingest", "--partitions", "0"], "--partitions is 0"),
        (vec!["ingest", "--max-in-flight", "0"], "--max-in-flight is 0"),
        (vec!["ingest", "--max-connections", "0"], "--max-connections is 0"),
        (vec!["ingest", "--retention-days", "5"], "attribution window, 90 days"),
        (vec!["ingest", "--listen", "here"], "invalid socket address"),
        (vec!["ingest", "--config", "/nowhere.toml"], "settings file /nowhere.toml"),
        (vec!["replay", "/nowhere.log"], "/nowhere.log"),
    ] {
        let output = Command::new(program())
            .args(&arguments)
            .env("TRIBUTARY_DATA_DIR", dir.path())
            .env("TRIBUTARY_DATABASE_URL", format!("postgres://x@127.0.0.1:{nowhere}/x"))
            .env("TRIBUTARY_OWNER_DATABASE_URL", format!("postgres://x@127.0.0.1:{nowhere}/x"))
            .env("TRIBUTARY_CLICKHOUSE_URL", format!("http://127.0.0.1:{nowhere}"))
            .env("TRIBUTARY_BROKERS", format!("127.0.0.1:{nowhere}"))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}

/// A port that somebody else has: said at once, and nothing is left running.
#[test]
fn a_taken_port_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let port = taken.local_addr().unwrap().port().to_string();
    for (flag, value, words) in [
        ("--listen", &address, "choose another with --listen"),
        ("--api-listen", &address, "choose another with --api-listen"),
        ("--clickhouse-port", &port, "choose another with --clickhouse-port"),
    ] {
        let started = std::time::Instant::now();
        let free = || free_port().to_string();
        let mut command = Command::new(program());
        command.arg("up").args(["--kafka-port", &free(), "--postgres-port", &free()]);
        if flag != "--clickhouse-port" {
            command.args(["--clickhouse-port", &free()]);
        }
        command.args([flag, value]).env("TRIBUTARY_DATA_DIR", dir.path().join("data"));
        for (variable, flags) in [("TRIBUTARY_LISTEN", "--listen"), ("TRIBUTARY_API_LISTEN", "--api-listen")]
        {
            if flags != flag {
                command.env(variable, format!("127.0.0.1:{}", free_port()));
            }
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(words), "{flag}: {text}");
        assert!(
            started.elapsed() < std::time::Duration::from_secs(15),
            "{flag} after {:?}",
            started.elapsed()
        );
    }
}

/// Settings come from flags, then the environment, then the file.
#[test]
fn settings_have_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tributary.toml");
    let run = |text: &str, flags: &[&str], variables: &[(&str, &str)]| {
        std::fs::write(&file, text).unwrap();
        let output = Command::new(program())
            .args(["ingest", "--config", file.to_str().unwrap()])
            .args(flags)
            .env("TRIBUTARY_DATA_DIR", dir.path())
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(run("partitions = -1\n", &[], &[]).contains("--partitions is -1"));
    assert!(run("partitions = -1\n", &[], &[("TRIBUTARY_PARTITIONS", "-2")]).contains("--partitions is -2"));
    let both = [("TRIBUTARY_PARTITIONS", "-2")];
    assert!(run("partitions = -1\n", &["--partitions=-3"], &both).contains("--partitions is -3"));
    assert!(run("partition = 1\n", &[], &[]).contains("there is no setting \"partition\""));
    assert!(run("partitions = [1]\n", &[], &[]).contains("not a plain value"));
    assert!(run("partitions =\n", &[], &[]).contains("line 1"));
    // A misspelt variable is told, whatever is done.
    let output = Command::new(program())
        .args(["attribute", "--model=first", "--input=/nowhere.csv"])
        .env("TRIBUTARY_PARTITION", "3")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("TRIBUTARY_PARTITION") && said.contains("is no setting"), "{said}");
    assert_eq!(said.matches("is no setting").count(), 1, "{said}");
}
