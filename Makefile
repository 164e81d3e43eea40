# weftrace: `make demo` runs the main job, `make test` the tests; both install the Debian packages they need.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -eu -o pipefail -c
.PHONY: all build demo accuracy test test-faults soak quick-test check fmt bench test-kernels vm-test conformance clean

all: build

build: .setup-build
	cargo build --release

# Real servers and clients in network namespaces, faults induced, the join printed.
demo: .setup-demo
	cargo build --profile quick -p weftrace -p weftrace-lab
	target/quick/lab demo --weftrace target/quick/weftrace

# Eight causes of slow requests, induced in real programs; docs/accuracy.md says what is measured, and gets a row for each run. With
# `make accuracy CAUSE=gc COUNT=600`, a smaller one, it stays as it is.
accuracy: .setup-accuracy
	cargo build --profile quick -p weftrace -p weftrace-lab
	report="--report docs/accuracy.md"
	if [ -n "$(COUNT)$(RATE)" ]; then report=; fi
	target/quick/lab accuracy --weftrace target/quick/weftrace $$report $(if $(CAUSE),--cause $(CAUSE)) $(if $(MODE),--mode $(MODE)) \
	  $(if $(COUNT),--count $(COUNT)) $(if $(RATE),--rate $(RATE)) $(if $(IDS),--ids $(IDS)) $(if $(PCAP),--pcap $(PCAP))

test: .setup-test
	tests/run

# Each fault live, beside all scripts that might tell of it; docs/faults.md gets what they told.
test-faults: .setup-test
	cargo build --profile quick -p weftrace -p weftrace-lab
	tests/faults/run --report docs/faults.md

# An alerting script for an hour under load; docs/soak.md gets a row. `make soak SECONDS=180`, a shorter one, leaves it as it is.
soak: .setup-test
	cargo build --profile quick -p weftrace -p weftrace-lab
	tests/soak/run $(if $(SECONDS),$(SECONDS),--report docs/soak.md)

# Without packages, virtual machines or network namespaces.
quick-test: .setup-build
	cargo test --workspace --lib --bins

check: .setup-build
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test -p weftrace --test tidy

fmt:
	cargo fmt --all

bench: .setup-bench
	tests/bench/run

# Kernels with kprobes in virtual machines: the table kernel × provider of docs/kernels.md, written anew.
test-kernels: .setup-test
	cargo build --profile quick -p weftrace -p weftrace-lab
	tests/vm/kernels

# One of them.
vm-test: .setup-test
	tests/vm/run bookworm

# bpftrace's own runtime suite; needs its source tree and a runner (tests/peer/suite says which).
conformance: .setup-test
	cargo build --profile quick -p weftrace
	tests/peer/suite

.PHONY: .setup-build .setup-accuracy .setup-demo .setup-test .setup-bench
.setup-build:
	@tests/setup build
.setup-demo:
	@tests/setup build demo
.setup-accuracy:
	@tests/setup build demo accuracy
.setup-test:
	@tests/setup build demo test accuracy
.setup-bench:
	@tests/setup build bench
