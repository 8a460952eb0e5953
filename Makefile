VENV := .venv
PYTHON ?= python3
TORCH_INDEX ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup demo verify serve test test-long test-web quick bench lint coverage chaos soak fuzz mutants clean

help:      ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(VENV)/ready  ## make .venv; with TORCH_INDEX=URL torch comes from there
	@$(if $(TORCH_INDEX),grep -qsxF '$(TORCH_INDEX)' $(VENV)/torch-index || \
	  { echo 'error: $(VENV) has its torch from elsewhere; run make clean and make setup TORCH_INDEX=URL' >&2; exit 1; })
	@for folder in data plots .dvc/cache; do mkdir -p $$folder && { test -g $$folder || chmod go= $$folder; }; done  # docs/guide.md
	@test -e environment.json || $(BIN)/python -m tools.environment

demo: setup  ## run the whole pipeline on phantoms, in the folder demo/
	@$(BIN)/python -m tools.demo

verify: demo  ## run the demo, and tell whether it gave what it should
	@$(BIN)/python -m tools.verify

serve: setup  ## serve the page for doctors, to this computer alone
	@$(BIN)/python -c 'from cxr.cli.main import run; run()' serve

test: $(VENV)/ready-dev  ## run the tests, about 6 minutes on two cores
	@$(BIN)/python -m pytest -n 3 --dist worksteal -m "not long and not browser"

test-long: $(VENV)/ready-dev  ## test whole pipelines, killed processes, full disks and the page's server, about 8 minutes
	@$(BIN)/python -m pytest -n 3 --dist worksteal -m long

test-web: $(VENV)/ready-dev  ## test the page in Chromium, which must be there, about 4 minutes
	@$(BIN)/python -m pytest -m browser tests/web/browser

quick: $(VENV)/ready-dev  ## run the fast tests, within a minute
	@$(BIN)/python -m pytest -n 3 --dist worksteal -m "not slow and not browser"

lint: $(VENV)/ready-dev  ## style, types and the layers of the architecture
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

bench: setup  ## time training, evaluation and preprocessing next to a plain implementation
	@$(BIN)/python -m benchmarks.speed

coverage: $(VENV)/ready-dev  ## run the tests and list the lines they leave out
	@$(BIN)/python -m pytest -n 3 --dist worksteal --cov=cxr --cov=stages --cov-report=term-missing

chaos: $(VENV)/ready-dev  ## kill training at random moments and see it come back
	@$(BIN)/python -m tests.support.chaos

soak: $(VENV)/ready-dev  ## use the page's server hard: many browsers, kills, load
	@$(BIN)/python -m tests.support.soak

fuzz: $(VENV)/ready-dev  ## try 10,000 parameter files and 27,800 damaged images, zips, DICOM files and requests
	@FUZZ_TIMES=100 $(BIN)/python -m pytest -n 3 --dist worksteal tests/pipeline/test_fuzz.py tests/web/test_fuzz.py

mutants: $(VENV)/ready-dev  ## break the code on purpose and see the tests notice
	@$(BIN)/python -m tests.support.mutants

clean:  ## remove .venv and demo/
	rm -rf $(VENV) demo

$(VENV)/ready: requirements.txt
	@$(PYTHON) tools/preflight.py $(TORCH_INDEX)
	@$(PYTHON) -m venv $(VENV)
	@$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) $(shell grep '^torch==' requirements.txt))
	@$(PIP) --requirement requirements.txt
	@$(BIN)/python -m tools.plots_page
	@echo '$(TORCH_INDEX)' > $(VENV)/torch-index
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements-dev.txt
	@$(PIP) --requirement requirements-dev.txt
	@touch $@
