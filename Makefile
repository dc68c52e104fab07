# `make up` and `make test` do all their own set-up on a bare Debian 12 with Rust.
# What is built and fetched goes below $(CACHE), outside of the checkout, so that
# every checkout shares it.

CACHE ?= $(HOME)/.cache/tributary
export CARGO_TARGET_DIR ?= $(CACHE)/target
export TRIBUTARY_CACHE = $(CACHE)

FUZZ_SECONDS ?= 600

PROGRAM = $(CARGO_TARGET_DIR)/debug/tributary
TEST_PYTHON = $(CACHE)/venv/bin/python
TEST_NODE = $(CACHE)/node
# The real clients that the end-to-end tests send with.
CLIENTS = TRIBUTARY_TEST_PYTHON=$(TEST_PYTHON) TRIBUTARY_TEST_NODE_MODULES=$(TEST_NODE) \
	TRIBUTARY_TEST_CHROMIUM=chromium

.PHONY: help up build engines packages test lint unit e2e test-cluster test-kafka plants clients fuzz bench compose-check clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

up: build engines ## Run everything here, with the demo stream; Ctrl-C stops it
	$(PROGRAM) up --demo

build: packages
	cargo build --locked --workspace

packages: ## Install the Debian packages that building and running need
	@tools/packages.sh

engines: packages ## Fetch the ClickHouse library, pinned by version and checksum
	@tools/fetch-chdb.sh

test: lint unit e2e test-cluster ## Format, lints, unit, property, simulation and end-to-end tests

lint: packages compose-check
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	for plant in tests/plants/*.patch; do git apply --check $$plant || exit 1; done

unit: build
	cargo test --locked --workspace --lib --bins
	cargo test --locked --workspace --test simulation

# The program itself must stand beside the tests, hence `build`.
e2e: build engines clients
	$(CLIENTS) cargo test --locked --workspace --test it -- --test-threads=2

clients: packages $(TEST_PYTHON) $(TEST_NODE)/node_modules
	@tools/packages.sh test

$(TEST_NODE)/node_modules: tests/clients/node/package.json
	mkdir -p $(TEST_NODE)
	cp $< $(TEST_NODE)/
	cd $(TEST_NODE) && npm install --silent --no-audit --no-fund
	@touch $@

$(TEST_PYTHON): tests/clients/requirements.txt
	python3 -m venv $(CACHE)/venv
	$(TEST_PYTHON) -m pip install --quiet --requirement $<
	@touch $@

test-cluster: build engines clients ## What asks ClickHouse, on a cluster of one shard and of two
	TRIBUTARY_TEST_SHARDS=1 $(CLIENTS) cargo test --locked --workspace --test it -- --test-threads=2 \
		books:: crash::nothing figures::expired flow:: schema:: sql_access::pythons
	TRIBUTARY_TEST_SHARDS=2 $(CLIENTS) cargo test --locked --workspace --test it -- --test-threads=2 \
		--skip sql_access --skip figures::expired access:: dashboards:: figures:: leaderboards:: social::

test-kafka: build engines clients ## The same end-to-end tests against Apache Kafka
	$(CLIENTS) tests/kafka/run.sh

plants: build ## Put bugs in on purpose; the tests must catch each (needs a clean checkout)
	tests/plants/run.sh $(PLANTS)

fuzz: ## Fuzz what strangers send, FUZZ_SECONDS each (needs a nightly toolchain and cargo-fuzz)
	cd tests && for target in event token; do \
		cargo +nightly fuzz run --fuzz-dir fuzz $$target -- -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 || exit 1; done

bench: packages engines ## How fast each part is, beside a named limit, in one run (optimised build)
	cargo build --locked --release --workspace
	cargo bench --locked --workspace --bench pipeline -- $(BENCH)

compose-check: ## Check docker-compose.yml against the Compose specification's schema
	tools/compose-check.sh

clean: ## Remove what was built and fetched
	rm -rf $(CACHE)
