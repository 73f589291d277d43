# Everything a person or CI calls. `make help` lists it.

.DEFAULT_GOAL := help
.PHONY: help test e2e crds tools demo simulate image

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## Run every check: format, lints, docs, all tests, the demo.
	@hack/test.sh

e2e: ## Prove the image and the chart on real nodes: pods, upgrades, drains, lost nodes (root on Linux needed).
	@[ "$$(uname -s)" = Linux ] && [ "$$(id -u)" = 0 ] || { echo "make e2e makes namespaces, links and control groups: run it as root on Linux, for example by sudo"; exit 1; }
	$(MAKE) --no-print-directory image
	@# With the whole workspace named, all is built with the same features as for the tests: once.
	cargo test --workspace --locked --test cluster
	@# Each test has a cluster of its own, and prints what was refused and what was lost.
	cargo test --workspace --locked --test node -- --test-threads 1 --nocapture

# Where cargo puts what is built for the tests.
BUILT = $(or $(CARGO_TARGET_DIR),target)/debug

SEEDS ?= 500
FIRST_SEED ?= 1
DAYS ?= 400
# What the bugs are looked for with: any of the runs may find one.
PLANT_SEEDS ?= 60

simulate: ## Run the engine through SEEDS (500) lives of 400 days from FIRST_SEED (1) on, with faults, then with planted bugs.
	cargo build --release --locked --package simulation
	cargo run --release --locked --quiet --package simulation -- --seeds $(SEEDS) --first-seed $(FIRST_SEED) --days $(DAYS)
	cargo run --release --locked --quiet --package simulation -- --seeds $(PLANT_SEEDS) --days $(DAYS) --plant all

tools: ## Build the control plane, helm and the checkers into the user's cache, and fetch PostgreSQL, a browser and Python's packages, if they are not there.
	@hack/tools/build.sh etcd kube-apiserver kubectl kube-controller-manager helm helm3 promtool exposition evaluate kubeconform \
		kube-state-metrics > /dev/null
	@hack/tools/packages.sh postgres > /dev/null
	@hack/tools/packages.sh calendar > /dev/null
	@hack/tools/packages.sh chromium > /dev/null
	@hack/tools/axe.sh > /dev/null
	@hack/tools/python.sh > /dev/null

crds: ## Write the CustomResourceDefinitions and the API reference anew.
	UPDATE=1 cargo test --locked --test generated

demo: ## Run the main job on a real API server; ONCE=1 exits by itself, ICS=FILE takes your own calendar.
	@hack/tools/build.sh etcd kube-apiserver kubectl > /dev/null
	@cargo build --workspace --locked --bin cronofy-operator --example demo
	@$(BUILT)/examples/demo $(if $(ONCE),--once) $(if $(ICS),--ics "$(ICS)")

IMAGE ?= ghcr.io/cronofy-operator/cronofy-operator
VERSION = $(shell awk -F '"' '/^version =/ { print $$2; exit }' Cargo.toml)
TARGET = $(shell rustc -vV | awk '/^host:/ { print $$2 }')
BINARIES = cronofy-operator calendar-store
# Static binaries with paths of nobody's machine in them: the same sources give the same bytes.
STATIC = -C target-feature=+crt-static --remap-path-prefix=$(CURDIR)=. --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo

image: ## Build the image as an OCI archive in target/image; the same commit gives the same bytes.
	RUSTFLAGS="$(STATIC)" cargo build --release --locked --target $(TARGET) $(foreach name,$(BINARIES),--package $(name) --bin $(name))
	@cargo build --workspace --locked --quiet --example image
	@$(BUILT)/examples/image $(BINARIES:%=--binary target/$(TARGET)/release/%) \
		--output target/image/cronofy-operator-$(VERSION).tar --name $(IMAGE):$(VERSION) \
		--revision $$(git rev-parse HEAD) --epoch $$(git log -1 --format=%ct)
