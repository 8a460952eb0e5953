VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench lint coverage chaos fuzz mutants clean

help:      ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(VENV)/ready  ## make .venv from requirements.txt

demo: setup  ## run the whole pipeline on phantoms, in the folder demo/
	@$(BIN)/python -m tools.demo

test: setup  ## run the tests
	@$(BIN)/python -m pytest -n 3 --dist worksteal

bench: setup  ## time training, evaluation and preprocessing beside a plain implementation
	@$(BIN)/python -m benchmarks.speed

lint: setup  ## style, types and the layers of the architecture
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

coverage: setup  ## run the tests and list the lines they leave out
	@$(BIN)/python -m pytest -n 3 --dist worksteal --cov=cxr --cov=stages --cov-report=term-missing

chaos: setup  ## kill training at random moments and see it come back
	@$(BIN)/python -m tests.support.chaos

fuzz: setup  ## try 10,000 parameter files and 16,000 damaged images, zips and DICOM files
	@FUZZ_TIMES=100 $(BIN)/python -m pytest -n 3 tests/pipeline/test_fuzz.py

mutants: setup  ## break the code on purpose and see the tests notice
	@$(BIN)/python -m tests.support.mutants

clean:  ## remove .venv and demo/
	rm -rf $(VENV) demo

$(VENV)/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "error: Python 3.11 or newer is needed; say which with make PYTHON=python3.11")'
	@echo "Setting up $(VENV): a few minutes, once"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@$(BIN)/python -m tools.plots_page
	@touch $@
