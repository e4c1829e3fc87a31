# `make` lists what there is. Everything below works from a bare checkout: .venv is made and filled when needed.
PYTHON ?= python3
VENV   ?= .venv
SEED   ?= 0
PY     := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo app test lint bench fuzz faults tables docs weights clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# One stamp a set of extras, so that `make demo` does not wait for the tools of `make test`.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	@echo "installing samref and PyTorch into $(VENV) (a few minutes the first time)"
	$(PY) -m pip install --quiet -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@echo "installing samref, PyTorch and the test tools into $(VENV) (a few minutes the first time)"
	$(PY) -m pip install --quiet -e '.[dev]'
	@touch $@ $(VENV)/.run

demo: $(VENV)/.run  ## see coarse masks improve, with the real model, on this machine's CPU
	$(PY) run.py +experiment=demo

app: $(VENV)/.run  ## a page to try it: draw rough masks, look through a folder, move every setting
	$(PY) -m samref app

test: $(VENV)/.dev  ## the whole test suite
	SAMREF_EXTRAS=all $(PY) -m pytest -n auto --dist loadgroup -p no:cacheprovider

lint: $(VENV)/.dev  ## ruff, mypy, and known vulnerabilities of what is installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m tests.robustness.audit

bench: $(VENV)/.dev  ## speed, as ratios measured in one run
	$(PY) -m benchmarks

fuzz: $(VENV)/.dev  ## 20,000 damaged files against every loader; SEED=n for others
	OMP_NUM_THREADS=1 $(PY) -m tests.robustness.fuzz --inputs 20000 --seed $(SEED)

faults: $(VENV)/.dev  ## kills, edits between runs, full disks, cut downloads, corrupted files, a soak; SEED=n for others
	OMP_NUM_THREADS=1 $(PY) -m tests.integration.mixed_folder --seed $(SEED)
	OMP_NUM_THREADS=1 $(PY) -m tests.integration.rerun --examples 50 --seed $(SEED)
	OMP_NUM_THREADS=1 $(PY) -m tests.robustness.faults --seed $(SEED)

tables: $(VENV)/.run  ## every table of the paper: paper, ours, difference, command
	$(PY) -m samref tables

docs: $(VENV)/.dev  ## the documentation as a site, in outputs/site
	$(PY) -m mkdocs build --strict --site-dir outputs/site

weights: $(VENV)/.run  ## fetch and verify the default weights
	$(PY) -m samref weights mobile_sam

clean:  ## remove the environment and caches; outputs/ stays
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
