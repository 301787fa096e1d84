# make demo   simulate four instruments, calibrate them under Snakemake, compare with the truth
# make test   run the tests; make test-quick those of units and contracts alone
# make lint   check style and types
# make bench  time it beside the peer (RUNS=3 times each) and write the tables of the documentation
# make mutants   change SAMPLE random lines, one at a time, and count what the tests do not notice (hours)
# make docs   build the documentation
# make changelog   show what the next release will say; nothing is written
#
# Everything is installed into .venv; PYTHON chooses the interpreter that makes it.

PYTHON ?= python3
CORES ?= $(shell $(PYTHON) -c "import os; print(os.cpu_count() or 1)")
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
DEMO ?= demo
RUNS ?= 3
SAMPLE ?= 100
SEED ?= 0
# Each may hold two processes of the peer, a gigabyte altogether.
WORKERS ?= $(shell $(PYTHON) -c "import os; print(min(os.cpu_count() or 1, 4))")
# All tests of a file are one worker's, which makes what they share once; tests/conftest.py orders files.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist=loadfile --no-loadscope-reorder
SOURCES := pyproject.toml setup.py $(shell find stpipe -name '*.pyx' -o -name '*.pxd')

.PHONY: demo test test-quick test-peer lint bench mutants docs changelog clean

demo: $(VENV)/.installed
	@PATH="$(BIN):$$PATH" CORES=$(CORES) sh stpipe/demo/demo.sh $(DEMO)

test: $(VENV)/.installed-dev
	$(PYTEST)

test-quick: $(VENV)/.installed-dev
	$(PYTEST) tests/unit tests/contract

test-peer: $(VENV)/.installed-dev
	PEER_PYTHON="$$(sh tests/peer/environment.sh)" $(PYTEST) tests/peer

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check workflow/Snakefile

bench: $(VENV)/.installed-dev
	@mkdir -p docs/benchmarks
	PEER_PYTHON="$$(sh tests/peer/environment.sh)" $(BIN)/python tests/benchmarks/detector1.py $(RUNS) \
	  | tee docs/benchmarks/detector1.md
	PEER_PYTHON="$$(sh tests/peer/environment.sh)" $(BIN)/python tests/benchmarks/image3.py $(RUNS) \
	  | tee docs/benchmarks/image3.md
	PEER_PYTHON="$$(sh tests/peer/environment.sh)" $(BIN)/python tests/benchmarks/spec2.py $(RUNS) \
	  | tee docs/benchmarks/spec2.md
	PEER_PYTHON="$$(sh tests/peer/environment.sh)" $(BIN)/python tests/benchmarks/models.py \
	  | tee docs/benchmarks/models.md

mutants: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mutants]'
	$(BIN)/python tests/mutants $(SAMPLE) $(SEED)

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -W -b html docs docs/_build/html

changelog: $(VENV)/.installed-dev
	@$(BIN)/towncrier build --draft

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "stpipe-flow needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.python $(SOURCES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.python $(SOURCES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: $(VENV)/.python $(SOURCES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) $(DEMO) build dist docs/_build
