# Everything a person or a CI machine does here. `make demo` and `make test` each work as the only
# command: what they need (a virtual environment, the compiled module) is made first, once.
# Needed beforehand: Python >= 3.10 with venv, and cargo.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
NATIVE := python/seqrs/_native.abi3.so
WHEEL := dist/.built

RUST := Cargo.toml $(wildcard Cargo.lock) $(shell find rust -name '*.rs' -o -name Cargo.toml)
FACADE := $(shell find python -name '*.py' -o -name '*.pyi' -o -name py.typed)

# The one interpreter for which cargo builds the binding, so that no step rebuilds what another built.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help build demo test test-rust test-python test-paths lint lint-rust lint-python check bench bench-gpu golden wheel smoke docs clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: $(NATIVE) ## Make .venv and install seqrs into it, compiled for release, Python sources in place

demo: build ## Watch an LSTM learn to write from a real text (under two minutes on two cores)
	$(BIN)/seqrs demo

test: test-rust test-paths test-python ## Run every test

test-rust: $(BIN)/.build-tools ## Run the tests of the Rust core
	cargo test --workspace

test-python: build $(BIN)/.test-tools ## Run the tests of the Python package, its README and its docstrings
	cargo build --quiet --example generate  # which a test runs: its time is not spent on compiling
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=8 --dist=worksteal

test-paths: build $(BIN)/.test-tools ## Run the tests of what computes on every other instruction set of this processor
	$(BIN)/python tests/every_path.py

lint: lint-rust lint-python ## Check format, style and types

lint-rust: $(BIN)/.build-tools ## Check format and style of the Rust code
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings

lint-python: build $(BIN)/.test-tools $(BIN)/.lint-tools ## Check format, style and types of the Python code; the stub against the module
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest seqrs._native

check: lint docs test smoke ## Everything that must hold before a change lands; CI runs this (-j2: with two at a time)

bench: build ## Measure speed against other libraries, each in an environment of its own (BENCH="--quick": a trial)
	$(BIN)/python bench/run.py $(BENCH)

bench-gpu: build ## Check and measure device="gpu" on this machine's best adapter (BENCH="--quick": a trial)
	$(BIN)/python bench/gpu.py --output bench/results $(BENCH)

golden: target/golden-peers/.installed ## Make tests/golden anew with other libraries (downloads them into an environment of their own)
	rm -f tests/golden/*.npz
	for peer in pytorch keras onnxruntime; do target/golden-peers/bin/python tests/golden/make_$$peer.py; done

wheel: $(WHEEL) ## Build the wheel into dist/

smoke: wheel ## Install the wheel into an empty environment with NumPy alone and use it
	$(PYTHON) -m venv --clear --without-pip target/smoke
	$(BIN)/pip --python target/smoke/bin/python install --quiet dist/*.whl
	target/smoke/bin/python -I tests/smoke/use_wheel.py dist/*.whl

docs: $(BIN)/.build-tools ## Build the Rust documentation into target/doc; Python's is in the docstrings: help(seqrs)
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps

clean: ## Remove everything that make has made
	rm -rf .venv target dist .hypothesis .mypy_cache .ruff_cache .pytest_cache
	rm -f $(NATIVE)

# Stamp files: an empty file newer than what it depends on says that the step is done. What stands after "|"
# keeps steps apart that would disturb each other side by side: one pip in .venv, one maturin at a time.

$(BIN)/.build-tools: pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 10), f"Python 3.10 or newer is needed, this is {sys.version}"'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet --group build
	touch $@

$(BIN)/.test-tools: $(BIN)/.build-tools | $(NATIVE)
	$(BIN)/pip install --quiet --group test
	touch $@

$(BIN)/.lint-tools: $(BIN)/.build-tools | $(BIN)/.test-tools
	$(BIN)/pip install --quiet --group lint
	touch $@

target/golden-peers/.installed: tests/golden/requirements.txt
	$(PYTHON) -m venv --clear target/golden-peers
	target/golden-peers/bin/pip install --quiet --requirement $<
	touch $@

$(NATIVE): $(RUST) $(BIN)/.build-tools
	$(BIN)/maturin develop --release
	touch $@

$(WHEEL): $(RUST) $(FACADE) README.md $(BIN)/.build-tools | $(NATIVE)
	rm -rf dist
	$(BIN)/maturin build --release --out dist
	touch $@
