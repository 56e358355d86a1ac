# One command for each chore; `make` alone lists them. A fresh machine needs Rust, a C compiler, cmake and make.

CARGO ?= cargo
DOCKER ?= docker
CONFIG ?= deploy/sidetone.example.toml
OUT ?= demo-out
WHAT ?= all

.DEFAULT_GOAL := help
.PHONY: help demo console pictures run test check fmt bench load openapi image

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: need-cargo need-cmake ## play a whole call on loopback: monitor, whisper, barge, takeover, consult; who hears whom, measured
	$(CARGO) run --locked -- demo --out $(OUT)

console: need-cargo need-cmake ## the same, and it stays open with calls going on, for a browser at the console
	$(CARGO) run --locked -- demo --out $(OUT) --keep

run: need-cargo need-cmake ## serve CONFIG (deploy/sidetone.example.toml), release build
	$(CARGO) run --locked --release -- serve --config $(CONFIG)

test: need-cargo need-cmake ## everything CI runs: format, lints, documentation, all tests of all crates
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory foreign
	$(CARGO) test --locked --workspace

check: need-cargo need-cmake ## format, lints and documentation, warnings are errors; no tests
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet

fmt: need-cargo ## format everything
	$(CARGO) fmt --all

bench: need-cargo need-cmake ## the benches: SIP parsing, packet path, mixing, jitter buffer; the built gateway under load is `make load`
	$(CARGO) bench --locked --workspace --bench '*'

load: need-cargo need-cmake ## the built gateway under load: delay, CPU per packet and per call, memory; WHAT="relay --calls 300" for a part of it
	$(CARGO) bench --locked --bench load -- $(WHAT)

openapi: need-cargo need-cmake ## write api/openapi.json anew out of the handlers
	SIDETONE_WRITE_OPENAPI=1 $(CARGO) test --locked --lib openapi

pictures: need-cargo need-cmake ## take the pictures of the README anew, with Chromium
	SIDETONE_WRITE_PICTURES=1 $(CARGO) test --locked --test console pictures

image: ## the container image, with DOCKER (docker; podman or buildah do as well)
	@command -v $(DOCKER) >/dev/null || { echo "$(DOCKER) is missing: apt-get install docker.io, or make image DOCKER=podman"; exit 1; }
	$(DOCKER) build --file deploy/Dockerfile --tag sidetone .

# What is missing is named together with the way to get it.

.PHONY: need-cargo need-cmake foreign acs-sdk

need-cargo:
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: https://rustup.rs (1.94 or later)"; exit 1; }
	@$(CARGO) --version | awk '{ split($$2, v, "."); exit v[1] == 1 && v[2] < 94 }' || \
	  { echo "Rust is too old, 1.94 or later is needed: https://rustup.rs; here is $$($(CARGO) --version)"; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing: apt-get install gcc libc6-dev"; exit 1; }
	@echo '#include <stdlib.h>' | cc -E - >/dev/null 2>&1 || { echo "the C library's headers are missing: apt-get install libc6-dev"; exit 1; }

# libopus is built along by its own CMake files.
need-cmake:
	@command -v cmake >/dev/null || { echo "cmake is missing: apt-get install cmake"; exit 1; }

# Microsoft's Python SDK for ACS, unmodified from PyPI: it judges the simulated ACS in tests/acs. Without it that one story is skipped,
# except in CI.
ACS_SDK = azure-communication-callautomation==1.6.0
acs-sdk: target/acs-sdk/.$(ACS_SDK)
target/acs-sdk/.$(ACS_SDK):
	@command -v python3 >/dev/null || { echo "Python 3 is missing: apt-get install python3 python3-venv"; exit 1; }
	@python3 -m venv target/acs-sdk || { echo "Python's venv is missing: apt-get install python3-venv"; exit 1; }
	target/acs-sdk/bin/pip install --quiet --disable-pip-version-check $(ACS_SDK)
	@touch $@

# The foreign peers of tests/foreign and the browser of tests/console: without them the stories that need them are skipped, except in CI.
foreign:
	@for pair in sipp:sip-tester baresip:baresip-core linphonec:linphone-cli; do \
	  command -v $${pair%%:*} >/dev/null || \
	    echo "SKIPPING the stories of tests/foreign that need $${pair%%:*}: apt-get install $${pair##*:}"; \
	done
	@for pair in chromium:chromium chromedriver:chromium-driver; do \
	  command -v $${pair%%:*} >/dev/null || \
	    echo "SKIPPING the stories of tests/console, which need $${pair%%:*}: apt-get install $${pair##*:}"; \
	done
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
	  echo "SKIPPING the stories of tests/api with Postgres: apt-get install postgresql"
	@test -e "target/acs-sdk/.$(ACS_SDK)" || echo "SKIPPING the story of tests/acs that needs Microsoft's Python SDK: make acs-sdk"
