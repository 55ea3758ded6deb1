# `make search` and `make test` are all that a fresh machine with Python 3.11, make and pip needs; `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
RUN ?= runs/first

BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
EXTRAS := [dev,wandb,mlflow,hugging-face]
CODE := search_space controllers neuropt tests
# Tests run in three parts side by side, which take about as long: `one` has the folders of ONE, `ray` whatever starts Ray, and `two` all
# others, so that a new folder is in one of them by itself. Ray's tests wait for much of their time, hence three parts for two cores, and Ray's
# workers yield to others (niceness 15), hence BEHIND: beside parts that do not yield more, a search on Ray did not get on for two minutes.
# All of Ray is in one part, since with two Rays beside each other a search on a cluster hung once.
BEHIND := nice -n 19
ONE := $(addprefix tests/,comparing compiling controllers optimizers search_space)
RAY := tests/searching
MARKS := not slow
TESTS := tests-ray tests-one tests-two
SIDE_BY_SIDE := --no-print-directory --jobs 3 --keep-going --output-sync=target

.PHONY: help search test test-all $(TESTS) check lint types mypy pyright format docs constraints clean

help:  ## list what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

search: $(VENV)/.installed  ## install, and run the default search to its end (RUN=runs/first); go on with it if it was begun
	@if [ -e "$(RUN)/config.toml" ]; then \
		echo "$(RUN) exists: going on with it. For a new search: make search RUN=runs/second"; \
		$(BIN)/neuropt search --run "$(RUN)" --resume; \
	else \
		$(BIN)/neuropt search --run "$(RUN)"; \
	fi

test: check  ## install, then format, lint, types and tests, as CI runs them
	@echo "three parts of the tests run side by side; each shows when it is done"
	$(MAKE) $(SIDE_BY_SIDE) $(TESTS)

test-all: $(VENV)/.installed-all  ## the same with the slow tests, after installing whatever else they use
	@$(MAKE) --no-print-directory check
	@echo "three parts of the tests run side by side, slow ones too; each shows when it is done"
	$(MAKE) $(SIDE_BY_SIDE) $(TESTS) MARKS="slow or not slow"

tests-one: $(VENV)/.installed-dev
	$(BEHIND) $(BIN)/pytest -m "$(MARKS)" $(ONE)

tests-ray: $(VENV)/.installed-dev
	$(BIN)/pytest -m "$(MARKS)" $(RAY)

tests-two: $(VENV)/.installed-dev
	$(BEHIND) $(BIN)/pytest -m "$(MARKS)" $(addprefix --ignore=,$(ONE) $(RAY))

check: lint types

lint: $(VENV)/.installed-dev  ## formatting and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-dev  ## mypy (strict) and pyright, side by side
	@$(MAKE) $(SIDE_BY_SIDE) mypy pyright

mypy: $(VENV)/.installed-dev
	$(BIN)/mypy

pyright: $(VENV)/.installed-dev
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.installed-dev  ## format the code and sort imports
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-docs  ## the documents as a site in build/site; whatever mkdocs warns of is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build  # the theme's makers speak of other plans of theirs

# ---- installation: again only when what is to be installed has changed

$(BIN)/python:
	@command -v "$(PYTHON)" >/dev/null || { echo "$(PYTHON) was not found; install Python 3.11, or: make PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, but $(PYTHON) is $$("$(PYTHON)" --version 2>&1); try: make PYTHON=python3.11" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e '.[dev]'
	@touch $(VENV)/.installed $(VENV)/.installed-docs $@

$(VENV)/.installed-all: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e '.$(EXTRAS)'
	@touch $(VENV)/.installed $(VENV)/.installed-docs $(VENV)/.installed-dev $@

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e '.[docs]'
	@touch $(VENV)/.installed $@

constraints: ## pin the newest versions that pyproject.toml allows, from a fresh environment
	rm -rf build/constraints && "$(PYTHON)" -m venv build/constraints
	build/constraints/bin/python -m pip install --disable-pip-version-check '.$(EXTRAS)'
	{ sed '/^#/!d' constraints.txt; \
		build/constraints/bin/python -m pip freeze --all --exclude pip --exclude neuropt | sed 's/+[a-z0-9.]*$$//'; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:  ## remove the environment and all caches; runs stay
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +
