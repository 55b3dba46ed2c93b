# demo, test, check, bench: each makes the environment that it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Tests run in this many processes, a file of tests in one of them; 0: all in this one, to debug.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile
STAMP  := $(VENV)/.installed

.PHONY: demo test check bench env clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   train a recipe on real digits and show the result"
	@echo "make test   pass every test"
	@echo "make check  lint, format, types, layers, tests"
	@echo "make bench  print the performance tables"

env: $(STAMP)

# uv inside the environment installs about three times faster than pip.
$(STAMP): pyproject.toml constraints.txt lightning_cv/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "lightning_cv needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Use: make PYTHON=python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/lightning-cv fit digits_resnet --test

test: $(STAMP)
	@$(PYTEST) $(ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) $(ARGS)

bench: $(STAMP)
	@for script in benchmarks/bench_*.py; do $(BIN)/python -m benchmarks.$$(basename $$script .py) || exit 1; done

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
