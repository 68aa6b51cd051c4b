# Every target does its own set-up, in .venv, through constraints.txt.
SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
# Bytecode for what is installed, on all cores, where pip takes one; some packages hold files that are no Python.
COMPILE := $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
# Otherwise each process of a test would compile all that it imports, anew.
unexport PYTHONDONTWRITEBYTECODE
# Peers whose losses the tests compare with; alone, since they ask for a torchvision that nothing needs.
PEERS := lightly open_clip_torch pytorch-metric-learning
# Tests run each on one thread, in one process more than there are cores, since some wait.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: help quickstart test test-cluster test-system check types bench bench-can bench-losses soak soak-watch soak-hpo audit docs docs-serve clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/pyvenv.cfg:
	python3 -m venv $(VENV)

$(VENV)/.can: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	$(PIP) torch
	$(PIP) -e '.[can]'
	@$(COMPILE)
	@touch $@

$(VENV)/.dev: $(VENV)/.can
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps $(PEERS)
	@touch $@

quickstart: $(VENV)/.can  ## set up, then train a graph attention network on embedded CAN data
	$(BIN)/tutelage train can
	@echo "next: source $(BIN)/activate; tutelage train can data.root=CAPTURES, or tutelage --help"

test: $(VENV)/.dev  ## unit and integration tests
	$(ONE_THREAD) $(BIN)/pytest -q -n 3 --dist worksteal -m "not cluster and not system" tests --ignore=tests/system

test-cluster: $(VENV)/.dev  ## jobs through a Ray and, where its packages are, a Slurm of one node
	$(ONE_THREAD) $(BIN)/pytest -q -m cluster tests

# Tests of several processes or many models lie beside what they test, and are marked; what is in tests/system needs no mark.
PROCESSES = $$(grep -rl --include='test_*.py' --exclude-dir=system 'mark\.system' tests)
test-system: $(VENV)/.dev  ## tests that run the installed command as a user would, and of several processes or many models
	$(ONE_THREAD) $(BIN)/pytest -q -n 3 --dist worksteal -m "system and not cluster" tests/system $(PROCESSES)

check: $(VENV)/.dev  ## lint, types, import contracts, documentation build
	$(BIN)/ruff check src tests benchmarks docs examples
	$(BIN)/ruff format --check src tests benchmarks docs examples
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory docs

types: $(VENV)/.dev  ## ask pyright whether the public interface has a type throughout; half a minute
	$(PIP) pyright
	PATH="$(BIN):$$PATH" $(BIN)/python benchmarks/public_types.py

bench: $(VENV)/.dev  ## every benchmark in one sitting, into docs/benchmarks.md; ARGS="--only batching sizes"
	$(BIN)/python benchmarks/bench.py $(ARGS)

CAN_MODELS ?= benchmarks/results/can_models
bench-can: $(VENV)/.dev  ## compare every CAN model, mode and fusion; ARGS="--data DIR --seeds 3"
	@mkdir -p benchmarks/results
	$(BIN)/python benchmarks/can_models.py --home $(CAN_MODELS) --json $(CAN_MODELS).json $(ARGS)

bench-losses: $(VENV)/.dev  ## compare the losses with other libraries'; takes minutes and 8 GB
	@mkdir -p benchmarks/results
	$(BIN)/python benchmarks/losses.py --json benchmarks/results/losses.json $(ARGS)

soak: $(VENV)/.dev  ## every soak, one table of what was tried and what held; more than an hour, or ARGS=--short
	@mkdir -p benchmarks/results
	$(PIP) -e '.[fuzz]'
	$(ONE_THREAD) $(BIN)/python benchmarks/soak.py --json benchmarks/results/soak.json $(ARGS)

SOAK_SECONDS ?= 600
soak-watch: $(VENV)/.dev  ## watch a virtual bus of 8,000 frames a second for ten minutes (SOAK_SECONDS)
	@mkdir -p benchmarks/results
	$(ONE_THREAD) $(BIN)/python benchmarks/soak_watch.py --seconds $(SOAK_SECONDS) --json benchmarks/results/soak_watch.json

KILLS ?= 20
soak-hpo: $(VENV)/.dev  ## kill a study's processes at random moments (KILLS) and compare what it becomes
	@mkdir -p benchmarks/results
	$(ONE_THREAD) $(BIN)/python benchmarks/study_kills.py --kills $(KILLS) --json benchmarks/results/study_kills.json

audit: $(VENV)/.dev  ## ask each installed package whether it is what was tested; ARGS="--pip-audit pip-audit"
	$(BIN)/python benchmarks/dependency_audit.py $(ARGS)

docs: $(VENV)/.dev  ## build the documentation into site/, where a wrong link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir site

docs-serve: $(VENV)/.dev  ## serve the documentation on this machine
	$(BIN)/mkdocs serve

clean:  ## remove the environment and caches
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
