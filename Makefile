PYTHON ?= python3
EXTRAS ?= train,dev,onnx,openvino,png,parquet,layout,web
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
STAMP := $(VENV)/.installed
EVERY_STAMP := $(VENV)/.installed-all
# One process for each core, which share the tests out among themselves.
SIDE_BY_SIDE := -n logical --maxprocesses 8 --dist worksteal
OPTIONAL_TESTS := tests/core/inference/test_ray_engine.py tests/core/inference/test_ray_pieces.py \
  tests/commands/test_bench_peers.py tests/core/evaluation/test_report_in_browser.py tests/browser \
  tests/commands/test_train_seeing.py::test_tensorboard_gets_scalars_and_readings

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-optional test-all test-peers lint type bench

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

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

$(EVERY_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e '.[$(EXTRAS),pages,tensorboard,ray,browser]'
	@touch $@

demo: $(STAMP) ## Read the example lines, and show what was read beside what they say
	@$(BIN)/python -m vocr_cli.demo examples/lines

test: $(STAMP) ## Run the tests
	$(BIN)/python -m pytest -q $(SIDE_BY_SIDE)

test-slow: $(STAMP) ## Run the slow tests too
	$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) -m 'not gpu and not peers'

test-optional: $(EVERY_STAMP) ## Run the tests of Ray, TensorBoard, Tesseract and browsers
	$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) -m 'not gpu and not peers' $(OPTIONAL_TESTS)

test-all: $(EVERY_STAMP) ## Run every test but those of GPUs; a test that is skipped fails
	@{ tesseract --list-langs 2>&1 | grep -qx vie && \
	  for name in chromium chromium-browser google-chrome; do command -v $$name; done | grep -q .; } || \
	  { echo "Some features are tested with Tesseract, its Vietnamese data, and Chromium."; \
	    echo "On Debian and Ubuntu: apt-get install tesseract-ocr tesseract-ocr-vie chromium"; exit 1; }
	$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) -m 'not gpu and not peers' --no-skips

test-peers: ## Have kraken, OCRmyPDF and hocr-tools read what vocr writes, in an environment of their own
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv --clear $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[pages]' \
	  kraken==7.1.1 ocrmypdf==17.13.0 hocr-tools==1.1.1 torch hypothesis pytest
	$(PEERS)/bin/python -m pytest -q -m peers --no-skips tests/core/pages/test_peer_readers.py

lint: $(STAMP) ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(STAMP) ## Check types
	$(BIN)/mypy

bench: $(STAMP) ## Measure reading speed on the example lines
	$(BIN)/vocr bench infer --data examples/lines
