PYTHON ?= python3
EXTRAS ?= train,dev,onnx,openvino,png,parquet,layout,web
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint type bench

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## Make .venv with everything pinned in constraints.txt (Python 3.11 or newer)

# The environment is made with the standard library alone, and again after an edit of the two files.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "vocr needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
	    echo "Name another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) lacks venv or pip."; echo "On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: $(STAMP) ## Read the example lines, and show what was read beside what they say
	@$(BIN)/python -m vocr_cli.demo examples/lines

test: $(STAMP) ## Run the tests
	$(BIN)/python -m pytest -q

test-slow: $(STAMP) ## Run the slow tests too
	$(BIN)/python -m pytest -q -m 'not gpu'

lint: $(STAMP) ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(STAMP) ## Check types
	$(BIN)/mypy

bench: $(STAMP) ## Measure reading speed on the example lines
	$(BIN)/vocr bench infer --data examples/lines
