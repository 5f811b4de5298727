# make demo: the main job, offline, in minutes.  make test: the fast tests.  Both first set up .venv.
PYTHON ?= python3
BIN := .venv/bin
SLOW_VENV := .venv-vllm
VLLM_TOOL := ../shared/tools/vllm-cpu-venv

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow check docs pictures figures lock clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

setup: .venv/.ready  ## .venv with locked versions

.venv/.ready: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12"; exit 1; }
	@start=$$(date +%s); echo "installing into .venv (torch and friends: some 5 GB, once) ..."; \
	$(PYTHON) -m venv .venv && $(BIN)/pip install -q --disable-pip-version-check -c requirements.lock -e '.[dev]' && \
	touch $@ && echo "installed in $$(( $$(date +%s) - start )) s"

demo: setup  ## questions -> labelled dataset -> report in runs/demo
	@$(BIN)/medprm demo

test: setup  ## fast tests with coverage
	$(BIN)/pytest -q -m "not slow" -n 2 --cov --cov-report=term:skip-covered --cov-fail-under=90

test-slow: setup  ## tests that need a vLLM venv, kills or minutes
	@if [ -z "$$MEDPRM_VLLM_VENV" ] && [ -x $(VLLM_TOOL) ]; then $(VLLM_TOOL) $(SLOW_VENV) > $(SLOW_VENV).log 2>&1 || { tail -5 $(SLOW_VENV).log; exit 1; }; fi
	$(BIN)/pytest -q -m slow

check: setup  ## formatting, lint, types
	$(BIN)/ruff check . && $(BIN)/mypy

docs: setup  ## the guide as a site in site/
	@$(BIN)/python docs/make/data_format.py && $(BIN)/python docs/make/architecture.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -q && echo "open site/index.html"

pictures: setup  ## the pictures of the guide (Chromium)
	$(BIN)/python docs/pictures.py

figures: setup  ## run every benchmark (FULL=1: long sizes, hours), rewrite docs/results.md and README's figures
	@$(BIN)/python -m tests.figures $(if $(FULL),--full); status=$$?; $(BIN)/python -m tests.figures --readme && exit $$status

lock: setup  ## rewrite requirements.lock from what is installed
	$(BIN)/pip freeze --exclude-editable > requirements.lock

clean:  ## delete what can be made again
	rm -rf .venv $(SLOW_VENV) runs site .mypy_cache .ruff_cache .pytest_cache
