PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 22

.PHONY: setup
setup: $(READY) ## Make the environment in .venv, with the versions of constraints.txt

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'visavis needs Python 3.11 or newer, but $(PYTHON) is not: try `make setup PYTHON=python3.12`' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,demo]'
	@touch $@

.PHONY: demo
demo: $(READY) ## Try visavis on a small album of public-domain portraits
	$(BIN)/visavis models pull
	$(BIN)/visavis demo

.PHONY: test
test: $(READY) ## Run the tests
	$(BIN)/visavis models pull centerface sface dlib
	$(BIN)/python -m pytest

.PHONY: lint
lint: $(READY) ## Check style and format with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: $(READY) ## Check types with mypy --strict
	$(BIN)/mypy

BENCH := .bench-env
BENCH_OPENBLAS := .bench-env-openblas
BENCH_PIP := -m pip install --quiet --disable-pip-version-check

.PHONY: bench-env
bench-env: $(BENCH)/.ready ## Make the environment of the peers that visavis is measured beside

$(BENCH)/.ready: benchmarks/requirements.txt benchmarks/requirements-no-deps.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python $(BENCH_PIP) -r benchmarks/requirements.txt
	$(BENCH)/bin/python $(BENCH_PIP) --no-deps -r benchmarks/requirements-no-deps.txt
	@touch $@

.PHONY: bench-dlib-openblas
bench-dlib-openblas: $(BENCH_OPENBLAS)/.ready ## Compile dlib with OpenBLAS, a faster peer (needs a C++ compiler and libopenblas-dev)

$(BENCH_OPENBLAS)/.ready: benchmarks/requirements-openblas.txt benchmarks/requirements-no-deps.txt
	$(PYTHON) -m venv $(BENCH_OPENBLAS)
	$(BENCH_OPENBLAS)/bin/python $(BENCH_PIP) --no-binary dlib -r benchmarks/requirements-openblas.txt
	$(BENCH_OPENBLAS)/bin/python $(BENCH_PIP) --no-deps -r benchmarks/requirements-no-deps.txt
	@$(BENCH_OPENBLAS)/bin/python -c 'import dlib, sys; sys.exit("dlib did not find OpenBLAS" if not dlib.DLIB_USE_BLAS else 0)'
	@touch $@

.PHONY: bench
bench: $(READY) $(BENCH)/.ready ## Measure visavis beside its peers and rewrite docs/benchmarks.md
	$(BIN)/visavis models pull centerface sface dlib
	$(BIN)/python -m benchmarks.run

.PHONY: clean
clean: ## Remove the environments and what the tools left
	rm -rf $(VENV) $(BENCH) $(BENCH_OPENBLAS) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
