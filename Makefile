# Every target makes the environment .venv by itself where it is missing or out of date (scripts/setup.sh).
#   make PYTHON=python3.12 demo     another interpreter
#   make TORCH=cpu demo             PyTorch without CUDA
#   make test ARGS="tests/signals"  some of the tests
.DEFAULT_GOAL := help
.PHONY: help demo test check docs picture lock clean environment

PYTHON_M := .venv/bin/python -m
export PYTHON TORCH
export NO_MKDOCS_2_WARNING := 1
# In CI the tests other than the journeys also say how much of src/ they ran through, by branches. It costs time, so not
# at everybody's desk; and the journeys, which start and stop processes at chosen moments, run as they are.
COVERAGE := --cov --cov-report=term:skip-covered

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: environment ## The main job on a drawn miniature, from video files to a verdict (minutes, no network)
	.venv/bin/stf demo

test: environment ## All tests
ifeq ($(CI),true)
	$(PYTHON_M) pytest tests/journeys $(ARGS)
	$(PYTHON_M) pytest --ignore=tests/journeys $(COVERAGE) $(ARGS)
else
	$(PYTHON_M) pytest $(ARGS)
endif

check: environment ## Lint, format, types, imports, spelling; the documentation built strictly, its links tested
	$(PYTHON_M) ruff check .
	$(PYTHON_M) ruff format --check .
	$(PYTHON_M) mypy
	.venv/bin/lint-imports
	.venv/bin/codespell
	$(PYTHON_M) mkdocs build --strict --quiet
	$(PYTHON_M) pytest -n 0 -q tests/test_documents.py

docs: environment ## The documentation's pages, in site/
	$(PYTHON_M) mkdocs build --strict

picture: environment ## The README's picture of a verdict, anew from the demonstration (needs Chromium)
	scripts/picture.sh

lock: environment ## The newest versions that fit pyproject.toml, into constraints.txt
	scripts/lock.sh

clean: ## Remove the environment and what tools left; data, runs and the demonstration stay
	rm -rf .venv build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.*

environment:
	@scripts/setup.sh
