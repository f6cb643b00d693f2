# The front door. `make stemcell` and `make test` need a Debian 12 machine with the Rust toolchain; they install the rest.

CARGO ?= cargo
DEFINITION ?= stemcells/debian-12.toml
OUT ?= out
TARGET := $(or $(CARGO_TARGET_DIR),target)
HOST := x86_64-unknown-linux-gnu
CARGO_DENY := 0.20.2
INIT := $(TARGET)/$(HOST)/init/stonecell-init
RELEASE := $(TARGET)/release/stonecell

.PHONY: help deps build init stemcell test unit real lint deny bench fuzz install clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 20

deps: ## install the Debian packages of system-packages.txt (root, once)
	@./scripts/deps

init: ## build the first program of the machine (static)
	RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build --locked -q -p stonecell-init --profile init --target $(HOST)

build: deps init ## build the stonecell program (release)
	$(CARGO) build --locked --release -p stonecell
	install -m 0755 $(INIT) $(TARGET)/release/stonecell-init

stemcell: build ## build a stemcell and say what is in it
	@test -e $(DEFINITION:.toml=.lock) || $(RELEASE) lock $(DEFINITION)
	$(RELEASE) build $(DEFINITION) --out $(OUT)
	$(RELEASE) inspect $(OUT)

# One after the other, saying which: a record that ends in the middle says where.
test: ## every test: lints, unit and property tests, real builds and boots
	@set -e; for step in deps lint deny unit real; do \
	    echo "== $$step: begins $$(date -u +%H:%M:%S)"; \
	    $(MAKE) --no-print-directory $$step || { echo "== $$step: FAILED $$(date -u +%H:%M:%S)"; exit 1; }; \
	done; echo "== all passed $$(date -u +%H:%M:%S)"

lint: init
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --locked --workspace --all-targets -q -- -D warnings

deny: ## licences, sources and duplicate bans of every dependency
	@command -v cargo-deny >/dev/null || \
	    CARGO_PROFILE_DEV_DEBUG=false $(CARGO) install cargo-deny --version $(CARGO_DENY) --locked --quiet --debug
	$(CARGO) fetch --locked --target $(HOST)
	$(CARGO) deny --offline check licenses bans sources

# One selection of packages for both, so that nothing is compiled twice. What needs real packages or real machines is marked
# `#[ignore]`; the test programs that hold such tests are found, so that none is left out.
REAL = $(sort $(shell grep -rl '\#\[ignore' crates --include='*.rs' | sed -n 's|.*/tests/\([a-z_]*\)[./].*|\1|p'))
TEST := STONECELL_INIT=$(abspath $(INIT)) $(CARGO) test --locked --workspace

unit: init ## tests without whole builds and machines: minutes
	$(TEST)

real: init ## whole builds of real packages, real kernels in QEMU: many minutes
	$(TEST) $(addprefix --test ,$(REAL)) -- --ignored --test-threads=1

bench: build ## Stonecell beside mmdebstrap (and mkosi where installed)
	./benches/run

fuzz: deps ## feed foreign bytes to the readers of them, a minute each
	./fuzz/run

install: build
	install -D -m 0755 $(RELEASE) $(DESTDIR)/usr/local/bin/stonecell
	install -D -m 0755 $(INIT) $(DESTDIR)/usr/local/libexec/stonecell/stonecell-init

clean:
	$(CARGO) clean
