# `make demo` and `make test` are all a newcomer needs: each installs what it misses, and is quick the second time.

# There is one build profile, release: a second one would compile the whole stack again.
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Where rustup puts cargo, for a shell that was opened before.
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: help build demo test check check-deploy dist bench bench-detect bench-leads bench-serve soak e2e-keycloak fuzz kafka clean-demo
.DEFAULT_GOAL := help

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

build: ## build target/release/tokentrail
	@scripts/setup-build
	cargo build --release

demo: build ## sample events into a lake, detectors over it, findings out
	$(TARGET)/release/tokentrail demo

test: ## run every test, with a real Kafka
	@scripts/test

check: ## formatting, lints and style, without the slow tests
	@scripts/setup-build
	cargo fmt --all --check
	cargo clippy --release --all-targets -- -D warnings
	cargo test --release --test it tidy::

bench: ## measure beside DuckDB and others
	@scripts/bench

bench-detect: ## a pass after 100,000 new events over histories of 5, 20 and 50 million with the same number of live grants
	@scripts/bench flat --events 50000000 --rounds 1

bench-leads: build ## precision, recall and false leads of the statistical detectors over 20 simulated companies
	@scripts/setup-python
	@python3 scripts/leads_bench.py --binary $(TARGET)/release/tokentrail

bench-serve: ## how fresh a service is: 20,000 events/s from a real Kafka, four clients that ask, alerts to a webhook
	@scripts/serving bench_serve.py

soak: ## a service for 20 minutes (SOAK_MINUTES) under rolling restarts and one of the broker; counts, lag, memory, errors
	@scripts/serving soak.py

dist: ## a release archive in target/dist: stripped program, completions, manual, queries, checksums
	@scripts/dist

check-deploy: ## check the Dockerfile, compose file, Kubernetes manifests and systemd units in deploy
	@scripts/check-deploy

fuzz: ## decode 1,000,000 mutants of the sample records of all providers
	@scripts/setup-build
	TOKENTRAIL_MUTANTS=1000000 cargo test --release --test it decode::mutants

e2e-keycloak: build ## a real Keycloak and Kafka: people get, refresh and lose tokens, and the lake tells it
	@scripts/e2e-keycloak

kafka: ## fetch the Kafka that the tests start
	@scripts/setup-kafka

clean-demo: ## remove the lake that the demo made
	rm -rf tokentrail-data
