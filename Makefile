PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

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

.PHONY: clean
clean: ## Remove .venv and what the tools left
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
