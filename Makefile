# Everything runs from a virtual environment in .venv; each target makes or updates it first.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
PORT ?= 4566
NAME ?=

INSTALLED := $(VENV)/.installed
SOURCES := $(VENV)/.sources
LINKED := $(VENV)/.linked

.PHONY: help venv test test-opensearch lint format types docs site demo bench emulator wheel clean FORCE

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml hatch_build.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[findings,fleet,logs,report,test]' --group test --group docs
	@touch $@

# The names of the package's files: a new one must be linked into the editable install.
$(SOURCES): FORCE | $(BIN)/python
	@find src filters actions -type f -not -name '*.pyc' | sort > $@.now
	@if cmp -s $@.now $@; then rm $@.now; else mv $@.now $@; fi

$(LINKED): $(INSTALLED) $(SOURCES)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

venv: $(LINKED) ## Make or update the virtual environment in .venv

test: venv ## Run the tests (WORKERS=2 processes, each with an emulator of its own)
	$(BIN)/python -m pytest -n $(WORKERS)

test-opensearch: venv ## Run the tests against a real OpenSearch server (needs Java and Maven)
	$(BIN)/python -m pytest -m opensearch tests/test_opensearch_server.py

lint: venv ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: venv ## Repair style and formatting where ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: venv ## Check types
	$(BIN)/mypy

docs: venv ## Check the links, the policies and the elements that the documentation names
	$(BIN)/python -m pytest tests/test_docs.py

site: venv ## Build the documentation site into build/site; a link that leads nowhere is an error
	$(BIN)/python docs/site/build.py

demo: venv ## Run the demonstration against the emulator
	$(BIN)/python demo/run.py

bench: venv ## Run the benchmarks, or one: make bench NAME=x
	$(BIN)/python -m benchmarks $(NAME)

emulator: venv ## Serve the AWS emulator on PORT (4566) until interrupted
	$(BIN)/python -m tests.emulator --port $(PORT)

wheel: venv ## Build the wheel and the source distribution into dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .

clean: ## Remove what was built or cached; .venv stays
	rm -rf build/lib build/site build/site-source dist demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src filters actions tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
