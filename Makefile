# Needs make and Python 3.11 or newer. 'make demo' and 'make test' install what is missing first.
#   make PYTHON=python3.12 ...   another interpreter        make VENV=DIR ...   another environment
#   make test ARGS='-k montage'  more words for pytest      make demo OUT=DIR   another output folder

PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= bids,dask,hub,deepspeed,text,fmri,baselines,stream,export,docs
WORKERS ?= 2
OUT ?= runs/demo
ARGS ?=

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Two workers share the cores: torch's own threads on top would only make them wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-all docs lint format clean

help:
	@echo "make install    create the environment in $(VENV) with the versions of constraints.txt"
	@echo "make demo       real recordings through every stage, report in $(OUT)/report.html"
	@echo "make test       the tests, without the slow ones"
	@echo "make test-slow  the slow tests (whole runs through the command line, the wheel)"
	@echo "make test-all   both"
	@echo "make docs       the documentation, its examples run, in build/docs/index.html"
	@echo "make lint       ruff and mypy"
	@echo "make format     let ruff write"
	@echo "make clean      remove caches and builds; keeps $(VENV) and runs/"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	  "brainfm needs Python 3.11 or newer and '$(PYTHON)' is not; name one: make PYTHON=python3.11" \
	  >&2; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time)"
	@# Groups came with pip 25.1; the pip beside Python 3.11 is older.
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt pip
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt \
	  -e '.[$(EXTRAS)]' --group dev
	@touch $@
	@echo "ready: 'source $(VENV)/bin/activate' makes brainfm a command"

demo: $(STAMP)
	$(BIN)/brainfm demo --out $(OUT)

test: $(STAMP)
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(STAMP)
	$(PYTEST) -m slow $(ARGS)

test-all: $(STAMP)
	$(PYTEST) $(ARGS)

docs: $(STAMP)
	$(BIN)/sphinx-build -W --keep-going -q docs build/docs

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -path './$(VENV)' -prune -o -name __pycache__ -type d -exec rm -rf {} +
