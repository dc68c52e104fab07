//! Which crate may depend on which, as ARCHITECTURE.md says.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use tests::repository;

/// Each crate, and the crates of this workspace that it may depend on.
const MAY_USE: [(&str, &[&str]); 11] = [
    ("domain", &[]),
    ("engines", &[]),
    ("models", &["domain"]),
    ("runtime", &[]),
    ("store", &["domain"]),
    ("ingest", &["domain", "runtime"]),
    ("processors", &["domain", "store", "runtime"]),
    ("sinks", &["domain", "store", "runtime"]),
    ("api", &["domain", "models", "store", "runtime"]),
    (
        "tributary",
        &["api", "domain", "engines", "ingest", "models", "processors", "runtime", "sinks", "store"],
    ),
    ("tests", &["domain", "processors", "runtime", "sinks", "store"]),
];

/// What the pure crate must never reach, however far away.
const IMPURE: [&str; 6] = ["tokio", "sqlx", "axum", "rdkafka", "hyper", "clickhouse"];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        // Other systems' crates need not be here.
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Package id to (name, ids it is built with), tests' own needs left out.
fn graph(metadata: &Value) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names: BTreeMap<String, String> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| {
            let needs = node["deps"].as_array().unwrap().iter().filter(|dep| {
                let kinds = dep["dep_kinds"].as_array().unwrap();
                kinds.iter().any(|kind| kind["kind"] != "dev")
            });
            let id = text(&node["id"]);
            (id.clone(), (names[&id].clone(), needs.map(|dep| text(&dep["pkg"])).collect()))
        })
        .collect()
}

#[test]
fn crates_depend_only_downwards() {
    let metadata = metadata();
    let graph = graph(&metadata);
    let members: BTreeSet<&str> =
        metadata["workspace_members"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(members.len(), MAY_USE.len(), "a crate is missing in MAY_USE");
    for id in members {
        let (name, needs) = &graph[id];
        let (_, allowed) = MAY_USE.iter().find(|(known, _)| known == name).expect(name);
        for need in needs {
            let (need, _) = &graph[need];
            let is_ours = MAY_USE.iter().any(|(known, _)| known == need);
            assert!(!is_ours || allowed.contains(&need.as_str()), "{name} must not depend on {need}");
        }
    }
}

#[test]
fn the_domain_reaches_no_io() {
    let metadata = metadata();
    let graph = graph(&metadata);
    let (domain, _) = graph.iter().find(|(_, (name, _))| name == "domain").unwrap();
    let mut reached = BTreeSet::from([domain.clone()]);
    let mut waiting = vec![domain.clone()];
    while let Some(id) = waiting.pop() {
        for need in &graph[&id].1 {
            if reached.insert(need.clone()) {
                waiting.push(need.clone());
            }
        }
    }
    for id in &reached {
        let (name, _) = &graph[id];
        assert!(!IMPURE.contains(&name.as_str()), "domain reaches {name}");
    }
}
